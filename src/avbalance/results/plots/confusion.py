"""A confusion matrix of one row."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.results.plots.base import FigureRow, Plot, seeds_text
from avbalance.results.plots.style import WIDTH
from avbalance.results.runs import Runs


class Confusion(Plot):
    """Counts of true against predicted classes on the test split."""

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Count the test clips of all seeds."""
        (row,) = rows.values()
        counts = count(row.runs, runs)
        classes = [str(number) for number in range(len(counts))]
        share = 100 * np.trace(counts) / counts.sum()
        return draw_confusion(counts, classes), (
            f"Test clips, summed over {seeds_text(row.runs)}; {share:.1f} % lie on the diagonal."
        )


def count(folders: Mapping[int, str], runs: Runs) -> NDArray[np.int64]:
    """Test clips by class, [true, predicted], summed over seeds {seed: folder}."""
    counts = np.zeros((), np.int64)
    for folder in folders.values():
        predictions = runs[folder].predictions
        logits, labels = predictions["test_logits"], predictions["test_label"]
        size = logits.shape[1]
        counted = np.bincount(labels * size + logits.argmax(axis=1), minlength=size**2).reshape(size, size)
        counts = counts + counted
    return counts


def draw_confusion(counts: NDArray[np.integer], classes: Sequence[str]) -> Figure:
    """Counts [true, predicted]; colours are shares of the true class."""
    with mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, 5))
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
