"""What the figures show: training curves, a confusion matrix, sample clips with their logits."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.typing import RcKeyType
from numpy.typing import NDArray

# Okabe & Ito's palette: told apart under every common colour blindness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"
STYLE: dict[RcKeyType, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e5e7eb",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "avbalance",
}


class Training(NamedTuple):
    """One seed's training: history {column: [epochs]} and the chosen epoch."""

    seed: int
    history: Mapping[str, NDArray[np.float64]]
    best_epoch: int


class Sample(NamedTuple):
    """One clip: its place in the split, {modality: input}, its logits [classes], its label."""

    number: int
    inputs: dict[str, NDArray[Any]]
    logits: NDArray[np.floating]
    label: int


def draw_curves(trainings: Sequence[Training]) -> Figure:
    """Loss and validation accuracy by epoch; the first seed bold, the others thin, chosen epochs as dots."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 5))
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
                    axes.plot(
                        history["epoch"][chosen], values[chosen], "o", color=colour, ms=3 + 2 * width, alpha=alpha
                    )
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


def draw_confusion(counts: NDArray[np.integer], classes: Sequence[str]) -> Figure:
    """Counts [true, predicted]; colours are shares of the true class."""
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(5.6, 5))
        axes = figure.subplots()
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        # The square root makes errors of a few per cent visible.
        norm = PowerNorm(0.5, 0, 100)
        image = axes.imshow(100 * shares, cmap="Blues", norm=norm)
        for true, predicted in np.ndindex(counts.shape):
            if counts[true, predicted]:
                axes.text(
                    predicted,
                    true,
                    f"{counts[true, predicted]}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if norm(100 * shares[true, predicted]) > 0.6 else "black",
                )
        axes.set_xticks(range(len(classes)), classes)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, label="% of the true class")
        bar.outline.set_visible(False)
        return figure


def draw_samples(samples: Sequence[Sample], classes: Sequence[str], sample_rate: int | None) -> Figure:
    """A column a clip: each modality's input, and below it the logits of all classes."""
    modalities = list(samples[0].inputs)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(1.35 * len(samples), 1.35 * len(modalities) + 1.7))
        grid = figure.subplots(
            len(modalities) + 1,
            len(samples),
            squeeze=False,
            sharex="row",
            height_ratios=[1.0] * len(modalities) + [1.1],
        )
        low = min(float(sample.logits.min()) for sample in samples)
        high = max(float(sample.logits.max()) for sample in samples)
        for column, sample in zip(grid.T, samples, strict=True):
            predicted = int(sample.logits.argmax())
            for axes, modality in zip(column, modalities, strict=False):
                _draw_input(axes, sample.inputs[modality], sample_rate)
            right = predicted == sample.label
            column[0].set_title(
                f"clip {sample.number}: {classes[sample.label]}\n{'✓' if right else '✗'} said {classes[predicted]}",
                fontsize=8,
                color=BLUE if right else ORANGE,
            )
            colours = [GREY] * len(classes)
            colours[predicted] = ORANGE
            colours[sample.label] = BLUE
            column[-1].bar(range(len(classes)), sample.logits, color=colours, width=0.75)
            column[-1].axhline(0, color=GREY, lw=0.8)
            column[-1].set_xticks(range(len(classes)), classes, fontsize=7)
            column[-1].set_ylim(1.05 * min(low, 0), 1.05 * high)
            column[-1].tick_params(axis="x", length=0)
            column[-1].grid(axis="x", visible=False)
        for axes in grid[-1, 1:]:
            axes.tick_params(labelleft=False)
        grid[-1, 0].set_ylabel("logit")
        return figure


def _draw_input(axes: Axes, values: NDArray[Any], sample_rate: int | None) -> None:
    """A waveform [samples], a spectrogram [height, width] or an image [channels, height, width]."""
    axes.grid(visible=False)
    if values.ndim == 1:
        seconds = np.arange(len(values)) / (sample_rate or 1)
        axes.plot(seconds, values, color=GREY, lw=0.4, rasterized=True)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("seconds" if sample_rate else "sample", fontsize=7, labelpad=1)
        axes.set_xticks([0, len(values) / (sample_rate or 1)])
        axes.tick_params(axis="x", labelsize=7)
        return
    image = values if values.ndim == 2 else values.transpose(1, 2, 0)
    colour_map = "viridis" if values.ndim == 2 else "gray"
    axes.imshow(image.squeeze().astype(np.float32), cmap=colour_map, origin="lower" if values.ndim == 2 else "upper")
    axes.set_axis_off()
