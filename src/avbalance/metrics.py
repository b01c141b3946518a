"""Accuracy and cross-entropy of stored logits, for one clip and on average."""

import numpy as np
from numpy.typing import NDArray


def correct(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the highest logit is the label's, [n]; of equal logits the first counts.

    Args:
        logits: [n, classes].
        labels: [n].
    """
    return np.asarray(logits.argmax(axis=1) == labels)


def clip_losses(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Each clip's cross-entropy log sum_j exp(z_j) - z_y in nats, [n].

    Computed in float64: a difference of float16 logits has three digits.

    Args:
        logits: [n, classes], any float.
        labels: [n].
    """
    z = logits.astype(np.float64)
    z -= z.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels])


def accuracy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Share of the clips classified correctly, in [0, 1]; logits [n, classes], labels [n]."""
    return float(correct(logits, labels).mean())


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Mean cross-entropy in nats; logits [n, classes], labels [n]."""
    return float(clip_losses(logits, labels).mean())
