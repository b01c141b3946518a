"""Changes against a baseline row, as bars."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from avbalance.errors import UserError
from avbalance.ranges import Names
from avbalance.results.columns.base import Column, find_column
from avbalance.results.comparisons import compare
from avbalance.results.formats import number
from avbalance.results.measure import measure
from avbalance.results.plots.base import FigureRow, Plot, split_baseline
from avbalance.results.plots.style import GREY, WIDTH, colours_of, legend_below
from avbalance.results.runs import Runs
from avbalance.results.statistics import TEST, Difference

Changes = dict[str, dict[str, Difference | None]]
"""{label of a row: {column: its change, None where one of both has none}}."""


class Gains(Plot):
    """Change of columns from a baseline to each other row.

    MMCosine (Xu et al., ICASSP 2023), Figure 1: joint and uni-modal accuracy of balancing methods against
    concatenation. G-Blend (Wang et al., CVPR 2020), Figure 1: regularisers and fusions against the best single
    modality.

    Args:
        baseline: Row with which the others are compared.
        columns: Columns of one unit, one bar each.
    """

    several_rows: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")

    def __init__(self, baseline: str, columns: Names) -> None:
        self.baseline, self.columns = baseline, columns

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Compare every other row with the baseline, column by column."""
        columns = [find_column(name) for name in self.columns]
        if len({column.unit for column in columns}) != 1:
            raise UserError(f"columns {', '.join(self.columns)} differ in unit; give each unit a figure of its own")
        baseline, others = split_baseline(rows, self.baseline, runs)
        values = measure({name: row.entries for name, row in rows.items()}, self.columns, runs)
        cells = {column: {name: values[name][column] for name in values} for column in self.columns}
        changes: Changes = {
            row.label: {column: compare(cells[column], name, self.baseline) for column in self.columns}
            for name, row in others.items()
        }
        return draw_gains(changes, columns, baseline.label), caption_of(changes, baseline)


def caption_of(changes: Changes, baseline: FigureRow) -> str:
    """Caption that explains bars and whiskers."""
    known = [change for row in changes.values() for change in row.values() if change is not None]
    missing = sum(change is None for row in changes.values() for change in row.values())
    caption = f"Difference from {baseline.label}. "
    if not known:
        raise UserError(f"no row has a value of a column that the baseline {baseline.label!r} has too")
    if all(np.isinf(change.low) for change in known):
        caption += "One seed, so no interval."
    elif len(baseline.runs) > 1:
        caption += f"Whiskers: its 95 % interval. {TEST}"
    else:
        caption += "Whiskers: its 95 % t-interval over clips; one seed does not show the spread between seeds."
    return caption + f" No value: {missing} of {missing + len(known)} bars." * (missing > 0)


def draw_gains(changes: Changes, columns: Sequence[Column], baseline: str) -> Figure:
    """A group of bars a row, a bar a column; the numbers stand at the right."""
    colours, digits = colours_of([column.name for column in columns]), columns[0].digits
    thickness = 0.8 / len(columns)
    figure = Figure(figsize=(WIDTH, 1.0 + len(changes) * (0.2 + 0.2 * len(columns))))
    axes = figure.subplots()
    for group, row in enumerate(changes.values()):
        for place, column in enumerate(columns):
            y = group + (place - (len(columns) - 1) / 2) * thickness
            change, colour = row[column.name], colours[column.name]
            text = "–"
            if change is not None:
                text = number(change.difference, digits, sign=True)
                axes.barh(y, change.difference, 0.9 * thickness, color=colour)
            if change is not None and np.isfinite(change.low):
                axes.plot([change.low, change.high], [y, y], color="black", lw=1, marker="|", ms=4)
            axes.text(1.02, y, text, color=colour, va="center", transform=axes.get_yaxis_transform(), fontsize=8)
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(range(len(changes)), [fill(label, 24) for label in changes])
    axes.set_ylim(len(changes) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    unit = "points" if columns[0].unit == "%" else columns[0].unit
    what = columns[0].heading if len(columns) == 1 else "change"
    axes.set_xlabel(fill(f"{what} against {baseline}" + f", {unit}" * bool(unit), 48))
    if len(columns) > 1:
        legend_below(figure, {column.heading: Patch(color=colours[column.name]) for column in columns})
    return figure
