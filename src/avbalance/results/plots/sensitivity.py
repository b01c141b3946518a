"""A column against the scale of the cosine head."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from avbalance.errors import UserError
from avbalance.heads.cosine import scale_lower_bound, scale_lower_bound_derived
from avbalance.ranges import Rate
from avbalance.results.columns.base import Header, find_column
from avbalance.results.measure import Measured, measure
from avbalance.results.plots.base import FigureRow, Plot, split_baseline
from avbalance.results.plots.style import BLUE, GREEN, GREY, ORANGE, WIDTH, legend_below
from avbalance.results.runs import Runs
from avbalance.results.statistics import Estimate, t_interval


class Point(NamedTuple):
    """A row: its scale s, and the column's mean over seeds."""

    scale: float
    estimate: Estimate


class Sensitivity(Plot):
    """A column against the scale s of MMCosine, with the lower bound of s.

    MMCosine (Xu et al., ICASSP 2023), section 2.3. Every row but the baseline has a cosine head; s is its option.

    Args:
        baseline: Row drawn as a band.
        column: Column to draw.
        probability: p of eq. 4, the posterior probability of the true class that s shall allow, in (1 / classes, 1).
    """

    several_rows: ClassVar[bool] = True

    def __init__(self, baseline: str, column: str = "accuracy", probability: Rate = 0.99) -> None:
        self.baseline, self.column, self.probability = baseline, column, probability

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read the scales from the runs' recipes."""
        baseline, others = split_baseline(rows, self.baseline, runs)
        measured = measure({name: row.entries for name, row in rows.items()}, [self.column], runs)
        points = [
            Point(_scale(name, runs[row.first[1]].settings), _estimate(name, measured[name][self.column]))
            for name, row in others.items()
        ]
        band = _estimate(self.baseline, measured[self.baseline][self.column])
        num_classes = runs[baseline.first[1]].predictions["test_logits"].shape[1]
        if not 1 / num_classes < self.probability < 1:
            raise UserError(f"probability {self.probability} is not between 1 / {num_classes} and 1")
        bounds = {
            "as printed": scale_lower_bound(num_classes, self.probability),
            "as derived from CosFace": scale_lower_bound_derived(num_classes, self.probability),
        }
        column = find_column(self.column).header
        figure = draw_sensitivity(sorted(points), band, baseline.label, column, bounds)
        listing = " and ".join(f"{bound:.2f} ({source})" for source, bound in bounds.items())
        several_seeds = any(estimate.n > 1 for estimate in (band, *(point.estimate for point in points)))
        return figure, (
            (
                "Mean over seeds; whiskers and band: its 95 % t-interval."
                if several_seeds
                else "One seed, so no interval."
            )
            + f" Lower bound of s by eq. 4 for {num_classes} classes and p = {self.probability:g}: {listing}."
        )


def _scale(name: str, settings: Mapping[str, Any]) -> float:
    """s of a run's head."""
    head: Mapping[str, Any] = settings["head"]
    if "cosine" not in head:
        raise UserError(f"row {name!r} has the head {next(iter(head))!r}, which has no scale; only the baseline may")
    return float(head["cosine"]["scale"])


def _estimate(name: str, measured: Measured) -> Estimate:
    if not measured.values:
        raise UserError(f"row {name!r} has no value in the column")
    return t_interval(measured.means())


def draw_sensitivity(
    points: Sequence[Point], band: Estimate, baseline: str, column: Header, bounds: Mapping[str, float]
) -> Figure:
    """Points by rising scale, the baseline's band and the bounds."""
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    scales = [point.scale for point in points]
    means = [point.estimate.mean for point in points]
    half_widths = np.nan_to_num([point.estimate.half_width for point in points])
    handles: dict[str, Any] = {
        "MMCosine": axes.errorbar(scales, means, half_widths, color=BLUE, marker="o", ms=5, lw=1.5, capsize=3)
    }
    handles[baseline] = axes.axhline(band.mean, color=GREY, lw=1.5)
    if np.isfinite(band.half_width):
        axes.axhspan(band.mean - band.half_width, band.mean + band.half_width, color=GREY, alpha=0.2, lw=0)
    for (source, bound), colour, dashes in zip(bounds.items(), (ORANGE, GREEN), ("--", ":"), strict=True):
        handles[f"bound {source}, s ≥ {bound:.2f}"] = axes.axvline(bound, color=colour, ls=dashes, lw=1.5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(scales))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("scale s")
    axes.set_ylabel(f"{column.heading}, {column.unit}" if column.unit else column.heading)
    legend_below(figure, handles)
    return figure
