"""How far modalities are from carrying a model alike: gaps, and what each contributes."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.metrics import correct

Coalition = frozenset[str]
"""Modalities that are shown."""


def gap(said: Sequence[Mapping[str, NDArray[Any]]], logits: str) -> NDArray[np.float64] | None:
    """The best modality's test accuracy minus the worst one's in points, [1]; None of one, or of several labels a clip.

    Args:
        said: Predictions of each modality's own run, or of one run with logits of all.
        logits: How the names of a modality's logits start; those of several modalities have a plus.
    """
    if said[0]["test_label"].ndim != 1:
        return None
    found = [(each, name) for each in said for name in each if name.startswith(logits) and "+" not in name]
    rights = [100.0 * correct(each[name], each["test_label"]).mean() for each, name in found]
    return np.array([max(rights) - min(rights)]) if len(rights) > 1 else None


def shapley(worth: Mapping[Coalition, NDArray[np.float64]], modality: str) -> NDArray[np.float64]:
    """The Shapley value of a modality, [clips] or a number (Shapley 1953).

    Each modality's gain over those shown before it, v(S + m) - v(S), mean over all M! orders:

        phi_m = sum_{S without m} |S|! (M - |S| - 1)! / M! (v(S + m) - v(S))

    Over all modalities the values sum to v(all) - v(none).

    Args:
        worth: v, of every set of modalities, the empty one included.
    """
    everything: Coalition = frozenset().union(*worth)
    others = sorted(everything - {modality})
    total = np.zeros_like(next(iter(worth.values())), np.float64)
    for size in range(len(others) + 1):
        weight = factorial(size) * factorial(len(others) - size) / factorial(len(others) + 1)
        for chosen in combinations(others, size):
            shown = frozenset(chosen)
            total += weight * (worth[shown | {modality}] - worth[shown])
    return total


def right_with(predictions: Mapping[str, NDArray[Any]]) -> dict[Coalition, NDArray[np.float64]] | None:
    """Of each set of modalities, which test clips the joint model has right with these alone: 100 or 0, [clips].

    Without any it can only guess one class for all clips: the most frequent one of the training clips. Where classes
    are unequal this is right more often than one in C, and no modality is given the credit for it.

    Args:
        predictions: Of a run; "test_masked_<modality>" and, of three modalities or more, "test_masked_<a>+<b>".

    Returns:
        None where logits of a set are missing, as of a uni-modal run.
    """
    labels = predictions["test_label"]
    masked = {
        frozenset(name.removeprefix("test_masked_").split("+")): _percent(correct(logits, labels))
        for name, logits in predictions.items()
        if name.startswith("test_masked_")
    }
    everything: Coalition = frozenset().union(*masked)
    usual = np.bincount(predictions["train_label"]).argmax()
    masked |= {frozenset(): _percent(labels == usual)}
    masked |= {everything: _percent(correct(predictions["test_logits"], labels))}
    return masked if everything and len(masked) == 2 ** len(everything) else None


def _percent(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    return 100.0 * right.astype(np.float64)
