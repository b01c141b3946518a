"""Change of balance against change of accuracy, over methods."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.ranges import Pair
from avbalance.results.columns.base import Column, Header, find_column
from avbalance.results.formats import number
from avbalance.results.measure import measure
from avbalance.results.over_datasets import OnDataset, split_datasets
from avbalance.results.over_methods import LEAST_METHODS, Correlation, rank_correlations
from avbalance.results.plots.base import Drawing, FigureRow, Numbers, Plot
from avbalance.results.plots.labels import label_points
from avbalance.results.plots.style import BLUE, GREY
from avbalance.results.runs import Runs
from avbalance.results.statistics import LEVEL


class Panel(NamedTuple):
    """One dataset: {method: label} and the changes [methods, 2], horizontal and vertical."""

    title: str
    labels: dict[str, str]
    changes: NDArray[np.float64]


class BalanceAccuracy(Plot):
    """Change of one column against that of another: a point a method, a panel a dataset, with their correlation.

    Shows whether methods that narrow the gap between modalities also gain accuracy. The correlation is Spearman's, so
    that a few methods that collapse do not decide it, and the relation need not be a line.

    Rows of several datasets are labelled `<title of the dataset>: <method>`, and their names end with the method's.

    Args:
        baseline: Row from which the changes are counted, on each dataset.
        columns: Of the horizontal and the vertical axis.
    """

    several_rows: ClassVar[bool] = True
    over_datasets: ClassVar[bool] = True

    def __init__(self, baseline: str, columns: Pair) -> None:
        self.baseline, self.columns = baseline, columns

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> Drawing:
        """Compare the methods with the baseline on each dataset."""
        columns = [find_column(name) for name in self.columns]
        datasets = split_datasets(
            {name: row.label for name, row in rows.items()},
            {name: runs[row.first[1]].dataset for name, row in rows.items()},
            measure({name: row.entries for name, row in rows.items()}, self.columns, runs),
            self.baseline,
        )
        panels = [panel for each in datasets if (panel := read_panel(each, self.baseline, self.columns)) is not None]
        if not panels:
            raise UserError(f"no row has values of {' and '.join(self.columns)} that {self.baseline!r} has on its data")
        correlations = rank_correlations(*aligned(panels))
        baseline = datasets[0].labels[self.baseline]
        figure = draw_panels(panels, columns, correlations, baseline)
        return figure, caption_of(panels, columns, correlations, baseline), numbers_of(panels, columns, correlations)


def read_panel(dataset: OnDataset, baseline: str, columns: Sequence[str]) -> Panel | None:
    """Changes of the mean over seeds from the baseline; None without a method that has both."""
    cells = [dataset.cells(column) for column in columns]
    methods = [name for name in dataset.labels if name != baseline and all(name in of for of in cells)]
    if not methods or not all(baseline in of for of in cells):
        return None
    means = [[float(of[name].means().mean() - of[baseline].means().mean()) for of in cells] for name in methods]
    return Panel(dataset.title, {name: dataset.labels[name] for name in methods}, np.array(means))


def aligned(panels: Sequence[Panel]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both changes, [panels, methods] each; NaN where a method is missing."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.labels))
    both = np.full((2, len(panels), len(names)), np.nan)
    for place, panel in enumerate(panels):
        both[:, place, [names.index(name) for name in panel.labels]] = panel.changes.T
    return both[0], both[1]


def text_of(correlation: Correlation | None) -> str:
    """A correlation with its interval."""
    if correlation is None:
        return f"no ρ, for fewer than {LEAST_METHODS} methods differ"
    rho, low, high = (number(value, 2, sign=True) for value in correlation[:3])
    return f"ρ {rho} ({low} to {high}), {correlation.n} methods"


def caption_of(
    panels: Sequence[Panel], columns: Sequence[Column], correlations: Sequence[Correlation | None], baseline: str
) -> str:
    """Caption with the correlations, and what their intervals contain."""
    x, y = columns
    caption = f"Change of {x.heading} and of {y.heading} from {baseline}, means over seeds; a point a method. "
    if correlations[-1] is None:
        return caption + f"No correlation is shown, for fewer than {LEAST_METHODS} methods differ."
    caption += (
        f"ρ: Spearman's correlation over methods, with a {100 * LEVEL:.0f} % bootstrap interval, methods drawn anew. "
        "A method brings the noise of its seeds along, which draws ρ towards 0. "
    )
    named = [
        f"{panel.title}: " * bool(panel.title) + text_of(each)
        for panel, each in zip(panels, correlations, strict=False)
    ]
    caption += "; ".join(named) + "."
    if len(panels) > 1:
        caption += f" Mean over datasets, the same methods drawn on all: {text_of(correlations[-1])}."
    if x.better and y.better:
        sign = "negative" if x.better * y.better < 0 else "positive"
        caption += f" A {sign} ρ: methods that improve one improve the other."
    return caption + " Triangles at an edge stand for points beyond it."


def numbers_of(
    panels: Sequence[Panel], columns: Sequence[Column], correlations: Sequence[Correlation | None]
) -> Numbers:
    """A line a point, and the correlations."""
    records = [
        {
            "method": name,
            "dataset": panel.title,
            "label": f"{panel.title}: " * bool(panel.title) + label,
            **{column.name: float(change) for column, change in zip(columns, changes, strict=True)},
        }
        for panel in panels
        for (name, label), changes in zip(panel.labels.items(), panel.changes, strict=True)
    ]
    shown = [
        Header(column.name, f"{column.heading}, change", unit_of(column), max(column.digits, 1), column.better)
        for column in columns
    ]
    titles = [*(panel.title for panel in panels), "all"]
    known = {title: each[:3] for title, each in zip(titles, correlations, strict=True) if each is not None}
    return Numbers(pd.DataFrame.from_records(records), [Header("label", "Row", "", 0, 0), *shown], known)


def unit_of(column: Column) -> str:
    """Unit of a change."""
    return "points" if column.unit == "%" else column.unit


def draw_panels(
    panels: Sequence[Panel], columns: Sequence[Column], correlations: Sequence[Correlation | None], baseline: str
) -> Figure:
    """Draw the panels, two in a line; labels stand where there is room."""
    num_columns = min(2, len(panels))
    num_lines = -(-len(panels) // num_columns)
    figure = Figure(figsize=(3.7 * num_columns, 3.2 * num_lines + 0.3))
    grid = figure.subplots(num_lines, num_columns, squeeze=False)
    labelled = []
    for axes, panel, correlation in zip(grid.flat, panels, correlations, strict=False):
        shown = _scatter(axes, panel.changes)
        axes.set_title(panel.title, pad=16)
        axes.annotate(text_of(correlation), (0, 1), (0, 5), "axes fraction", "offset points", fontsize=7.5)
        labelled.append((axes, shown, list(panel.labels.values())))
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    names = [f"change of {c.heading.lower()}" + f", {unit_of(c)}" * bool(unit_of(c)) for c in columns]
    figure.supxlabel(f"{names[0]}, against {baseline}", fontsize=9)
    figure.supylabel(names[1], fontsize=9)
    label_points(figure, labelled)
    return figure


def _scatter(axes: Axes, changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Draw the points; those far beyond the others stand at the edge. Returns where they stand, [methods, 2]."""
    quartiles = np.quantile(changes, [0.25, 0.75], axis=0)
    distance = quartiles[1] - quartiles[0]
    reach = np.where(distance > 0, 1.5 * distance, np.inf)
    low = np.maximum(changes.min(axis=0), quartiles[0] - reach)
    high = np.minimum(changes.max(axis=0), quartiles[1] + reach)
    low, high = np.minimum(low, 0), np.maximum(high, 0)
    margin = 0.08 * np.maximum(high - low, 1e-9)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    shown = np.clip(changes, low - 0.5 * margin, high + 0.5 * margin)
    beyond = (shown != changes).any(axis=1)
    axes.axhline(0, color=GREY, lw=0.8, zorder=0)
    axes.axvline(0, color=GREY, lw=0.8, zorder=0)
    axes.plot(*shown[~beyond].T, "o", color=BLUE, ms=3.5)
    axes.plot(*shown[beyond].T, "^", color=BLUE, mfc="white", ms=4.5)
    return shown
