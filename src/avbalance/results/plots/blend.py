"""Online G-Blend, super-epoch by super-epoch."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.results.columns.super_epochs import NAIVE, super_epochs
from avbalance.results.plots.base import FigureRow, Plot, read_history
from avbalance.results.plots.style import BLUE, GREY, WIDTH, by_epoch, colours_of_heads, legend_below
from avbalance.results.runs import Runs


class Blend(Plot):
    """Weights of the heads by epoch, and G-Blend against naive training at the end of each super-epoch.

    G-Blend (Wang et al., CVPR 2020), Figure 5. Both trainings of a super-epoch start from the model that G-Blend has
    made so far.

    Departs from the paper: the heads are compared as they are. The paper trains a new classifier on each frozen trunk.
    """

    reads_history: ClassVar[bool] = True

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read the first seed."""
        ((name, row),) = rows.items()
        seed, folder = row.first
        history = read_history(name, folder, runs, ["val_accuracy", "fallback", NAIVE], "the balancer g_blend_online")
        ends = super_epochs(runs[folder].settings["balancer"], len(history["epoch"]))
        if not len(ends):
            raise UserError(
                f"row {name!r}: no super-epoch is complete; its balancer has none, or training ended within the first"
            )
        return draw_blend(history, ends), (
            f"Seed {seed}. (a) Hatched: no head generalised, so weights are equal. (b) Validation accuracy at the end "
            "of each super-epoch; naive training, by the joint loss alone, starts from the same model. The joint heads "
            "are compared as they are, not classifiers finetuned on frozen encoders: a departure from the paper. A "
            "super-epoch within which training ended is left out."
        )


def draw_blend(history: Mapping[str, NDArray[np.float64]], ends: NDArray[np.int64]) -> Figure:
    """Left: stacked weights by epoch, hatched where they are a fallback. Right: both accuracies at `ends`, from 1."""
    figure = Figure(figsize=(WIDTH, 3.4))
    left, right = figure.subplots(1, 2)
    weights = {name.removeprefix("weight_"): values for name, values in history.items() if name.startswith("weight_")}
    colours = colours_of_heads(weights)
    edges = np.append(history["epoch"] - 0.5, history["epoch"][-1] + 0.5)
    below = np.zeros(len(history["epoch"]))
    handles: dict[str, Artist] = {}
    for head, colour in colours.items():
        left.stairs(below + weights[head], edges, baseline=below, fill=True, color=colour)
        below = below + weights[head]
        handles[f"weight, {head}"] = Patch(color=colour)
    if history["fallback"].any():
        equal = np.where(history["fallback"] == 1, below, np.nan)
        left.stairs(equal, edges, baseline=0, fill=True, facecolor="none", edgecolor="white", hatch="//", lw=0)
        handles["equal weights: no head generalised"] = Patch(facecolor=GREY, edgecolor="white", hatch="//")
    left.set_title("(a) Weights of the heads")
    left.set_ylim(0, None)
    left.margins(x=0)
    for column, label, colour, style in (("val_accuracy", "G-Blend", BLUE, "o-"), (NAIVE, "naive", GREY, "s--")):
        right.plot(ends, 100 * history[column][ends - 1], style, color=colour, lw=1.5, ms=5)
        handles[f"accuracy, {label}"] = Line2D([], [], color=colour, marker=style[0], ls=style[1:], lw=1.5, ms=5)
    right.set_title("(b) Validation accuracy, %")
    for axes in (left, right):
        axes.set_xlabel("epoch")
    by_epoch(left, right)
    legend_below(figure, handles)
    return figure
