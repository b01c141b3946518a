"""The probe of one layer: its penalty, chosen on validation, its optimum and its logits for every split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from avbalance import metrics
from avbalance.errors import UserError
from avbalance.probing.extraction import MIB, path_of
from avbalance.probing.features import Features
from avbalance.probing.solver import Problem, least_bytes
from avbalance.reductions.base import Reduction

L2_GRID = (1e-1, 1e-2, 1e-3, 1e-4)
"""Penalties in the order of the search; each begins at the optimum of the one before."""
GRADIENT_TOLERANCE = 1e-7
"""Largest absolute entry of the gradient of J at the optimum."""
COARSE = 1e-5
"""The same while penalties are compared: validation losses are then exact to about three digits."""


@dataclass
class Probe:
    """A solved probe.

    Attributes:
        weight: [num_classes, dim + 1], of standardised features; the last column holds the bias.
        l2: Strength of the penalty.
        gradient_norm: Largest absolute entry of the gradient of J at the solution.
        logits: {split: [clips, num_classes]}.
    """

    weight: Tensor
    l2: float
    gradient_norm: float
    logits: dict[str, NDArray[np.float32]]


def fit_probe(folder: Path, layer: str, labels: Mapping[str, NDArray[Any]], num_classes: int, max_bytes: int) -> Probe:
    """Solve for weaker and weaker l2 until the validation loss rises, then for the best l2 to its optimum.

    Args:
        folder: Folder with the layer's features of train, val and test, as an extraction leaves them.
        layer: Name of the layer.
        labels: {split: [n] or [n, num_classes]}.
        num_classes: Number of logits.
        max_bytes: Memory for the probe.

    Raises:
        UserError: A feature is not a finite number.
    """

    def features_of(split: str, room: int) -> Features:
        return Features(path_of(folder, layer, split), f"layer {layer!r}, {split}", room)

    train = features_of("train", 0)
    room = max_bytes - least_bytes(*train.shape, num_classes)
    train = features_of("train", room)
    val = features_of("val", room - train.nbytes)
    problem = Problem(train, labels["train"], num_classes, max_bytes - train.nbytes - val.nbytes)
    test = features_of("test", 0)
    statistics = train.statistics()
    for features in (train, val, test):
        features.standardise(*statistics)
    weight, best = problem.start(), (np.inf, 0.0, problem.start())
    for l2 in L2_GRID:
        weight = problem.solve(l2, weight, COARSE).weight
        loss = metrics.cross_entropy(val.logits(weight), labels["val"])
        if loss >= best[0]:
            break  # from here on the probe learns the training clips by heart, which takes longest
        best = (loss, l2, weight)
    _, l2, weight = best
    solution = problem.solve(l2, weight, GRADIENT_TOLERANCE)
    logits = {name: split.logits(solution.weight) for name, split in (("train", train), ("val", val), ("test", test))}
    return Probe(solution.weight, l2, solution.gradient_norm, logits)


def probe_metrics(probe: Probe, labels: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Return {"<split>_loss", "<split>_error", "<split>_top5_error", "l2", "gradient_norm", "num_features"}.

    Losses are in nats, errors in [0, 1].
    """
    values: dict[str, float] = {}
    for split, logits in probe.logits.items():
        values[f"{split}_loss"] = metrics.cross_entropy(logits, labels[split])
        values[f"{split}_error"] = 1 - metrics.accuracy(logits, labels[split])
        values[f"{split}_top5_error"] = 1 - float(metrics.correct(logits, labels[split], k=5).mean())
    return values | {"l2": probe.l2, "gradient_norm": probe.gradient_norm, "num_features": probe.weight.shape[1] - 1}


def check_memory(reductions: Mapping[str, Reduction], num_clips: int, num_classes: int, max_bytes: int) -> None:
    """Check that every layer's probe can be solved within the memory, without holding features.

    Raises:
        UserError: A probe cannot; the message gives the number of its features, and the number that fits.
    """
    projections = sum(reduction.num_bytes for reduction in reductions.values())
    if projections > max_bytes:
        raise UserError(
            f"probe.reduction: its random numbers take {projections // MIB + 1} MiB for {len(reductions)} layers, and "
            f"--memory allows {max_bytes // MIB}; use mean or subset, or a smaller num"
        )
    for layer, reduction in reductions.items():
        needed = least_bytes(num_clips, reduction.num_features, num_classes)
        if needed <= max_bytes:
            continue
        low, high = 0, reduction.num_features
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if least_bytes(num_clips, middle, num_classes) <= max_bytes else (low, middle)
        smaller = f", or set probe.reduction to mean or {{subset: {{num: {low}}}}} or less" if low else ""
        raise UserError(
            f"layer {layer!r} has {reduction.num_features} features; a probe of them with {num_classes} classes and "
            f"{num_clips} clips takes {-(-needed // MIB)} MiB, and --memory allows {max_bytes // MIB}; allow that"
            f"{smaller}"
        )
