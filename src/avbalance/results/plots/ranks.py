"""Average ranks of methods over datasets."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from avbalance.errors import UserError
from avbalance.results.columns.base import find_column
from avbalance.results.formats import number, p_value
from avbalance.results.measure import measure
from avbalance.results.over_methods import critical_difference, ranks
from avbalance.results.plots.base import FigureRow, Plot
from avbalance.results.plots.style import BLUE, GREY
from avbalance.results.runs import Runs
from avbalance.results.statistics import ALPHA


class Ranks(Plot):
    """A critical difference diagram: methods by average rank; a bar joins those that do not differ.

    Demsar, JMLR 2006, Figure 1: Friedman's test of no difference at all, and Nemenyi's critical difference of two
    average ranks.

    Datasets count, not seeds. Fewer than six are refused: if one of two methods is better on all of five datasets, p of
    the sign test is 0.06.

    Rows of several datasets are labelled `<title of the dataset>: <method>`; rows with the same label are one method.

    Args:
        column: Column whose mean over seeds ranks the methods.
    """

    several_rows: ClassVar[bool] = True
    least_datasets: ClassVar[int] = 6
    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")

    def __init__(self, column: str = "accuracy") -> None:
        self.column = column

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Rank the methods on each dataset."""
        column = find_column(self.column)
        if column.better == 0:
            raise UserError(f"column {self.column!r} has no better or worse to rank by; choose another")
        cells = measure({name: row.entries for name, row in rows.items()}, [self.column], runs)
        scores: dict[str, dict[str, float]] = {}
        for name, row in rows.items():
            title, _, method = row.label.partition(": ")
            if (cell := cells[name][self.column]).values:
                scores.setdefault(method, {})[title] = column.better * float(cell.means().mean())
        titles = list(dict.fromkeys(title for of in scores.values() for title in of))
        compared = {method: of for method, of in scores.items() if len(of) == len(titles)}
        if len(compared) < 3 or len(titles) < self.least_datasets:
            raise UserError(
                f"ranks need three methods or more with a value on all of {self.least_datasets} datasets or more, "
                f"found {len(compared)} on {len(titles)}; figure 'leaderboard' takes any number of datasets"
            )
        ranking = ranks(np.array([[of[title] for of in compared.values()] for title in titles]))
        left_out = "; ".join(method for method in scores if method not in compared)
        figure = draw_ranks(list(compared), ranking.mean(axis=0), critical_difference(len(compared), len(ranking)))
        return figure, caption_of(column.heading, ranking, titles) + (
            f" Left out, without a value on some data: {left_out}." if left_out else ""
        )


def caption_of(heading: str, ranking: NDArray[np.float64], titles: Sequence[str]) -> str:
    """Caption with Friedman's test and the critical difference."""
    num_data, num_methods = ranking.shape
    friedman = stats.friedmanchisquare(*ranking.T)
    distance = critical_difference(num_methods, num_data)
    return (
        f"{heading} of {num_methods} methods, ranked on each of {num_data} datasets ({'; '.join(titles)}) by the mean "
        f"over seeds; 1 is best. Friedman's test of no difference: chi-square {friedman.statistic:.1f}, p "
        f"{p_value({'adjusted_p': float(friedman.pvalue)})}. Bars join methods whose average ranks differ by less than "
        f"Nemenyi's critical difference at {100 * ALPHA:.0f} %, {number(distance, 2)}."
    )


def groups(average: NDArray[np.float64], distance: float) -> list[tuple[int, int]]:
    """First and last of each largest run of neighbours that are less than a distance apart; `average` ascends."""
    last = [int(np.flatnonzero(average < start + distance)[-1]) for start in average]
    return [(i, j) for i, j in enumerate(last) if j > i and (i == 0 or j > last[i - 1])]


def draw_ranks(names: Sequence[str], average: NDArray[np.float64], distance: float) -> Figure:
    """The diagram: the better half of the methods at the left, the others at the right."""
    order = np.argsort(average, kind="stable")
    average, names = average[order], [names[place] for place in order]
    k = len(names)
    joined = groups(average, distance)
    half = (k + 1) // 2
    top = 0.5 + 0.35 * len(joined)
    inches, beside = max(3.2, 0.075 * k), 0.8 + 0.065 * max(map(len, names))  # of the scale, and of names at each side
    figure = Figure(figsize=(inches + 2 * beside, 1.4 + 0.24 * half + 0.12 * len(joined)))
    axes = figure.subplots()
    margin = (k - 1) * beside / inches
    axes.set(xlim=(1 - margin, k + margin), ylim=(top + half + 0.2, -2.6))
    axes.axis("off")
    axes.plot([1, k], [0, 0], color="black", lw=1)
    step = 1 if k <= 15 else 5
    for tick in range(1 if step == 1 else step, k + 1, step):
        axes.plot([tick, tick], [0, -0.2], color="black", lw=1)
        axes.text(tick, -0.35, str(tick), ha="center", va="bottom", fontsize=8)
    axes.plot([1, 1 + distance], [-1.8, -1.8], color="black", lw=1, marker="|", ms=5)
    axes.text(
        1 + distance / 2, -1.95, f"critical difference {number(distance, 2)}", ha="center", va="bottom", fontsize=8
    )
    for place, (first, last) in enumerate(joined):
        y = 0.35 + 0.35 * place
        end = 0.02 * (k - 1) / inches
        axes.plot([average[first] - end, average[last] + end], [y, y], color=BLUE, lw=3, solid_capstyle="butt")
    for place, (name, value) in enumerate(zip(names, average, strict=True)):
        is_left = place < half
        y = top + (place if is_left else k - 1 - place) + 0.3
        gap = 0.1 * (k - 1) / inches  # 0.1 inches
        end = 1 - gap if is_left else k + gap
        axes.plot([value, value, end], [0, y, y], color=GREY, lw=0.8)
        text = f"{name}  {number(value, 2)}" if is_left else f"{number(value, 2)}  {name}"
        axes.text(
            end - gap / 2 if is_left else end + gap / 2,
            y,
            text,
            ha="right" if is_left else "left",
            va="center",
            fontsize=8,
        )
    return figure
