"""Sample clips of one row, with their logits."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance import store
from avbalance.data.prepared import files_of, numbers_of, read_description
from avbalance.data.stored import open_stored
from avbalance.ranges import Handful
from avbalance.results.plots.base import FigureRow, Plot, modalities_of
from avbalance.results.plots.style import BLUE, GREY, ORANGE
from avbalance.results.runs import Runs

SAMPLE_SEED = 0
"""Seed of the draw: every figure of a dataset's split shows the same clips."""


class Samples(Plot):
    """Clips drawn at random, with the logits of the first seed.

    Args:
        split: Split from which clips are drawn.
        num_clips: Number of clips.
    """

    reads_data: ClassVar[bool] = True
    has_pictures: ClassVar[bool] = True

    def __init__(self, split: Literal["train", "val", "test"], num_clips: Handful) -> None:
        self.split, self.num_clips = split, num_clips

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Read the clips from the prepared data."""
        (row,) = rows.values()
        seed, folder = row.first
        predictions = runs[folder].predictions
        data = {modality: runs[folder].data[modality] for modality in modalities_of(folder, runs)}
        store.open_artifacts(data.values())
        description = read_description(data)
        stored = "seen" if self.split == "train" else self.split
        labels, logits, clips = (predictions[f"{stored}_{name}"] for name in ("label", "logits", "clip"))
        drawn = np.sort(np.random.default_rng(SAMPLE_SEED).choice(len(labels), self.num_clips, replace=False))
        numbers = clips[drawn]
        places = np.searchsorted(predictions[f"{self.split}_clip"], numbers)
        inputs = {
            modality: open_stored(files_of(place, self.split, modality)).rows(
                np.searchsorted(numbers_of(place, self.split), numbers)
            )
            for modality, place in data.items()
        }
        samples = [
            Sample(
                int(places[number]),
                {modality: rows[number] for modality, rows in inputs.items()},
                logits[index],
                int(labels[index]),
            )
            for number, index in enumerate(drawn)
        ]
        return draw_samples(samples, description["classes"], description.get("sample_rate")), (
            f"{self.num_clips} clips of the {self.split} split, drawn at random; logits of seed {seed}. Blue: the true "
            "class; orange: the predicted class where it is another one."
        )


class Sample(NamedTuple):
    """One clip: number in its split, {modality: input}, logits [classes], label."""

    number: int
    inputs: dict[str, NDArray[Any]]
    logits: NDArray[np.floating]
    label: int


def draw_samples(samples: Sequence[Sample], classes: Sequence[str], sample_rate: int | None) -> Figure:
    """Draw a column for each clip: the input of each modality, and below it the logits of all classes."""
    modalities = list(samples[0].inputs)
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
            f"clip {sample.number}: {classes[sample.label]}\n{'✓' if right else '✗'} predicted {classes[predicted]}",
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
