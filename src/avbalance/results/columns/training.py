"""Training and validation."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run


class _Metric(Column):
    """A number of the run's metrics.json under the column's name."""

    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label")
    factor: ClassVar[float] = 1

    def value(self, run: Run) -> Values | None:
        """[1], times `factor`."""
        return np.array([run.metrics[self.name] * self.factor]) if self.name in run.metrics else None


class TrainLoss(_Metric):
    """Loss on train."""

    heading = "Training loss"
    unit = "nats"
    captions = ("Training loss: of the kept model on all training clips, in evaluation mode.",)


class TrainAccuracy(_Metric):
    """Accuracy on train."""

    heading = "Training accuracy"
    unit, digits, factor = "%", 1, 100
    tasks = ("single_label",)
    captions = ("Training accuracy: of the kept model on all training clips, in evaluation mode.",)


class ValAccuracy(_Metric):
    """Accuracy of the kept model on validation clips."""

    heading = "Validation accuracy"
    unit, digits, factor = "%", 1, 100
    tasks = ("single_label",)


class BestEpoch(_Metric):
    """Epoch, from 1, whose weights were kept."""

    heading = "Epoch kept"
    digits = 0


class LossFluctuation(Column):
    """Fluctuation of the training loss between epochs."""

    heading = "Fluctuation of the training loss"
    unit = "nats"
    tasks = ("single_label", "multi_label")
    captions = ("Fluctuation: median over epochs e of |L(e − 1) − 2 L(e) + L(e + 1)|, L(e) the mean training loss.",)

    def value(self, run: Run) -> Values | None:
        """[1]; None without epochs."""
        return np.array([fluctuation(run.history["train_loss"])]) if "train_loss" in run.history else None


def fluctuation(losses: NDArray[np.floating]) -> float:
    """Median over epochs of |L(e - 1) - 2 L(e) + L(e + 1)|; NaN for fewer than three epochs.

    Second differences ignore a loss that falls steadily; their median ignores the steep fall of the first epochs.

    Args:
        losses: [epochs], L(e), the mean loss while training in epoch e.
    """
    return float(np.median(np.abs(np.diff(losses, n=2)))) if len(losses) > 2 else float("nan")
