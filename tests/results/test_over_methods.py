import numpy as np
import pytest
from scipy import stats

from avbalance.results.over_methods import LEAST_METHODS, critical_difference, rank_correlations, ranks


@pytest.mark.parametrize(("num_methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_published_values(num_methods: int, q: float) -> None:
    # Demsar 2006, Table 5(a); CD = q sqrt(k (k + 1) / (6 N)).
    expected = q * np.sqrt(num_methods * (num_methods + 1) / (6 * 14))
    assert critical_difference(num_methods, 14) == pytest.approx(expected, rel=3e-4)


def test_equal_scores_share_their_ranks() -> None:
    assert ranks(np.array([[0.9, 0.8, 0.9], [0.1, 0.3, 0.2]])).tolist() == [[1.5, 3, 1.5], [3, 1, 2]]


def test_a_correlation_is_that_of_scipy_and_its_interval_contains_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (2, 20))
    y = x + rng.normal(0, 1, (2, 20))
    y[0, 3] = y[0, 4]
    first, second, mean = rank_correlations(x, y)
    assert first is not None
    assert second is not None
    assert mean is not None
    assert first.rho == pytest.approx(stats.spearmanr(x[0], y[0]).statistic)
    assert mean.rho == pytest.approx((first.rho + second.rho) / 2)
    for each in (first, second, mean):
        assert -1 <= each.low < each.rho < each.high <= 1
        assert each.n == 20
    assert mean.high - mean.low < second.high - second.low


def test_the_interval_of_a_correlation_is_near_that_of_fisher() -> None:
    # Spearman's rho of normal values has about the variance (1 + rho^2 / 2) / (n - 3) on the scale of atanh (Bonett and
    # Wright, Psychometrika 2000).
    rng = np.random.default_rng(2)
    x = rng.normal(0, 1, 80)
    found = rank_correlations(x[None], (x + rng.normal(0, 1, 80))[None])[0]
    assert found is not None
    half_width = 1.96 * np.sqrt((1 + found.rho**2 / 2) / 77)
    expected = np.tanh([np.arctanh(found.rho) - half_width, np.arctanh(found.rho) + half_width])
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.06)


def test_missing_methods_count_on_their_dataset_alone_and_too_few_have_no_correlation() -> None:
    x, y = np.random.default_rng(1).normal(0, 1, (2, 3, 12))
    x[1, :3] = y[1, :3] = np.nan
    x[2, LEAST_METHODS - 1 :] = y[2, LEAST_METHODS - 1 :] = np.nan
    whole, part, few, mean = rank_correlations(x, y)
    assert whole is not None
    assert part is not None
    assert mean is not None
    assert (whole.n, part.n, few) == (12, 9, None)
    assert part.rho == pytest.approx(stats.spearmanr(x[1, 3:], y[1, 3:]).statistic)
    assert mean.rho == pytest.approx((whole.rho + part.rho) / 2)
    assert rank_correlations(x[2:], y[2:]) == [None, None]


def test_methods_that_are_all_equal_have_no_correlation() -> None:
    assert rank_correlations(np.ones((1, 9)), np.arange(9.0)[None]) == [None, None]
