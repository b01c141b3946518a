from math import isnan, log

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, roc_curve

from avbalance.metrics import (
    accuracy,
    by_class,
    by_video,
    calibration_error,
    clip_losses,
    correct,
    cross_entropy,
    equal_error_rate,
    macro_f1,
    mean_over_classes,
    min_dcf,
    split_metrics,
    trial_scores,
)

TARGETS = np.array([1, 1, 0, 1, 0, 0, 0])
SCORES = np.array([0.9, 0.8, 0.7, 0.4, 0.3, 0.2, 0.1])


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


def test_a_guess_among_the_k_highest_counts_and_of_equal_logits_the_first() -> None:
    logits = np.array([[3.0, 2.0, 2.0, 1.0]] * 4)
    labels = np.arange(4)
    assert correct(logits, labels, k=1).tolist() == [True, False, False, False]
    assert correct(logits, labels, k=2).tolist() == [True, True, False, False]
    assert correct(logits, labels, k=3).tolist() == [True, True, True, False]


def test_the_highest_logit_is_that_of_argmax_also_where_logits_tie() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.integers(4, size=(500, 5)).astype(np.float16), rng.integers(5, size=500)
    np.testing.assert_array_equal(correct(logits, labels), logits.argmax(axis=1) == labels)


def test_what_is_no_number_is_not_right() -> None:
    assert not correct(np.full((1, 3), np.nan), np.array([0])).any()


def test_binary_cross_entropy_is_the_mean_over_classes() -> None:
    # sigmoid(ln 3) = 3/4: losses ln 4/3 for a class the clip has and ln 4 for one it has not; sigmoid(0) = 1/2: ln 2.
    logits, labels = np.array([[log(3), log(3)], [0.0, 0.0]]), np.array([[1, 0], [1, 1]], np.uint8)
    assert clip_losses(logits, labels) == pytest.approx([(log(4 / 3) + log(4)) / 2, log(2)])
    rng = np.random.default_rng(0)
    logits, labels = 20 * rng.normal(size=(50, 7)), rng.integers(2, size=(50, 7), dtype=np.uint8)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(labels).double())
    assert cross_entropy(logits, labels) == pytest.approx(theirs.item(), rel=1e-12)


def test_a_video_is_what_its_clips_say_on_average_after_the_softmax() -> None:
    # Probabilities (1, 0), (1/20, 19/20) and (1/20, 19/20): mean (22/60, 38/60), class 1, though the mean of the
    # logits, (20/3, 2/3 ln 19), says class 0. The second video has one clip.
    logits = np.array([[20.0, 0.0], [0.0, log(19)], [0.0, log(19)], [log(3), 0.0]], np.float32)
    probabilities, labels = by_video(logits, np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(probabilities, [[22 / 60, 38 / 60], [3 / 4, 1 / 4]], atol=1e-7)
    assert labels.tolist() == [1, 0]
    # Clips: the first of the four is wrong. Videos: both are right.
    assert split_metrics(logits, np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1])) == {
        "accuracy": 0.75,
        "video_accuracy": 1.0,
        "loss": cross_entropy(logits, np.array([1, 1, 1, 0])),
    }


def test_a_video_of_several_classes_is_the_mean_of_sigmoids() -> None:
    logits = np.array([[log(3), 0.0], [0.0, -800.0]])
    labels = np.array([[1, 0], [1, 0]], np.uint8)
    probabilities, kept = by_video(logits, labels, np.array([4, 4]))
    np.testing.assert_allclose(probabilities, [[(3 / 4 + 1 / 2) / 2, 1 / 4]])
    assert kept.tolist() == [[1, 0]]
    assert by_video(logits, labels, None)[0].shape == (2, 2)


def test_ranks_are_worth_what_is_worked_out_by_hand() -> None:
    scores = np.array([[0.9, 5.0], [0.8, 5.0], [0.7, 1.0], [0.6, 0.0]])
    labels = np.array([[1, 1], [0, 0], [1, 0], [0, 0]], np.uint8)
    measures = by_class(scores, labels)
    # Class 0: precision 1 at recall 1/2, 2/3 at recall 1: AP = 1/2 (1 + 2/3). Of four pairs only (0.7, 0.8) is wrong.
    # Class 1: the positive and a negative are accepted together: precision 1/2 at recall 1; one pair in three is a tie.
    assert measures.precision == pytest.approx([5 / 6, 1 / 2])
    assert measures.area == pytest.approx([3 / 4, 2.5 / 3])


def test_ranks_with_ties_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=(200, 6), dtype=np.uint8)
    scores = np.round(labels + 2 * rng.normal(size=labels.shape), 0)  # about ten values
    measures = by_class(scores, labels)
    np.testing.assert_allclose(measures.precision, average_precision_score(labels, scores, average=None))
    np.testing.assert_allclose(measures.area, roc_auc_score(labels, scores, average=None))


def test_a_class_without_positives_or_without_negatives_has_no_value() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)
    logits = np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    for values in by_class(logits, labels):
        np.testing.assert_array_equal(values, [np.nan, np.nan, 1.0])
        assert mean_over_classes(values) == 1.0
    assert split_metrics(logits, labels, None) | {"loss": 0} == {
        "map": 1,
        "mauc": 1,
        "num_classes_scored": 1,
        "loss": 0,
    }
    none = split_metrics(logits[:, :2], labels[:, :2], None)
    assert (isnan(none["map"]), isnan(none["mauc"]), none["num_classes_scored"]) == (True, True, 0)


def test_scores_that_separate_are_perfect_and_constant_ones_are_chance() -> None:
    labels = np.array([[1], [1], [0], [0], [0], [0]], np.uint8)
    assert by_class(labels.astype(float), labels) == ([1.0], [1.0])
    # One threshold accepts all: precision 2/6.
    assert by_class(np.zeros((6, 1)), labels) == ([2 / 6], [0.5])
    target = labels[:, 0]
    assert (equal_error_rate(target.astype(float), target), min_dcf(target.astype(float), target)) == (0, 0)
    assert (equal_error_rate(np.zeros(6), target), min_dcf(np.zeros(6), target)) == (0.5, 1)


def test_the_equal_error_rate_is_that_worked_out_by_hand() -> None:
    # (accepted of 4 others, missed of 3 targets) at 0.7: (1/4, 1/3); at 0.4: (1/4, 0). Between them 1/4 are accepted.
    assert equal_error_rate(SCORES, TARGETS) == pytest.approx(1 / 4)
    # At 0.9: (0, 1/2); at 0.5, of a target and another: (1/2, 0). They meet in the middle, (1/4, 1/4).
    assert equal_error_rate(np.array([0.9, 0.5, 0.5, 0.1]), np.array([1, 1, 0, 0])) == pytest.approx(1 / 4)
    # At 2: (1/2, 1); at 1, of a target and another: (1, 0). A third of the way: (2/3, 2/3).
    assert equal_error_rate(np.array([1.0, 2.0, 1.0]), np.array([1, 0, 0])) == pytest.approx(2 / 3)


def test_the_minimum_of_the_detection_cost_is_that_worked_out_by_hand() -> None:
    # p = 1/2: cost missed + accepted: 1/3 at 0.8, and 1/4 at 0.4, the least.
    assert min_dcf(SCORES, TARGETS, 0.5) == pytest.approx(1 / 4)
    # p = 0.05: missed + 19 accepted: 1/3 at 0.8, 19/4 at 0.4. p = 0.01 likewise.
    assert min_dcf(SCORES, TARGETS, 0.05) == pytest.approx(1 / 3)
    assert min_dcf(SCORES, TARGETS) == pytest.approx(1 / 3)
    # p = 0.9: (0.9 missed + 0.1 accepted) / 0.1: 1/4 at 0.4.
    assert min_dcf(SCORES, TARGETS, 0.9) == pytest.approx(1 / 4)


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize("distance", [-1.0, 0.5, 3.0])
def test_error_rates_with_ties_agree_with_scikit_learn(decimals: int, distance: float) -> None:
    rng = np.random.default_rng(decimals)
    targets = rng.integers(2, size=300)
    scores = np.round(distance * targets + rng.normal(size=300), decimals)
    accepted, hit, _ = roc_curve(targets, scores, drop_intermediate=False)
    missed = 1 - hit
    assert equal_error_rate(scores, targets) == pytest.approx(np.interp(0, accepted - missed, accepted))
    for p in (0.01, 0.05):
        cost = (p * missed + (1 - p) * accepted).min() / p
        assert min_dcf(scores, targets, p) == pytest.approx(cost)


@pytest.mark.parametrize("target", [0, 1])
def test_trials_of_one_kind_have_no_error_rate(target: int) -> None:
    assert isnan(equal_error_rate(np.arange(3.0), np.full(3, target)))
    assert isnan(min_dcf(np.arange(3.0), np.full(3, target)))


def test_the_score_of_a_trial_is_the_cosine_of_its_clips() -> None:
    embeddings = np.array([[1, 0], [0.6, 0.8], [-0.8, 0.6]], np.float16)
    trials = np.array([[0, 1, 1], [0, 2, 0], [1, 2, 0], [1, 1, 1]])
    np.testing.assert_allclose(trial_scores(embeddings, trials), [0.6, -0.8, 0, 1], atol=1e-3)
    many = np.tile(trials, (6000, 1))
    np.testing.assert_array_equal(trial_scores(embeddings, many), np.tile(trial_scores(embeddings, trials), 6000))


def test_macro_f1_is_a_mean_over_the_classes_that_occur() -> None:
    logits = np.eye(4)[[0, 0, 1, 1, 3]]
    # Class 0: TP 1 of 2 predicted and 1 labelled, F1 2/3; class 1: TP 1, 2 and 3, F1 2/5; class 2: TP 0, F1 0. Class 3
    # occurs in no label.
    assert macro_f1(logits, np.array([0, 1, 1, 2, 1])) == pytest.approx((2 / 3 + 2 / 5 + 0) / 3)


@pytest.mark.parametrize("seed", range(3))
def test_macro_f1_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 5, 6], 200)  # of eight classes, three occur in no label
    logits = rng.normal(0, 1, (200, 8)) + 2 * np.eye(8)[labels]
    expected = f1_score(labels, logits.argmax(axis=1), labels=np.unique(labels), average="macro", zero_division=0)
    assert macro_f1(logits, labels) == pytest.approx(expected)


def test_calibration_error_by_hand() -> None:
    # Probabilities 0.5, 0.5 and 0.9, 0.75 of the class said, in bins 8, 8, 14 and 12 of 15. Right: the first and third.
    # |1 + 0 - 1| / 4 + |1 - 0.9| / 4 + |0 - 0.75| / 4.
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.75, 0.25]])
    assert calibration_error(np.log(p), np.array([0, 1, 1, 1])) == pytest.approx((0 + 0.1 + 0.75) / 4)


@pytest.mark.parametrize("num_bins", [1, 5, 15])
def test_calibration_error_is_that_of_a_loop_over_bins(num_bins: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 300)
    logits = (rng.normal(0, 2, (300, 5)) + 1.5 * np.eye(5)[labels]).astype(np.float32)
    probabilities = torch.softmax(torch.from_numpy(logits).double(), 1)
    confidence, said = probabilities.max(1)
    expected = 0.0
    for m in range(num_bins):
        inside = (confidence > m / num_bins) & (confidence <= (m + 1) / num_bins)
        if inside.any():
            right = said[inside] == torch.from_numpy(labels)[inside]
            expected += float(inside.double().mean() * (right.double().mean() - confidence[inside].mean()).abs())
    assert calibration_error(logits, labels, num_bins) == pytest.approx(expected)


def test_a_certain_model_has_the_calibration_error_of_its_accuracy() -> None:
    logits = 1000 * np.eye(3)[[0, 1, 2, 0]]
    assert calibration_error(logits, np.array([0, 1, 2, 1])) == pytest.approx(0.25)
