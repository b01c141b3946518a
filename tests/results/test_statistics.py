import numpy as np
import pytest
from scipy import stats

from avbalance.results.statistics import paired_bootstrap, paired_t, t_interval


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


def test_one_seed_has_no_interval() -> None:
    mean, half_width, n = t_interval(np.array([91.0]))
    assert (mean, n) == (91.0, 1)
    assert np.isnan(half_width)
    assert paired_t(np.array([2.0]), np.array([1.0])) == (1.0, -np.inf, np.inf)


def test_paired_t_is_the_interval_of_the_paired_t_test() -> None:
    left, right = np.array([5.0, 7.0, 6.5, 8.0]), np.array([4.0, 6.5, 5.0, 7.5])
    difference, low, high = paired_t(left, right)
    expected = stats.ttest_rel(left, right).confidence_interval(0.95)
    assert difference == pytest.approx(0.875)  # (1 + 0.5 + 1.5 + 0.5) / 4
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_bootstrap_is_deterministic_and_depends_on_its_seed() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.random((3, 100)), rng.random((3, 100))
    assert paired_bootstrap(left, right) == paired_bootstrap(left, right)
    assert paired_bootstrap(left, right) != paired_bootstrap(left, right, seed=7)


def test_bootstrap_of_equal_rows_is_zero() -> None:
    values = np.random.default_rng(0).random((3, 50))
    assert paired_bootstrap(values, values) == (0.0, 0.0, 0.0)


def test_bootstrap_of_one_seed_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random((1, 400)), rng.random((1, 400))
    found = paired_bootstrap(left, right)
    other = stats.bootstrap(
        ((left - right)[0],), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    # Two draws of quantiles of a distribution of deviation 0.02 from 2,000 and 4,000 resamples.
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.004)


def test_bootstrap_interval_has_the_analytic_width_where_clips_alone_vary() -> None:
    # Every seed says the same, so resampling seeds changes nothing: deviation of the mean is s / sqrt(clips).
    d = np.random.default_rng(3).normal(size=900)
    found = paired_bootstrap(np.tile(d, (4, 1)), np.zeros((4, 900)))
    assert found.high - found.low == pytest.approx(2 * 1.96 * d.std() / 30, rel=0.06)


def test_seeds_that_disagree_widen_the_interval() -> None:
    d = np.random.default_rng(4).normal(size=(4, 900))
    disagreeing = d + np.array([[-0.2], [0.2], [-0.2], [0.2]])
    zero = np.zeros_like(d)
    agreed, wide = paired_bootstrap(d, zero), paired_bootstrap(disagreeing, zero)
    assert wide.high - wide.low > 1.5 * (agreed.high - agreed.low)


def test_bootstrap_covers_a_known_difference_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        d = 0.1 + rng.normal(0, 0.02, (5, 1)) + rng.normal(0, 0.5, (1, 200)) + rng.normal(0, 0.5, (5, 200))
        found = paired_bootstrap(d, np.zeros_like(d), num_resamples=400)
        covered += found.low <= 0.1 <= found.high
    assert covered >= 90


def test_pairing_by_clip_matters() -> None:
    # Both rows fail on the same hard clips; unpaired, a difference of 1 point would drown in their spread.
    hard = np.random.default_rng(6).random((1, 1000)) < 0.3
    right = np.repeat(~hard, 3, axis=0).astype(float)
    left = right.copy()
    left[:, np.flatnonzero(hard[0])[:10]] = 1.0
    found = paired_bootstrap(left, right)
    assert found.difference == pytest.approx(0.01)
    assert found.low > 0
