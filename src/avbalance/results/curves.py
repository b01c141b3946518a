"""Columns that say how a run was trained: its training figures, curves, weight norms and angles."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.results.runs import Predictions, Runs

COLUMNS = {
    "train_accuracy": ("Training accuracy", "%", 1, 0),
    "train_loss": ("Training loss", "nats", 3, 0),
    "val_accuracy": ("Validation accuracy", "%", 1, 0),
    "best_epoch": ("Epoch kept", "", 0, 0),
    "loss_fluctuation": ("Fluctuation of the training loss", "nats", 3, 0),
    "super_epoch_accuracy": ("Least gain of a super-epoch: accuracy", "%", 1, 0),
    "super_epoch_naive_accuracy": ("Least gain of a super-epoch: naive accuracy", "%", 1, 0),
}
"""{column: (heading, unit, digits, better)} as of `columns.Column`."""
OF_A_STREAM = re.compile(r"(norm_growth|angle_mean|angle_deviation)_(\w+)")
HEADINGS = {
    "norm_growth": ("Growth of {} weight norm", "", 3, 0),
    "angle_mean": ("{} angle, mean", "degrees", 1, 0),
    "angle_deviation": ("{} angle, deviation", "degrees", 1, 0),
}
NAIVE = "naive_val_accuracy"


def value(column: str, folder: str, predictions: Predictions, runs: Runs) -> NDArray[np.float64] | None:
    """One seed's values, [clips] of angles and else [1]; None where the run has no such column."""
    if match := OF_A_STREAM.fullmatch(column):
        return _of_stream(match[1], match[2], folder, predictions, runs)
    if column == "loss_fluctuation":
        return np.array([fluctuation(runs.history(folder)["train_loss"])])
    if column.startswith("super_epoch"):
        return _least_gain(column, folder, runs)
    figures = runs.metrics(folder)
    return np.array([figures[column] * (100 if column.endswith("accuracy") else 1)]) if column in figures else None


def _of_stream(what: str, stream: str, folder: str, predictions: Predictions, runs: Runs) -> NDArray[np.float64] | None:
    """Growth of the weights' lengths, or the angles of test clips; MMCosine (Xu et al., ICASSP 2023), Figs. 3 and 4."""
    if what == "norm_growth":
        norms = runs.weight_norms(folder)
        return np.array([(norms[stream][-1] - norms[stream][0]).mean()]) if stream in norms else None
    if f"test_angle_{stream}" not in predictions:
        return None
    degrees = predictions[f"test_angle_{stream}"].astype(np.float64)
    return degrees if what == "angle_mean" else np.array([degrees.std()])


def fluctuation(losses: NDArray[np.floating]) -> float:
    """Median over epochs of |L(e - 1) - 2 L(e) + L(e + 1)|; NaN of fewer than three epochs.

    Second differences, so that a loss that falls steadily does not fluctuate; their median, so that the steep fall of
    the first epochs does not count.

    Args:
        losses: [epochs], L(e) the mean loss while training in epoch e.
    """
    return float(np.median(np.abs(np.diff(losses, n=2)))) if len(losses) > 2 else float("nan")


def _least_gain(column: str, folder: str, runs: Runs) -> NDArray[np.float64] | None:
    """The accuracy at the end of the super-epoch in which the balancer gains least over naive training, [1]."""
    history = runs.history(folder)
    if NAIVE not in history:
        return None
    ends = super_epochs(runs.manifests[folder]["recipe"]["settings"]["balancer"], len(history["epoch"]))
    if not len(ends):
        return np.array([np.nan])
    ours, naive = (100 * history[name][ends - 1] for name in ("val_accuracy", NAIVE))
    worst = (ours - naive).argmin()
    return (naive if "naive" in column else ours)[worst : worst + 1]


def super_epochs(balancer: Mapping[str, Mapping[str, Any]], num_epochs: int) -> NDArray[np.int64]:
    """The last epochs (from 1) of the complete super-epochs: `first` epochs, then `then` each; none of others."""
    (options,) = balancer.values()
    if not {"first", "then"} <= options.keys():
        return np.empty(0, np.int64)
    return np.arange(options["first"], num_epochs + 1, options["then"])
