from math import log

import numpy as np
import pytest

from avbalance.metrics import accuracy, clip_losses, correct, cross_entropy


def test_accuracy_is_the_share_of_clips_whose_label_has_the_highest_logit() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [5.0, 0.0, 0.0]])
    labels = np.array([0, 1, 1, 2])
    # Highest logits are those of classes 0, 2, 1, 0: the first and third clip are right.
    assert correct(logits, labels).tolist() == [True, False, True, False]
    assert accuracy(logits, labels) == 0.5


def test_of_equal_logits_the_first_class_counts() -> None:
    assert correct(np.zeros((2, 3)), np.array([0, 1])).tolist() == [True, False]


def test_cross_entropy_is_in_nats() -> None:
    # softmax(0, ln 3) = (1/4, 3/4): losses ln 4 for label 0 and ln 4/3 for label 1, mean ln 4 - ln(3) / 2.
    logits = np.array([[0.0, log(3)], [0.0, log(3)]])
    labels = np.array([0, 1])
    assert clip_losses(logits, labels) == pytest.approx([log(4), log(4 / 3)])
    assert cross_entropy(logits, labels) == pytest.approx(log(4) - log(3) / 2)


def test_float16_logits_neither_overflow_nor_lose_small_losses() -> None:
    logits = np.array([[60000.0, -60000.0], [10.0, 0.0]], np.float16)
    losses = clip_losses(logits, np.array([1, 0]))
    assert losses.dtype == np.float64
    # log(e^60000 + e^-60000) + 60000 = 120000; log(1 + e^-10) = 4.5399e-5, below float16's spacing at 10.
    assert losses == pytest.approx([120000.0, 4.5398899e-5], rel=1e-6)


def test_the_logits_given_are_left_as_they_are() -> None:
    logits = np.array([[1.0, 2.0]])
    clip_losses(logits, np.array([0]))
    assert logits.tolist() == [[1.0, 2.0]]
