"""Gain of methods over joint training of equal budget, over datasets."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avbalance.errors import UserError
from avbalance.ranges import Names
from avbalance.results.columns.base import Column, Header, find_column
from avbalance.results.formats import number
from avbalance.results.leaderboard import COSTS, SLACK, Standing, frame_of, rank_methods, record_of
from avbalance.results.measure import Measured, measure
from avbalance.results.over_datasets import OnDataset, split_datasets
from avbalance.results.plots.base import Drawing, FigureRow, Numbers, Plot
from avbalance.results.plots.style import BLUE, GREY, ORANGE, in_legend
from avbalance.results.runs import Runs
from avbalance.results.statistics import LEVEL

INCHES_A_LINE = 0.165
INCHES_A_LETTER = 0.06
MARKS = {"method": (BLUE, "o"), "reference": (ORANGE, "D"), "baseline": (GREY, "s")}
"""{role: colour and marker}."""
POINTS = {"gain": 36, "rank": 62, "passes": 99, "seconds": 139, "datasets": 180}
"""{number: place of its right end, in points right of the panel}."""


class Leaderboard(Plot):
    """Mean gain over joint training of equal budget, with its interval, average rank and cost of each method.

    On each dataset a method is compared with the baseline that has the fewest passes over the training clips among
    those that have at least as many as the method, else with the one that has the most. The gain is the mean over
    datasets. Its intervals hold for all methods at once.

    Rows of several datasets are labelled `<title of the dataset>: <method>`, and their names end with the method's.

    Args:
        baselines: Joint training with growing budgets; the first is the usual one, and costs are relative to it.
        references: Rows that any method should beat, such as an ensemble of uni-modal models; they are marked. A
            baseline may be one of them.
        column: Compared column.
        columns: Columns of the first baseline that are shown as references too, such as `acc_strongest_alone`.
    """

    several_rows: ClassVar[bool] = True
    over_datasets: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")

    def __init__(
        self,
        baselines: Names,
        references: Names | None = None,
        column: str = "accuracy",
        columns: Names | None = None,
    ) -> None:
        self.baselines, self.references = baselines, references or []
        self.column, self.columns = column, columns or []

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> Drawing:
        """Compare the methods on each dataset, and average."""
        column = find_column(self.column)
        if column.better == 0:
            raise UserError(f"column {self.column!r} has no better or worse to compare by; choose another")
        others = [find_column(name) for name in self.columns]
        if strange := [each.name for each in others if (each.unit, each.better) != (column.unit, column.better)]:
            raise UserError(f"column {strange[0]!r} differs in unit from {self.column!r}; leave it out of columns")
        asked = list(dict.fromkeys([self.column, *self.columns, *COSTS]))
        values = measure({name: row.entries for name, row in rows.items()}, asked, runs)
        datasets = split_datasets(
            {name: row.label for name, row in rows.items()},
            {name: runs[row.first[1]].dataset for name, row in rows.items()},
            values,
            self.baselines[0],
        )
        datasets = [add_columns(dataset, self.baselines[0], self.column, others) for dataset in datasets]
        standings = rank_methods(datasets, column.header, self.baselines, [*self.references, *self.columns])
        numbers = Numbers(frame_of(standings), columns_of(column))
        baseline = next(each.label for each in standings if each.method == self.baselines[0])
        several_seeds = any(len(row.runs) > 1 for row in rows.values())
        caption = caption_of(standings, [dataset.title for dataset in datasets], column, baseline, several_seeds)
        return draw_leaderboard(standings, column), caption, numbers


def add_columns(dataset: OnDataset, baseline: str, column: str, others: Sequence[Column]) -> OnDataset:
    """The dataset with other columns of the baseline as rows.

    Their budget is that of the baseline: to choose the strongest modality, a model of each is trained.
    """
    own = dataset.values[baseline]
    values = {
        other.name: {column: own[other.name], "passes": own["passes"], "train_seconds": Measured()} for other in others
    }
    labels = {other.name: other.heading for other in others}
    return OnDataset(dataset.title, dataset.labels | labels, dataset.values | values)


def columns_of(column: Column) -> list[Header]:
    """Printed columns of the numbers."""
    unit = "points" if column.unit == "%" else column.unit
    return [
        Header("label", "Row", "", 0, 0),
        Header("dataset", "Dataset", "", 0, 0),
        Header("gain", "Gain", unit, column.digits + 1, 1),
        Header("low", "from", unit, column.digits + 1, 0),
        Header("high", "to", unit, column.digits + 1, 0),
        Header("compared_with", "Compared with", "", 0, 0),
        Header("hardest", "Hardest reference", "", 0, 0),
        Header("lead", "Lead over it", unit, column.digits + 1, 1),
        Header("lead_low", "from", unit, column.digits + 1, 0),
        Header("lead_high", "to", unit, column.digits + 1, 0),
        Header("rank", "Average rank", "", 1, -1),
        Header("passes", "Passes", "times", 2, -1),
        Header("seconds", "Seconds", "times", 2, -1),
        Header("datasets", "Datasets", "", 0, 0),
    ]


def caption_of(
    standings: Sequence[Standing], titles: Sequence[str], column: Column, baseline: str, several_seeds: bool
) -> str:
    """Caption that explains gain, interval, rank and cost."""
    compared = [each for each in standings if each.role != "baseline"]
    named = f" ({'; '.join(titles)})" if all(titles) else ""
    several = len(titles) > 1
    caption = (
        f"{column.heading}{named}: gain over joint training of equal budget"
        + f", mean over {len(titles)} datasets" * several
        + ". The baseline of equal budget has the fewest passes over the training clips that are not fewer than the "
        f"method's ({100 * SLACK:.0f} % are let off), else the most there are. "
    )
    if all(np.isinf(each.gain.low) for each in compared):
        caption += "One seed, so no interval. "
    else:
        spread = "seeds and test clips" if several_seeds else "test clips alone; one seed does not show that of seeds"
        caption += (
            f"Lines: {100 * LEVEL:.0f} % intervals that hold for all {len(compared)} rows at once (Bonferroni) and for "
            f"the spread of {spread}"
            + "; other datasets would add theirs" * several
            + ". Filled: the interval excludes 0. "
        )
    if any(each.hardest for each in compared):
        caption += (
            "A method beats all references if its lead over the hardest one lies above 0; the lead's interval reaches "
            "lowest there and holds for all methods at once. "
        )
    caption += (
        "Rank: "
        + "mean over datasets " * several
        + f"of the rank among all rows, 1 is best. Passes and seconds of training: in those of {baseline}"
        + ", geometric mean over datasets" * several
        + "; runs whose weights, teachers or blend a row starts from are not counted."
    )
    fewer = [each.label for each in standings if len(each.ranks) < len(titles)]
    if fewer:
        caption += f" On fewer datasets, with which their numbers cannot be compared strictly: {'; '.join(fewer)}."
    return caption


def limits_of(standings: Sequence[Standing]) -> tuple[float, float]:
    """Ends of the horizontal axis; a few far intervals do not squeeze all others."""
    ends = np.array([[each.gain.low, each.gain.high, each.gain.difference] for each in standings])
    finite = np.where(np.isfinite(ends), ends, ends[:, 2:])
    reach = 1.5 * np.quantile(np.abs(finite).max(axis=1), 0.75) or 1.0
    low, high = max(float(finite.min()), -reach), min(float(finite.max()), reach)
    margin = 0.06 * max(high - low, 1e-9)
    return min(low, 0.0) - margin, max(high, 0.0) + margin


def draw_leaderboard(standings: Sequence[Standing], column: Column) -> Figure:
    """A line a row: the gain with its interval, and at the right the numbers."""
    longest = max(len(each.label) for each in standings)
    figure = Figure(figsize=(5.8 + INCHES_A_LETTER * longest, 1.3 + INCHES_A_LINE * len(standings)))
    axes = figure.subplots()
    low, high = limits_of(standings)
    for y, standing in enumerate(standings):
        _draw_line(axes, y, standing, (low, high))
        _write_numbers(axes, y, standing, column.digits + 1)
    for name, place in POINTS.items():
        _write(axes, -1.0, name, place, "bold")
    axes.set_title(" ", fontsize=9)  # room for these headings
    for standing in standings:
        if standing.role == "reference" and low < standing.gain.difference < high:
            axes.axvline(standing.gain.difference, color=ORANGE, lw=0.8, ls=":", zorder=0)
    axes.axvline(0, color=GREY, lw=1, zorder=0)
    axes.set_yticks(range(len(standings)), [each.label for each in standings], fontsize=7)
    for text, standing in zip(axes.get_yticklabels(), standings, strict=True):
        text.set_color("black" if standing.role == "method" else MARKS[standing.role][0])
    axes.set(ylim=(len(standings) - 0.4, -0.6), xlim=(low, high))
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    unit = "points" if column.unit == "%" else column.unit
    axes.set_xlabel(f"gain in {column.heading[0].lower()}{column.heading[1:]}" + f", {unit}" * bool(unit))
    used = [role for role in MARKS if any(each.role == role for each in standings)]
    names = {"method": "method", "reference": "reference", "baseline": "joint training, its own budget"}
    handles = [Line2D([], [], color=MARKS[role][0], marker=MARKS[role][1], ls="", ms=5) for role in used]
    figure.legend(handles, [in_legend(names[role]) for role in used], loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _draw_line(axes: Axes, y: int, standing: Standing, limits: tuple[float, float]) -> None:
    """Gain and interval; an arrow at the edge stands for a gain beyond it."""
    colour, marker = MARKS[standing.role]
    gain, low, high, *_ = standing.gain
    if np.isfinite(low) and low < high:
        axes.plot([low, high], [y, y], color=colour, lw=1.2, solid_capstyle="butt")
    beyond = "<" if gain < limits[0] else ">" if gain > limits[1] else ""
    place = float(np.clip(gain, *limits))
    fill = colour if (low > 0 or high < 0) and np.isfinite(low) else "white"
    axes.plot(place, y, beyond or marker, color=colour, mfc=fill, ms=4.5, clip_on=False)


def _write_numbers(axes: Axes, y: int, standing: Standing, digits: int) -> None:
    """The numbers of a line; those of a baseline have no gain."""
    record = record_of(standing)
    texts = {"gain": "–" if standing.role == "baseline" else number(record["gain"], digits, sign=True)}
    texts |= {"rank": number(record["rank"], 1), "datasets": str(record["datasets"])}
    texts |= {name: number(record[name], 2) if np.isfinite(record[name]) else "–" for name in ("passes", "seconds")}
    for name, text in texts.items():
        _write(axes, y, text, POINTS[name])


def _write(axes: Axes, y: float, text: str, place: float, weight: str = "normal") -> None:
    axes.annotate(
        text, (1, y), (place, 0), axes.get_yaxis_transform(), "offset points",
        ha="right", va="center", fontsize=7, fontweight=weight, annotation_clip=False,
    )  # fmt: skip
