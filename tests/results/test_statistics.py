from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from avbalance.results.statistics import ALPHA, Difference, holm, paired_t, t_interval, t_test


def test_t_interval_of_three_seeds_by_hand() -> None:
    # mean 2, s = 1, t_{0.975, 2} = 4.302653: half width 4.302653 / sqrt(3) = 2.484138.
    mean, half_width, n = t_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, n) == (2.0, 3)
    assert half_width == pytest.approx(2.484138, abs=1e-6)


def test_t_interval_is_that_of_scipy() -> None:
    values = np.array([91.2, 92.8, 90.1, 93.3, 92.0])
    mean, half_width, _ = t_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_t_test_is_that_of_scipy() -> None:
    values = np.array([0.4, 1.1, -0.2, 0.9])
    assert t_test(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


@pytest.mark.parametrize(("value", "p"), [(0.0, 1.0), (0.5, 0.0)])
def test_t_test_of_values_without_spread_is_sure(value: float, p: float) -> None:
    assert t_test(np.full(3, value)) == p


def test_one_seed_has_no_interval() -> None:
    mean, half_width, n = t_interval(np.array([91.0]))
    assert (mean, n) == (91.0, 1)
    assert np.isnan(half_width)


def test_single_numbers_have_the_paired_t_test_over_seeds() -> None:
    left, right = np.array([[5.0], [7.0], [6.5], [8.0]]), np.array([[4.0], [6.5], [5.0], [7.5]])
    found = paired_t(left, right)
    expected = stats.ttest_rel(left[:, 0], right[:, 0])
    interval = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(0.875)  # (1 + 0.5 + 1.5 + 0.5) / 4
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue)


def test_one_seed_has_the_paired_t_test_over_clips() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random((1, 400)), rng.random((1, 400))
    found = paired_t(left, right)
    expected = stats.ttest_rel(left[0], right[0])
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-8)


def test_one_number_of_one_seed_cannot_be_tested() -> None:
    assert paired_t(np.array([[2.0]]), np.array([[1.0]])) == Difference(1.0, -np.inf, np.inf)


def crossed(seed_effects: list[float], clip_effects: list[float]) -> NDArray[np.float64]:
    """Differences [seeds, clips], 1 plus both effects."""
    return 1 + np.array(seed_effects)[:, None] + np.array(clip_effects)


@pytest.mark.parametrize(
    ("seed_effects", "clip_effects", "half_width"),
    [
        # Seeds' means 0, 1, 2: s = 1, so 4.302653 / sqrt(3); clips' means spread by 0.02 only.
        ([-1, 0, 1], [-0.01, 0.01], 2.484138),
        # Clips' means -1, 3: s = sqrt(8), so t_{0.975, 1} = 12.706205 times sqrt(8 / 2); the seeds' spread by 0.02.
        ([-0.01, 0.01], [-2, 2], 25.412410),
    ],
)
def test_the_larger_of_the_spreads_of_seeds_and_clips_counts(
    seed_effects: list[float], clip_effects: list[float], half_width: float
) -> None:
    d = crossed(seed_effects, clip_effects)
    found = paired_t(d, np.zeros_like(d))
    assert found.difference == 1.0
    assert (found.low, found.high) == pytest.approx((1 - half_width, 1 + half_width), abs=1e-6)
    means = d.mean(axis=1) if len(seed_effects) == 3 else d.mean(axis=0)
    assert found.p == pytest.approx(stats.ttest_1samp(means, 0).pvalue, abs=1e-9)


def test_the_interval_leaves_0_out_where_p_is_below_5_percent() -> None:
    rng = np.random.default_rng(2)
    found = [paired_t(rng.normal(shift, 1, (3, 20)), np.zeros((3, 20))) for shift in np.linspace(-1, 1, 60)]
    decided = [each.p is not None and each.p < 0.05 for each in found]
    assert 10 < sum(decided) < 50
    assert [each.low > 0 or each.high < 0 for each in found] == decided


def test_equal_rows_do_not_differ() -> None:
    values = np.random.default_rng(0).random((3, 50))
    assert paired_t(values, values) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_by_clip_matters() -> None:
    # Both rows fail on the same hard clips; unpaired, a difference of 1 point would drown in their spread.
    hard = np.random.default_rng(6).random((1, 1000)) < 0.3
    right = np.repeat(~hard, 3, axis=0).astype(float)
    left = right.copy()
    left[:, np.flatnonzero(hard[0])[:10]] = 1.0
    found = paired_t(left, right)
    assert found.difference == pytest.approx(0.01)
    assert found.low > 0
    assert stats.ttest_ind(left[0], right[0]).pvalue > 0.5


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and the last is raised to 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_the_closure_of_bonferroni() -> None:
    # The closure principle: a hypothesis falls where every set of hypotheses with it falls, a set of size k having
    # the p value k times its least. Among the sets of one size that with the other least p values decides.
    p_values = np.random.default_rng(3).random(7) ** 4
    adjusted = [
        max(
            min(1, len(chosen) * min(p_values[list(chosen)]))
            for size in range(1, 8)
            for chosen in combinations(range(7), size)
            if place in chosen
        )
        for place in range(7)
    ]
    assert holm(list(p_values)) == pytest.approx(adjusted)


REGIMES = {
    # Deviations of a row's accuracy between seeds, and between clips beyond what all rows share, in deviations of
    # the residual. Real runs spread between seeds 1 to 70 times as much as the residual alone explains.
    "seeds agree": (3, 0.0, 0.3),
    "seeds and clips spread alike": (3, 0.04, 0.5),
    "seeds spread more": (3, 0.3, 0.3),
    "five seeds spread alike": (5, 0.03, 0.5),
    "five seeds spread more": (5, 0.3, 0.3),
}
NUM_ROWS, NUM_CLIPS = 9, 400


def null_tables(num_seeds: int, by_seed: float, by_clip: float, num_tables: int) -> list[list[Difference]]:
    """A first row against each other one, right or wrong of each clip, where no row is better."""
    rng = np.random.default_rng(7)
    tables = []
    for _ in range(num_tables):
        shape = (NUM_ROWS, num_seeds, NUM_CLIPS)
        evidence = 1.0 + rng.normal(0, 1, NUM_CLIPS) + rng.normal(0, 1, shape)  # hard clips are hard for all
        evidence += rng.normal(0, by_seed, (*shape[:2], 1)) + rng.normal(0, by_clip, (NUM_ROWS, 1, NUM_CLIPS))
        right = 100.0 * (evidence > 0)
        tables.append([paired_t(right[0], other) for other in right[1:]])
    return tables


def corrected(table: list[Difference]) -> list[float]:
    return holm([found.p for found in table if found.p is not None])


@pytest.mark.parametrize("regime", REGIMES)
def test_intervals_cover_no_difference_and_corrected_tests_find_none(regime: str) -> None:
    tables = null_tables(*REGIMES[regime], num_tables=200)
    covered = np.mean([found.low <= 0 <= found.high for table in tables for found in table])
    false = np.mean([min(corrected(table)) < ALPHA for table in tables])
    # 200 tables of 8 comparisons with one row in common: two standard errors are 0.02 and 0.03.
    assert covered > 0.93
    assert false < ALPHA + 0.03


def test_uncorrected_tests_would_find_differences_that_are_none() -> None:
    tables = null_tables(*REGIMES["five seeds spread more"], num_tables=100)
    assert np.mean([any(found.p is not None and found.p < ALPHA for found in table) for table in tables]) > 0.15


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(8)
    d = 5 + rng.normal(0, 0.8, (5, 1)) + rng.normal(0, 30, (5, NUM_CLIPS))
    assert corrected([paired_t(d, np.zeros_like(d)), *[Difference(0.0, -1.0, 1.0, 1.0)] * 7])[0] < ALPHA
