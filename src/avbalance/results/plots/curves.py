"""Training curves of one row."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow, Plot, modalities_of, seeds_text
from avbalance.results.plots.style import BLUE, GREEN, GREY, ORANGE, WIDTH, by_epoch, colours_of_heads
from avbalance.results.runs import Run, Runs


class Curves(Plot):
    """Loss and validation accuracy by epoch, and how modalities fare.

    Args:
        also: Further panels, a line for each modality and for `joint`: `grad_norm`, the mean length of the gradient of
            an encoder's weights; `weight_norm`, the mean length of a class's weight; and what a balancer records in
            history.csv as `<name>_<modality>`, such as `coefficient`, `weight` and `ogr`.
    """

    reads_history: ClassVar[bool] = True

    def __init__(self, also: Sequence[str] = ()) -> None:
        self.also = also

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read every seed's history."""
        ((name, row),) = rows.items()
        trainings = [
            TrainingCurves(seed, runs[folder].history | _weight_norms(runs[folder]), runs[folder].metrics["best_epoch"])
            for seed, folder in row.runs.items()
        ]
        heads = [*modalities_of(row.first[1], runs), "joint"]
        panels = {what: [head for head in heads if f"{what}_{head}" in trainings[0].history] for what in self.also}
        for what, heads_with_curve in panels.items():
            if not heads_with_curve:
                raise UserError(
                    f"row {name!r} has no {what}_<modality> in its history; leave {what!r} out of also, or, if the row "
                    f"has it, train it anew: remove {row.first[1]} and run 'snakemake --cores'"
                )
        first, *others = row.runs
        caption = f"Seed {first} bold, {seeds_text(others)} thin." if others else f"Seed {first}."
        training = runs[row.first[1]].settings.get("training", {})
        chosen = "last epoch" if training.get("select") == "last" else "epoch with the lowest validation loss"
        meanings = "".join(f" {MEANINGS[what]}" for what in self.also if what in MEANINGS)
        return draw_curves(trainings, panels), (
            f"{caption} A dot marks the {chosen}, whose weights are used. The training "
            f"loss is the mean over the epoch's steps, with dropout.{meanings}"
        )


TITLES = {"grad_norm": "Gradient norms of the encoders", "weight_norm": "Weight norms, mean over classes"}
MEANINGS = {
    "grad_norm": "Gradient norms: as the balancer left them, mean over the steps of an epoch that were sampled.",
    "weight_norm": "Weight norms: mean over classes of the length of a class's weight, at the end of an epoch.",
}


class TrainingCurves(NamedTuple):
    """One seed's training: history {column: [epochs]} and the chosen epoch."""

    seed: int
    history: Mapping[str, NDArray[np.float64]]
    best_epoch: int


def _weight_norms(run: Run) -> dict[str, NDArray[np.float64]]:
    """{weight_norm_<stream>: [epochs]}; empty if the head has no weight for each class."""
    return {
        f"weight_norm_{stream}": np.asarray(norms.mean(axis=1), np.float64)
        for stream, norms in run.weight_norms.items()
    }


def draw_curves(trainings: Sequence[TrainingCurves], panels: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Loss and validation accuracy by epoch; the first seed bold, the others thin, chosen epochs as dots.

    Args:
        trainings: One a seed.
        panels: {start of the columns' names: how they end}, a panel each.
    """
    panels = panels or {}
    figure = Figure(figsize=(WIDTH, 5 + 2 * len(panels)))
    losses, accuracy, *further = figure.subplots(2 + len(panels), 1, sharex=True)
    for place, (_, history, best_epoch) in enumerate(trainings):
        width, alpha = (2.0, 1.0) if place == 0 else (0.9, 0.45)
        chosen = history["epoch"] == best_epoch
        for axes, column, colour, factor in (
            (losses, "train_loss", BLUE, 1),
            (losses, "val_loss", ORANGE, 1),
            (accuracy, "val_accuracy", GREEN, 100),
        ):
            values = factor * history[column]
            axes.plot(history["epoch"], values, color=colour, lw=width, alpha=alpha)
            if column != "train_loss":
                axes.plot(history["epoch"][chosen], values[chosen], "o", color=colour, ms=3 + 2 * width, alpha=alpha)
        for axes, (what, heads) in zip(further, panels.items(), strict=True):
            for head, colour in colours_of_heads(heads).items():
                axes.plot(history["epoch"], history[f"{what}_{head}"], color=colour, lw=width, alpha=alpha)
    losses.plot([], [], color=BLUE, lw=2, label="training")
    losses.plot([], [], color=ORANGE, lw=2, label="validation")
    losses.plot([], [], "o", color=GREY, ms=7, label="chosen epoch")
    losses.set(title="Loss, nats", ylim=(0, None))
    accuracy.set(title="Validation accuracy, %")
    for axes, (what, heads) in zip(further, panels.items(), strict=True):
        for head, colour in colours_of_heads(heads).items():
            axes.plot([], [], color=colour, lw=2, label=head)
        axes.set(title=TITLES.get(what, what.capitalize()), ylim=(0, None))
    for axes in (losses, *further):
        axes.legend()
    (accuracy, *further)[-1].set_xlabel("epoch")
    by_epoch(losses, accuracy, *further)
    return figure
