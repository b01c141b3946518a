"""Accuracy, loss and calibration.

Of test clips and of test videos, where a clip has one class; the loss also where a clip has several.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.metrics import by_video, calibration_error, clip_losses, correct, macro_f1
from avbalance.results.columns.base import Column, RowTraits, Values
from avbalance.results.joined_rows import is_right
from avbalance.results.runs import Run

SINGLE_LABEL = ("single_label",)


def right_of_clips(run: Run, logits: str, k: int = 1) -> Values | None:
    """100 for each test clip whose class is among the first k, else 0, [clips]; None without these logits."""
    labels = run.predictions["test_label"]
    if labels.ndim != 1 or logits not in run.predictions:
        return None
    return 100.0 * correct(run.predictions[logits], labels, k).astype(np.float64)


class Accuracy(Column):
    """Share of the test clips that are classified correctly."""

    heading = "Test accuracy"
    unit, digits, better = "%", 1, 1
    tasks = SINGLE_LABEL
    joins = True
    k: ClassVar[int] = 1
    by_video: ClassVar[bool] = False

    def value(self, run: Run) -> Values | None:
        """[clips]."""
        return right_of_clips(run, "test_logits", self.k)

    def joined(self, parts: Sequence[Run]) -> Values | None:
        """[clips] or [videos]."""
        return is_right(parts, self.k, self.by_video)


class Top5(Accuracy):
    """Share of the test clips whose class is among the five most probable ones."""

    heading = "Test top-5 accuracy"
    k = 5


class VideoAccuracy(Accuracy):
    """Share of the test videos that are classified correctly (V@1)."""

    heading = "Video accuracy"
    captions: ClassVar[tuple[str, ...]] = ("Video accuracy: class probabilities averaged over a video's clips.",)
    by_video = True

    @classmethod
    def applies(cls, traits: RowTraits) -> bool:
        """Return True if clips are windows of videos."""
        return super().applies(traits) and traits.has_videos

    def value(self, run: Run) -> Values | None:
        """[videos]; None if clips belong to no video."""
        said, videos = run.predictions, run.predictions.get("test_video")
        if videos is None or said["test_label"].ndim != 1 or "test_logits" not in said:
            return None
        probabilities, labels = by_video(said["test_logits"], said["test_label"], videos)
        return 100.0 * correct(probabilities, labels, self.k).astype(np.float64)


class VideoTop5(VideoAccuracy):
    """Share of the test videos whose class is among the five most probable ones."""

    heading = "Video top-5 accuracy"
    k = 5


class Error(Accuracy):
    """Share of the test clips that are classified wrongly."""

    heading = "Test error"
    digits, better = 2, -1
    joins = False

    def value(self, run: Run) -> Values | None:
        """[clips]."""
        right = right_of_clips(run, "test_logits")
        return None if right is None else 100.0 - right


class Loss(Column):
    """Mean cross-entropy of the test clips; binary cross-entropy where a clip has several classes."""

    heading = "Test loss"
    unit, better = "nats", -1
    tasks = ("single_label", "multi_label")

    def value(self, run: Run) -> Values | None:
        """[clips]."""
        if "test_logits" not in run.predictions:
            return None
        return clip_losses(run.predictions["test_logits"], run.predictions["test_label"])


class _OfAllClips(Column):
    """A number of all test clips together, in per cent."""

    unit, digits = "%", 1
    tasks = SINGLE_LABEL

    def value(self, run: Run) -> Values | None:
        """[1]."""
        logits, labels = run.predictions.get("test_logits"), run.predictions["test_label"]
        return None if logits is None or labels.ndim != 1 else np.array([100.0 * self.share(logits, labels)])

    def share(self, logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The number, 0 to 1; arguments as for `metrics.correct`."""
        raise NotImplementedError


class MacroF1(_OfAllClips):
    """Mean over classes of the F1 score on test clips."""

    heading = "Macro F1"
    better = 1
    captions: ClassVar[tuple[str, ...]] = ("Macro F1: mean of the F1 scores of the classes that occur in test.",)

    def share(self, logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """Mean of the F1 scores."""
        return macro_f1(logits, labels)


class Ece(_OfAllClips):
    """Expected calibration error on test clips."""

    heading = "Calibration error"
    better = -1
    captions: ClassVar[tuple[str, ...]] = (
        "Calibration error: mean difference between accuracy and the largest probability, over 15 bins of that "
        "probability (Guo et al., ICML 2017).",
    )

    def share(self, logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
        """The error with the usual 15 bins."""
        return calibration_error(logits, labels)
