"""Error of linear probes at each layer."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from avbalance.errors import UserError
from avbalance.metrics import accuracy
from avbalance.results.columns.base import find_column
from avbalance.results.columns.layers import TRAINED, OfLayer, read_probes
from avbalance.results.plots.base import FigureRow, Plot
from avbalance.results.plots.style import GREY, WIDTH, colours_of, in_legend
from avbalance.results.runs import Runs
from avbalance.results.statistics import Estimate, t_interval

INCHES_A_LAYER = 0.17


class Line(NamedTuple):
    """One row: {layer: mean and interval over seeds}, in network order."""

    label: str
    errors: dict[str, Estimate]


class Level(NamedTuple):
    """Error of a row's model itself, in per cent."""

    label: str
    error: float


class Depth(Plot):
    """Error or loss of the linear probe on each layer; a line for each row.

    Alain & Bengio, 2016, Figs. 3, 4b, 5, 6 and 9.

    Args:
        column: Column of probes.
        baseline: Row whose model's own error is drawn as a level line.
        branch: Start of the names of layers that form a branch, drawn dashed with hollow points.
    """

    several_rows: ClassVar[bool] = True
    reads_probes: ClassVar[bool] = True

    def __init__(self, column: str = "probe_error", branch: str | None = None, baseline: str | None = None) -> None:
        if baseline is not None and column != "probe_error":
            raise UserError(
                f"figure depth: a baseline is drawn by its error, but column is {column!r}; leave one of them out"
            )
        probed = find_column(column)
        if not isinstance(probed, OfLayer):
            raise UserError(f"figure depth: column {column!r} is not a column of probes")
        self.column = probed
        self.branch = branch
        self.baseline = baseline

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read every row's probes."""
        lines = [self._read(name, row, runs) for name, row in rows.items() if name != self.baseline]
        several_seeds = any(each.n > 1 for line in lines for each in line.errors.values())
        spread = "bands: 95 % t-interval of the mean over seeds" if several_seeds else "one seed, so no intervals"
        caption = f"A point is a linear probe, fitted to its optimum on one layer of the frozen encoder; {spread}."
        caption += " Dashed: the auxiliary branch." * bool(self.branch)
        level = None
        if self.baseline is not None and self.baseline in rows:
            level = Level(rows[self.baseline].label, error_of(rows[self.baseline], runs))
            caption += f" Level line: {level.label}, {level.error:.2f} %."
        return draw_depth(lines, f"{self.column.heading}, {self.column.unit}", self.branch, level), caption

    def _read(self, name: str, row: FigureRow, runs: Runs) -> Line:
        metrics = read_probes(row.entries, runs)
        if not metrics:
            raise UserError(f"row {name!r} has no fitted probe")
        name, factor = self.column.metric, 100 if self.column.unit == "%" else 1
        snapshot = next(iter(next(iter(metrics.values()))))  # a row has one
        return Line(
            row.label if snapshot in (TRAINED, "0") else f"{row.label} ({int(snapshot):,} steps)",
            {layer: t_interval(factor * np.array(of_layer[snapshot][name])) for layer, of_layer in metrics.items()},
        )


def error_of(row: FigureRow, runs: Runs) -> float:
    """Test error of a row's models, in per cent, mean over seeds."""
    predictions = [runs[folder].predictions for folder in row.runs.values()]
    return 100 * (1 - float(np.mean([accuracy(each["test_logits"], each["test_label"]) for each in predictions])))


def draw_depth(lines: Sequence[Line], heading: str, branch: str | None, level: Level | None = None) -> Figure:
    """Draw errors over layers in network order."""
    names = list(dict.fromkeys(layer for line in lines for layer in line.errors))
    places = {name: place for place, name in enumerate(names)}
    colours = colours_of([line.label for line in lines])
    figure = Figure(figsize=(max(WIDTH, 1.2 + INCHES_A_LAYER * len(names)), 3.6 + 0.045 * max(map(len, names))))
    axes = figure.subplots()
    for line in lines:
        main = [name for name in line.errors if not (branch and name.startswith(branch))]
        aside = [name for name in line.errors if name not in main]
        before = [name for name in main if aside and places[name] < places[aside[0]]][-1:]
        for part, dashes, fill in (([*before, *aside] if aside else [], "--", "white"), (main, "-", None)):
            if not part:
                continue
            at = [places[name] for name in part]
            means = np.array([line.errors[name].mean for name in part])
            half_widths = np.nan_to_num([line.errors[name].half_width for name in part])
            axes.plot(at, means, dashes, marker="o", mfc=fill, ms=4, lw=1.5, color=colours[line.label], zorder=2)
            axes.fill_between(at, means - half_widths, means + half_widths, color=colours[line.label], alpha=0.18, lw=0)
    axes.set_xticks(range(len(names)), names, rotation=90)
    handles = {line.label: Line2D([], [], color=colours[line.label], marker="o", ms=4) for line in lines}
    if level is not None:
        axes.axhline(level.error, color=GREY, lw=1.5, ls="-.", zorder=1)
        handles[level.label] = Line2D([], [], color=GREY, lw=1.5, ls="-.")
    axes.set_ylim(0, None)
    axes.set_ylabel(heading)
    axes.grid(axis="x", visible=False)
    figure.legend(list(handles.values()), list(map(in_legend, handles)), loc="outside upper left", ncols=2)
    return figure
