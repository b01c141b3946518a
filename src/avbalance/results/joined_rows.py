"""Rows that join others: the class of a clip is the tuple of its classes in each, as an action is a verb and a noun."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.metrics import by_video
from avbalance.results.runs import Run


def right_together(parts: Sequence[tuple[NDArray[np.floating], NDArray[np.integer]]], k: int = 1) -> NDArray[np.bool_]:
    """True where the true tuple is among the k most probable of all tuples of classes, [n].

    The probability of a tuple is the product of the probabilities of its classes. Equal tuples are ordered by the
    ranks of their classes in each part, the first part first; so k = 1 asks for a clip with which every part is right.

    The k best classes of each part suffice. A tuple with another class stands behind the k tuples that have one of
    these k classes in its place: each of them is at least as probable and, if equal, stands before. So the k best
    tuples consist of such classes only.

    Args:
        parts: Probabilities [n, classes] and labels [n] of each part.
        k: Number of guesses for a clip.
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


def is_right(parts: Sequence[Run], k: int, of_videos: bool) -> NDArray[np.float64] | None:
    """100 for each clip or video whose tuple of classes is among the k most probable ones, else 0, [clips] or [videos].

    Args:
        parts: A run of each row that is joined, all tested on the same clips.
        k: Number of guesses.
        of_videos: True for videos.

    Returns:
        None if a part has several classes a clip, or if videos are asked for and clips belong to none.
    """
    videos = parts[0].predictions.get("test_video")
    single = all("test_logits" in part.predictions and part.predictions["test_label"].ndim == 1 for part in parts)
    if not single or (of_videos and videos is None):
        return None
    scores = [
        by_video(part.predictions["test_logits"], part.predictions["test_label"], videos if of_videos else None)
        for part in parts
    ]
    return 100.0 * right_together(scores, k).astype(np.float64)


def check_clips(row: str, parts: Sequence[Run]) -> None:
    """Check that the runs of a row that joins others are tested on the same clips.

    Raises:
        UserError: They are not; names the row.
    """
    videos, num_clips = parts[0].predictions.get("test_video"), len(parts[0].predictions["test_label"])
    for part in parts[1:]:
        same = len(part.predictions["test_label"]) == num_clips
        if not (same and np.array_equal(part.predictions.get("test_video"), videos)):  # type: ignore[arg-type]
            raise UserError(
                f"combined row {row!r}: the rows that it combines are not tested on the same clips; combine rows on "
                "datasets that differ in nothing but their labels"
            )
