"""Training of each modality, epoch by epoch."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import ClassVar, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow, Plot, modalities_of, read_history, seeds_text
from avbalance.results.plots.style import JOINT, WIDTH, by_epoch, colours_of_heads, legend_below
from avbalance.results.runs import Runs


class TrainingCurves(NamedTuple):
    """One row's training: label, modalities, history {column: [epochs]}, {stream: norms [epochs, classes]}."""

    label: str
    modalities: list[str]
    history: Mapping[str, NDArray[np.float64]]
    norms: Mapping[str, NDArray[np.float32]]


class Balance(Plot):
    """Accuracy, logits and weight norms of each modality by epoch.

    MMCosine (Xu et al., ICASSP 2023), Figure 3: (a) validation accuracy of the model and of each modality's share of
    its logits, (b) the mean share z_y^m of the true class, (c, d) the norm |W_j^m| of each class's weight.
    """

    several_rows: ClassVar[bool] = True
    reads_history: ClassVar[bool] = True

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read the first seed of each row."""
        trainings = [read_training(name, row, runs) for name, row in rows.items()]
        seeds = sorted({row.first[0] for row in rows.values()})
        return draw_balance(trainings), (
            f"On validation clips, {seeds_text(seeds)}. A modality's accuracy and logit are those of its share of the "
            "logits, the other modalities masked. Weight norms: a line for each class."
            + " Vertical scales of logits and norms differ between the columns."
            * (len(trainings) > 1)
        )


def read_training(name: str, row: FigureRow, runs: Runs) -> TrainingCurves:
    """The first seed's training.

    Raises:
        UserError: The run has no such curves, or its head has no weight for each class.
    """
    _, folder = row.first
    modalities = modalities_of(folder, runs)
    wanted = ["val_accuracy", *(f"{what}_{m}" for what in ("val_acc_masked", "val_logit") for m in modalities)]
    history = read_history(name, folder, runs, wanted, "two modalities or more")
    if not runs[folder].weight_norms:
        raise UserError(
            f"row {name!r} has no weight_norms.npz, which heads with a weight for each class leave; leave the "
            f"row out, or train it anew: remove {folder} and run 'snakemake --cores'"
        )
    return TrainingCurves(row.label, modalities, history, runs[folder].weight_norms)


def draw_balance(trainings: Sequence[TrainingCurves]) -> Figure:
    """Draw a column of panels for each training."""
    names = dict.fromkeys(m for training in trainings for m in (*training.modalities, *training.norms))
    colours = colours_of_heads([*names, "joint"])
    num_panels = 2 + max(len(training.norms) for training in trainings)
    figure = Figure(figsize=(max(WIDTH, 2.6 * len(trainings)), 1.65 * num_panels + 0.6))
    grid = figure.subplots(num_panels, len(trainings), squeeze=False, sharex=True)
    for column, training in zip(grid.T, trainings, strict=True):
        accuracy, logit, *norms = column
        epochs = training.history["epoch"]
        accuracy.plot(epochs, 100 * training.history["val_accuracy"], color=JOINT, lw=2)
        for m in training.modalities:
            accuracy.plot(epochs, 100 * training.history[f"val_acc_masked_{m}"], color=colours[m], lw=1.5)
            logit.plot(epochs, training.history[f"val_logit_{m}"], color=colours[m], lw=1.5)
        for axes, (stream, values) in zip(norms, training.norms.items(), strict=False):
            axes.plot(epochs, values, color=colours[stream], lw=0.7, alpha=0.6)
        _finish(column, training)
    top = max(axes.get_ylim()[1] for axes in grid[0])
    for axes in grid[0]:
        axes.set_ylim(0, top)
    legend_below(figure, {name: Line2D([], [], color=colour, lw=2) for name, colour in colours.items()})
    return figure


def _finish(column: NDArray[np.object_], training: TrainingCurves) -> None:
    """Titles, limits and ticks of one training's panels."""
    accuracy, logit, *norms = column
    used: list[Axes] = norms[: len(training.norms)]
    titles = ["Validation accuracy, %", "Logit of the true class", *(f"Weight norms, {m}" for m in training.norms)]
    for letter, axes, title in zip("abcdefghij", (accuracy, logit, *used), titles, strict=False):
        axes.set_title(f"({letter}) {title}", fontsize=9, fontweight="normal")
    accuracy.annotate(
        fill(training.label, 30), (0, 1), (0, 20), "axes fraction", "offset points", fontsize=10, fontweight="bold"
    )
    top = 1.05 * max(float(values.max()) for values in training.norms.values())
    for axes in used:  # so that the modalities can be compared
        axes.set_ylim(0, top)
    used[-1].set_xlabel("epoch")
    used[-1].tick_params(labelbottom=True)
    by_epoch(*column)
    for axes in norms[len(used) :]:
        axes.set_axis_off()
