"""Means over seeds, and tests of the differences between rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 0.05
LEVEL = 1 - ALPHA


class Estimate(NamedTuple):
    """A mean over n seeds; half_width is nan for one seed."""

    mean: float
    half_width: float
    n: int


class Difference(NamedTuple):
    """A difference of two means with the ends of its 95 % interval.

    Attributes:
        p: Two-sided, of no difference; None where there is nothing to test: it is exact, or its spread is unknown.
    """

    difference: float
    low: float
    high: float
    p: float | None = None


def t_interval(values: NDArray[np.floating]) -> Estimate:
    """Mean of [n] values, with the half width t_{0.975, n-1} s / sqrt(n) of its 95 % interval."""
    n = len(values)
    if n < 2:
        return Estimate(float(values.mean()), float("nan"), n)
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Estimate(float(values.mean()), float(half_width), n)


def t_test(values: NDArray[np.floating]) -> float:
    """Two-sided p of [n] values, n > 1, for a mean of 0; all values being 0, it is 1."""
    error = values.std(ddof=1) / np.sqrt(len(values))
    if error == 0:
        return float(values.mean() == 0)
    return float(2 * stats.t.sf(abs(values.mean()) / error, len(values) - 1))


def paired_t(left: NDArray[np.floating], right: NDArray[np.floating]) -> Difference:
    """Mean of left - right over seeds and clips, tested against the spread of both.

    Every seed is tested on the same clips, so a difference may be chance in two ways: other seeds, or other clips,
    might have given another. Each has its paired t-test, of the seeds' means over clips with seeds - 1 degrees of
    freedom, and of the clips' means over seeds with clips - 1. The larger p counts, and the wider interval is given.
    One value has no spread, so one seed is tested by its clips alone, and a single number a seed by the seeds alone.

    A bootstrap over seeds and clips will not do: it knows no degrees of freedom. Three seeds of one sign, which are
    chance in a quarter of all cases, give it the least p there is, where the seeds' spread outweighs the clips', as
    it mostly does in real runs. In simulation its 95 % intervals then cover the truth in 80 of 100 cases, and with
    Holm's correction over 10 comparisons it finds differences that are none in 58 of 100 tables. These tests, with 3
    or 5 seeds and either spread the larger: 94 to 99, and 0 to 6.

    Args:
        left, right: [seeds, clips], paired in both; [seeds, 1] where a seed has a single number.
    """
    d = np.asarray(left, np.float64) - right
    spreads = [means for means in (d.mean(axis=1), d.mean(axis=0)) if len(means) > 1]
    # Rounded so that the order of summation, which differs with the number of threads, does not show.
    difference = round(float(d.mean()), 9)
    if not spreads:
        return Difference(difference, -np.inf, np.inf)
    half_width = round(max(t_interval(means).half_width for means in spreads), 9)
    p = round(max(map(t_test, spreads)), 9)
    return Difference(difference, difference - half_width, difference + half_width, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number m, so that the chance of any false rejection stays below the level.

    Holm, Scandinavian Journal of Statistics 1979. For p_(1) <= ... <= p_(m):

        adjusted p_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))
    """
    order = np.argsort(p_values, kind="stable")
    m = len(order)
    adjusted = np.empty(m)
    steps = (m - np.arange(m)) * np.asarray(p_values, np.float64)[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]
