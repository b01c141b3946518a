"""Contributions.

Over all modalities they sum to the joint model's accuracy less that of guessing.
"""

from collections.abc import Mapping
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.metrics import correct
from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run

Coalition = frozenset[str]
"""Modalities that are shown."""


class Shapley(Column):
    """Contribution of a modality to the joint model's accuracy, its Shapley value."""

    heading = "{Modality} contributes"
    unit, digits = "points", 1
    signed = True
    tasks = ("single_label",)
    captions = (
        "Contributes: the modality's Shapley value, its gain in test accuracy over the modalities shown before it, "
        "mean over all orders; the others are masked, and without any the most frequent class is guessed.",
    )

    def value(self, run: Run) -> Values | None:
        """[clips]; None for one modality."""
        modality = self.parts["modality"]
        worth = right_with(run.predictions) if run.predictions["test_label"].ndim == 1 else None
        return shapley(worth, modality) if worth and frozenset([modality]) in worth else None

    def reason(self, run: Run) -> str:
        """Reason of an older run."""
        return lacking_sets(run)


class ShapleyGap(Column):
    """Gap between the modalities' contributions."""

    heading = "Contribution gap"
    unit, digits, better = "points", 1, -1
    tasks = ("single_label",)
    captions = (*Shapley.captions, "Contribution gap: the largest contribution minus the smallest.")

    def value(self, run: Run) -> Values | None:
        """[1]; None for one modality."""
        worth = right_with(run.predictions) if run.predictions["test_label"].ndim == 1 else None
        if not worth:
            return None
        modalities: Coalition = frozenset().union(*worth)
        contributions = [shapley(worth, modality).mean() for modality in modalities]
        return np.array([max(contributions) - min(contributions)])

    def reason(self, run: Run) -> str:
        """Reason of an older run."""
        return lacking_sets(run)


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
    """Test clips that the joint model classifies correctly with each set of modalities alone: 100 or 0, [clips].

    Without any modality the model can only guess one class for all clips: the most frequent one of the training clips.
    With unequal classes this guess is right more often than one time in C, and no modality gets the credit for it.

    Args:
        predictions: Of a run; "test_masked_<modality>" and, of three modalities or more, "test_masked_<a>+<b>".

    Returns:
        None if logits of a set are missing, as in a uni-modal run.
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


def lacking_sets(run: Run) -> str:
    """Reason why a run of three modalities has no contributions; empty if it has all sets of them."""
    sets = [name for name in run.predictions if name.startswith("test_masked_")]
    if len(sets) > 2 and not any("+" in name for name in sets):
        return "older runs do not say what two of three modalities tell; train them anew"
    return ""


def _percent(right: NDArray[np.bool_]) -> NDArray[np.float64]:
    return 100.0 * right.astype(np.float64)
