"""Training curves of one row."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avbalance.results.plots.base import Plot, Row, seeds_text
from avbalance.results.plots.style import BLUE, GREEN, GREY, ORANGE, WIDTH
from avbalance.results.runs import Runs


class Curves(Plot):
    """Loss and validation accuracy by epoch."""

    def draw(self, rows: Mapping[str, Row], runs: Runs) -> tuple[Figure, str]:
        """Read every seed's history."""
        (row,) = rows.values()
        trainings = [
            Training(seed, runs.history(folder), runs.metrics(folder)["best_epoch"])
            for seed, folder in row.runs.items()
        ]
        first, *others = row.runs
        caption = f"Seed {first} bold, {seeds_text(others)} thin." if others else f"Seed {first}."
        training = runs.manifests[row.first[1]]["recipe"]["settings"].get("training", {})
        chosen = "last epoch" if training.get("select") == "last" else "epoch with the lowest validation loss"
        return draw_curves(trainings), (
            f"{caption} A dot marks the {chosen}, whose weights are used. The training "
            "loss is the mean over the epoch's steps, with dropout."
        )


class Training(NamedTuple):
    """One seed's training: history {column: [epochs]} and the chosen epoch."""

    seed: int
    history: Mapping[str, NDArray[np.float64]]
    best_epoch: int


def draw_curves(trainings: Sequence[Training]) -> Figure:
    """Loss and validation accuracy by epoch; the first seed bold, the others thin, chosen epochs as dots."""
    figure = Figure(figsize=(WIDTH, 5))
    losses, accuracy = figure.subplots(2, 1, sharex=True)
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
    losses.plot([], [], color=BLUE, lw=2, label="training")
    losses.plot([], [], color=ORANGE, lw=2, label="validation")
    losses.plot([], [], "o", color=GREY, ms=7, label="chosen epoch")
    losses.legend()
    losses.set(title="Loss, nats", ylim=(0, None))
    accuracy.set(title="Validation accuracy, %", xlabel="epoch")
    for axes in (losses, accuracy):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="x", visible=False)
    return figure
