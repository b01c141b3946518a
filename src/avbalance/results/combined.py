"""Rows that combine others: a clip's class is the tuple of its classes in each, as an action is a verb and a noun."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.metrics import by_video
from avbalance.results.runs import Predictions

COLUMNS = ("accuracy", "top5", "video_accuracy", "video_top5")
"""What a combined row has."""


def right_together(parts: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]], k: int = 1) -> NDArray[np.bool_]:
    """Whether the true tuple is among the k most probable of all tuples of classes, [n].

    A tuple's probability is the product of its classes' probabilities. Of equal tuples that counts first whose classes
    stand first in their parts' rankings, the first part deciding first; so k = 1 asks whether every part is right.

    The k best classes of each part suffice: a tuple with another class stands behind the k tuples that have one of
    these k classes in its place, each being at least as probable and, if equal, before it. So a tuple among the k best
    consists of such classes; and where the true one is not among the k best, those that are, all of such classes, stand
    before it.

    Args:
        parts: Probabilities [n, classes] and labels [n] of each part.
        k: How many guesses a clip has.
    """
    n = len(parts[0][1])
    products, place, known = np.ones((n, 1)), np.zeros(n, np.int64), np.ones(n, np.bool_)
    for probabilities, labels in parts:
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
        is_label = best == labels[:, None]
        place = place * best.shape[1] + is_label.argmax(axis=1)
        known &= is_label.any(axis=1)
        factors = np.take_along_axis(probabilities, best, axis=1)
        products = (products[:, :, None] * factors[:, None, :]).reshape(n, -1)
    own = np.take_along_axis(products, place[:, None], axis=1)
    ahead = ~(products <= own) | ((products == own) & (np.arange(products.shape[1]) < place[:, None]))
    return np.asarray(known & (ahead.sum(axis=1) < k))


def measure(row: str, column: str, parts: Sequence[Predictions]) -> NDArray[np.float64] | None:
    """One seed's values of a combined row, [clips] or [videos]; None where a part has no such column.

    Raises:
        UserError: The parts are not of the same test clips.
    """
    videos = parts[0].get("test_video")
    for part in parts[1:]:
        same = len(part["test_label"]) == len(parts[0]["test_label"])
        if not (same and np.array_equal(part.get("test_video"), videos)):  # type: ignore[arg-type]
            raise UserError(
                f"combined row {row!r}: the rows that it combines are not tested on the same clips; combine rows on "
                "data sets that differ in nothing but their labels"
            )
    of_videos = column.startswith("video_")
    single = all("test_logits" in part and part["test_label"].ndim == 1 for part in parts)
    if not single or (of_videos and videos is None):
        return None
    said = [by_video(part["test_logits"], part["test_label"], videos if of_videos else None) for part in parts]
    return 100.0 * right_together(said, k=5 if column.endswith("top5") else 1).astype(np.float64)
