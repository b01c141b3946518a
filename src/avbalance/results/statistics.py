"""Means over seeds, and differences between two rows, with 95 % intervals."""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
NUM_RESAMPLES = 2000


class Estimate(NamedTuple):
    """A mean over n seeds; half_width is nan for one seed."""

    mean: float
    half_width: float
    n: int


class Difference(NamedTuple):
    """A difference of two means with the ends of its 95 % interval."""

    difference: float
    low: float
    high: float


def t_interval(values: NDArray[np.floating]) -> Estimate:
    """Mean of [seeds] values, with the half width t_{0.975, n-1} s / sqrt(n) of its 95 % interval."""
    n = len(values)
    if n < 2:
        return Estimate(float(values.mean()), float("nan"), n)
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Estimate(float(values.mean()), float(half_width), n)


def paired_t(left: NDArray[np.floating], right: NDArray[np.floating]) -> Difference:
    """Mean of left - right over [seeds] pairs, with its 95 % t-interval.

    One seed tells nothing about the spread, so its interval is the whole line.
    """
    mean, half_width, n = t_interval(left - right)
    return Difference(mean, mean - half_width, mean + half_width) if n > 1 else Difference(mean, -np.inf, np.inf)


def paired_bootstrap(
    left: NDArray[np.floating],
    right: NDArray[np.floating],
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Difference:
    """Mean of left - right over seeds and clips, with a 95 % percentile interval.

    Every seed is tested on the same clips, so seeds and clips are resampled independently of each other
    (Owen, The pigeonhole bootstrap, Annals of Applied Statistics 2007): a resample's difference is
    sum_s sum_i w_s v_i d_si / (seeds * clips) with multinomial weights w and v. With one seed the interval
    speaks of the clips only; with two or three whose spread outweighs the clips' it is too narrow (in
    simulation it then covers the truth in 82 to 88 of 100 cases, otherwise in 93 to 100).

    Args:
        left, right: One value a seed and clip, [seeds, clips]; paired in both.
        seed: Of the resampling.
        num_resamples: How many.
    """
    d = np.asarray(left, np.float64) - right
    num_seeds, num_clips = d.shape
    w = _weights(num_seeds, num_resamples, seed)
    v = _weights(num_clips, num_resamples, seed + 1)
    resampled = np.einsum("sb,bs->b", d @ v.T, w) / (num_seeds * num_clips)
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # Rounded so that the order of summation, which differs with the number of threads, does not show.
    return Difference(round(float(d.mean()), 9), round(float(low), 9), round(float(high), 9))


@cache
def _weights(n: int, num_resamples: int, seed: int) -> NDArray[np.float64]:
    """How often each of n things is drawn when n are drawn with replacement, [resamples, n]."""
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(num_resamples))
    return np.array(list(draws), np.float64)
