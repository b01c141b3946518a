import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.metrics import by_video, correct
from avbalance.results.joined_rows import right_together


def part(*probabilities: float, label: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One clip's probabilities and label."""
    return np.array([probabilities]), np.array([label])


@pytest.mark.parametrize(
    ("k", "noun", "verb", "expected"),
    [
        # Nouns 0.5, 0.3, 0.2 and verbs 0.6, 0.4. Pairs: 0.30, 0.20, 0.18, 0.12, 0.12, 0.08.
        (1, 0, 0, True),
        (1, 0, 1, False),
        (2, 0, 1, True),
        (2, 1, 0, False),
        (3, 1, 0, True),
        # (1, 1) and (2, 0) are equal: the noun decides.
        (4, 1, 1, True),
        (4, 2, 0, False),
        (5, 2, 0, True),
        (5, 2, 1, False),
    ],
)
def test_pairs_are_ranked_by_the_product_of_their_probabilities(k: int, noun: int, verb: int, expected: bool) -> None:
    nouns, verbs = part(0.5, 0.3, 0.2, label=noun), part(0.6, 0.4, label=verb)
    assert right_together([nouns, verbs], k).tolist() == [expected]


def draw(num_parts: int, values: int) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """Probabilities of 300 clips in 6, 7, ... classes; few `values` make many ties."""
    rng = np.random.default_rng(values)
    parts = []
    for num_classes in range(6, 6 + num_parts):
        labels = rng.integers(num_classes, size=300)
        probabilities = rng.integers(1, values, (300, num_classes)) / 16.0
        probabilities[np.arange(300), labels] += 1 / 16.0
        parts.append((probabilities, labels))
    return parts


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("num_parts", [1, 2, 3])
@pytest.mark.parametrize("values", [4, 10**6])
def test_the_best_classes_of_each_part_suffice(k: int, num_parts: int, values: int) -> None:
    parts = draw(num_parts, values)
    found = right_together(parts, k)
    # All tuples in the order of their classes' ranks, so that a stable sort lets the first of equals count first.
    products, place = np.ones((300, 1)), np.zeros(300, np.int64)
    for probabilities, labels in parts:
        order = np.argsort(-probabilities, axis=1, kind="stable")
        products = (products[:, :, None] * np.take_along_axis(probabilities, order, axis=1)[:, None]).reshape(300, -1)
        place = place * order.shape[1] + (order == labels[:, None]).argmax(axis=1)
    ranking = np.argsort(-products, axis=1, kind="stable")
    assert found.tolist() == (ranking[:, :k] == place[:, None]).any(axis=1).tolist()
    assert 0 < found.mean() < 1


def test_one_guess_is_right_where_every_part_is() -> None:
    rng = np.random.default_rng(0)
    labels = [rng.integers(3, size=500), rng.integers(4, size=500)]
    # Coarse logits, so that there are ties.
    logits = [rng.integers(4, size=(500, num_classes)).astype(np.float16) for num_classes in (3, 4)]
    parts = [by_video(said, true, None) for said, true in zip(logits, labels, strict=True)]
    each = [correct(said, true) for said, true in zip(logits, labels, strict=True)]
    assert right_together(parts).tolist() == (each[0] & each[1]).tolist()


def test_what_is_no_number_does_not_count_as_right() -> None:
    nouns, verbs = part(np.nan, 0.3, 0.2, 0.1, 0.1, 0.1, label=0), part(0.6, 0.4, label=0)
    assert right_together([nouns, verbs], 5).tolist() == [False]
