"""Correlations and ranks of methods."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from avbalance.results.statistics import ALPHA, LEVEL

LEAST_METHODS = 8
"""Fewer have no correlation with an interval."""


class Correlation(NamedTuple):
    """A correlation over n methods with the ends of its 95 % interval."""

    rho: float
    low: float
    high: float
    n: int


def rank_correlations(x: NDArray[np.floating], y: NDArray[np.floating], draws: int = 2000) -> list[Correlation | None]:
    """Spearman's correlation over methods on each dataset, and last the mean over datasets that have one.

    None stands for a dataset with fewer than LEAST_METHODS, or with equal values of all.

    The intervals are percentiles of a bootstrap over methods. A method's point contains the noise of its own seeds, so
    methods drawn anew bring it along: 93 to 97 of 100 intervals contain the correlation that such noisy means of ever
    more methods would have (benchmarks/over_datasets.py). Seeds drawn anew within a method would count their noise
    twice. For the mean over datasets the same methods are drawn on all of them.

    Args:
        x, y: [datasets, methods], NaN where a method is missing.
        draws: Number of draws.
    """
    num_methods = x.shape[1]
    drawn = np.random.default_rng(0).integers(0, num_methods, (draws, num_methods))
    found: list[Correlation | None] = []
    of_draws = []
    for own_x, own_y in zip(x, y, strict=True):
        n = int((~np.isnan(own_x)).sum())
        rho = float(spearman(own_x[None], own_y[None])[0])
        if n < LEAST_METHODS or np.isnan(rho):
            found.append(None)
            continue
        of_draws.append(spearman(own_x[drawn], own_y[drawn]))
        found.append(_correlation(rho, of_draws[-1], n))
    known = [each.rho for each in found if each is not None]
    mean = _correlation(float(np.mean(known)), np.mean(of_draws, axis=0), num_methods) if known else None
    return [*found, mean]


def spearman(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Correlation of the ranks of [draws, methods], without NaN, [draws]; NaN where all are equal."""
    a, b = (stats.rankdata(each, axis=1, nan_policy="omit") for each in (x, y))
    a, b = (each - np.nanmean(each, axis=1, keepdims=True) for each in (a, b))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(a * b, axis=1) / np.sqrt(np.nansum(a * a, axis=1) * np.nansum(b * b, axis=1)))


def _correlation(rho: float, of_draws: NDArray[np.float64], n: int) -> Correlation:
    low, high = np.nanquantile(of_draws, [ALPHA / 2, 1 - ALPHA / 2])
    return Correlation(round(rho, 9), round(float(low), 9), round(float(high), 9), n)


def ranks(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ranks of the methods on each dataset, 1 for the highest score; equal scores share the mean of their ranks.

    Args:
        scores: [datasets, methods], higher is better.
    """
    return np.asarray(stats.rankdata(-scores, axis=1), np.float64)


def critical_difference(num_methods: int, num_data: int) -> float:
    """Nemenyi's critical difference of average ranks of k methods over N datasets at the 5 % level.

    Demsar, Journal of Machine Learning Research 2006, with the studentized range q of infinitely many degrees of
    freedom:

        CD = q / sqrt(2) sqrt(k (k + 1) / (6 N))
    """
    q = stats.studentized_range.ppf(LEVEL, num_methods, np.inf)
    return float(q / np.sqrt(2) * np.sqrt(num_methods * (num_methods + 1) / (6 * num_data)))
