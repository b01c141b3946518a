"""The classes that gain and lose most."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.data.prepared import Folders, read_description
from avbalance.errors import UserError
from avbalance.metrics import by_video, correct
from avbalance.ranges import Count
from avbalance.results.formats import number
from avbalance.results.plots.base import FigureRow, Plot, seeds_text, split_baseline
from avbalance.results.plots.style import BLUE, GREY, ORANGE, WIDTH
from avbalance.results.runs import Predictions, Runs
from avbalance.store import read_manifest


class Classes(Plot):
    """The classes whose test accuracy a row improves most over a baseline, and those it worsens most.

    G-Blend (Wang et al., CVPR 2020), Figure 6. Two rows.

    Args:
        baseline: The row with which the other is compared.
        num_classes: How many classes at each end.
    """

    several_rows: ClassVar[bool] = True
    reads_data: ClassVar[bool] = True

    def __init__(self, baseline: str, num_classes: Count = 10) -> None:
        self.baseline, self.num_classes = baseline, num_classes

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """Compare the seeds that both rows have."""
        baseline, others = split_baseline(rows, self.baseline, runs)
        if len(others) != 1:
            raise UserError(f"rows {', '.join(rows)}: give a baseline and one other row")
        (row,) = others.values()
        seeds = [seed for seed in row.runs if seed in baseline.runs]
        if not seeds:
            raise UserError(f"no seed has a run of both the baseline {self.baseline!r} and the other row")
        change = np.mean(
            [
                class_accuracies(runs[row.runs[seed]].predictions)
                - class_accuracies(runs[baseline.runs[seed]].predictions)
                for seed in seeds
            ],
            axis=0,
        )
        folder = row.runs[seeds[0]]
        names = class_names(runs[folder].data, len(change))
        best, worst = extremes(change, self.num_classes)
        items = "videos" if "test_video" in runs[folder].predictions else "clips"
        which = (
            "All classes"
            if not len(worst)
            else f"The {len(best)} classes that gain most and the {len(worst)} that lose most"
        )
        return draw_classes(change, best, worst, names, f"{row.label} against {baseline.label}"), (
            f"{which}: accuracy on test {items}, {row.label} minus {baseline.label}, mean over {seeds_text(seeds)}."
            + " Chosen by their test accuracy, so they overstate what new clips would show." * bool(len(worst))
        )


def class_accuracies(predictions: Predictions) -> NDArray[np.float64]:
    """Accuracy on each class's test videos, or on its clips if there are no videos, in %, [classes].

    NaN for a class without test clips.
    """
    scores, labels = predictions["test_logits"], predictions["test_label"]
    if "test_video" in predictions:
        scores, labels = by_video(scores, labels, predictions["test_video"])
    right, total = (np.bincount(labels, weights, scores.shape[1]) for weights in (correct(scores, labels), None))
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * right / total)


def class_names(data: Folders, num_classes: int) -> list[str]:
    """Names of the classes in the prepared data; numbers if it has none."""
    for folder in data.values():
        read_manifest(folder)
    return [str(name) for name in read_description(data).get("classes") or range(num_classes)]


def extremes(change: NDArray[np.float64], num_classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Classes with the highest and with the lowest change, each from the highest; the first of equal ones.

    If there are at most twice as many classes as asked for, all are in the first group.
    """
    order = np.argsort(-change, kind="stable")[: np.count_nonzero(~np.isnan(change))]
    if len(order) <= 2 * num_classes:
        return order, order[:0]
    return order[:num_classes], order[-num_classes:]


def draw_classes(
    change: NDArray[np.float64],
    best: NDArray[np.int64],
    worst: NDArray[np.int64],
    names: Sequence[str],
    what: str,
) -> Figure:
    """Draw a bar for each class, with a gap between the two groups."""
    shown = np.concatenate([best, worst])
    y = np.concatenate([np.arange(len(best)), len(best) + 1 + np.arange(len(worst))])
    figure = Figure(figsize=(WIDTH, 0.9 + 0.22 * len(shown)))
    axes = figure.subplots()
    axes.barh(y, change[shown], 0.75, color=[BLUE if value >= 0 else ORANGE for value in change[shown]])
    for place, value in zip(y, change[shown], strict=True):
        axes.text(
            1.02, place, number(value, 1, sign=True), va="center", transform=axes.get_yaxis_transform(), fontsize=8
        )
    axes.axvline(0, color=GREY, lw=1)
    axes.set_yticks(y, [names[c] for c in shown], fontsize=8)
    axes.set_ylim(y[-1] + 0.7, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(fill(f"{what}, points", 48))
    return figure
