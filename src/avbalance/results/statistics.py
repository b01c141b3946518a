"""Means over seeds, and tests of the differences between rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

ALPHA = 0.05
LEVEL = 1 - ALPHA
TEST = (
    "Tests are t-tests of a difference whose variance has a part for each row's seeds and, where a clip has a value of "
    "its own, one for test clips, which are paired; a row whose seeds vary less than is usual in its column is taken "
    "to vary a little more. One seed is tested by its clips alone."
)
"""In words, for captions."""


class Estimate(NamedTuple):
    """A mean over n seeds; half_width is nan for one seed."""

    mean: float
    half_width: float
    n: int


class Difference(NamedTuple):
    """A difference of two means with the ends of its 95 % interval.

    Attributes:
        p: Two-sided p of no difference; None for an exact difference or an unknown spread.
        welch_p, paired_p: Those of Welch's t and of the paired t over seeds, for comparison (`plain_tests`).
    """

    difference: float
    low: float
    high: float
    p: float | None = None
    welch_p: float | None = None
    paired_p: float | None = None


class Spread(NamedTuple):
    """The estimated variance of a mean, and its degrees of freedom."""

    variance: float
    df: float


class Sample(NamedTuple):
    """A row's values, [seeds, clips] or [seeds, 1], and the spread of their mean over seeds; None for one seed."""

    values: NDArray[np.float64]
    seeds: Spread | None


class Contrast(NamedTuple):
    """A difference of means and the independent parts of its variance; None if its spread is unknown."""

    mean: float
    parts: list[Spread] | None


def t_interval(values: NDArray[np.floating]) -> Estimate:
    """Mean of [n] values, with the half width t_{0.975, n-1} s / sqrt(n) of its 95 % interval."""
    n = len(values)
    if n < 2:
        return Estimate(float(values.mean()), float("nan"), n)
    half_width = stats.t.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return Estimate(float(values.mean()), float(half_width), n)


def sample(rows: Mapping[str, NDArray[np.floating]]) -> dict[str, Sample]:
    """Rows with the spread of their means over seeds, to which the other rows lend one degree of freedom.

    Few seeds lie close together by chance now and then, and a test that takes their variance as it is then finds a
    difference that is none. So a row's variance s^2 that is below q, the upper tertile of the other rows' variances,
    gets one degree of freedom of this size; a larger variance stays as it is:

        s^2, n - 1   ->   ((n - 1) s^2 + q) / n, n   if s^2 < q and there are two other rows or more

    This is a moderated variance (Smyth, Statistical Applications in Genetics and Molecular Biology 2004) with a prior
    that is not estimated but chosen on the safe side: above the centre, of little weight, and no variance becomes
    smaller (benchmarks/comparisons.py).

    Args:
        rows: {row: [seeds, clips]}, of one column on one dataset. Rows of equal values are the same runs, and count
            once.
    """
    means = {row: tuple(np.asarray(values, np.float64).mean(axis=1)) for row, values in rows.items()}
    variances = {each: float(np.var(each, ddof=1)) for each in means.values() if len(each) > 1}
    others = [np.delete(list(variances.values()), place) for place in range(len(variances))]
    typical = dict(zip(variances, np.quantile(others, 2 / 3, axis=1), strict=True)) if len(variances) > 2 else {}
    samples = {}
    for row, own in means.items():
        seeds = None
        if own in variances:
            variance, df, q = variances[own], len(own) - 1.0, float(typical.get(own, 0.0))
            if variance < q:
                variance, df = (df * variance + q) / (df + 1), df + 1
            seeds = Spread(variance / len(own), df)
        samples[row] = Sample(np.asarray(rows[row], np.float64), seeds)
    return samples


def difference(left: Sample, right: Sample | None = None) -> Difference:
    """Mean of left - right, or of left alone, tested against the spread of seeds and of test clips.

    The difference varies with the seeds, which are drawn separately in each row, and with the test clips, which are the
    same in all rows. Both factors are crossed, so the variance of the difference is

        V = V_left + V_right + max(0, V_clips - R)

    with V_left and V_right between seeds (`sample`), V_clips that of the clips' paired differences, each a mean over
    seeds, and R what both contain of the residual of seeds and clips. It has Satterthwaite's degrees of freedom,
    V^2 / sum_k V_k^2 / df_k. A single number for each seed has no part of clips. One seed is tested by its clips alone,
    by McNemar's exact test if each clip is right or wrong; one seed against several is not tested.
    """
    found = t_test(contrast(left, right))
    of_one_seed = right is not None and left.seeds is None and found.p is not None and found.low < found.high
    if right is not None and of_one_seed and set(np.unique([left.values, right.values])) <= {0.0, 100.0}:
        return found._replace(p=round(mcnemar(left.values > right.values, left.values < right.values), 9))
    return found


def mean_difference(contrasts: Sequence[Contrast], num_compared: int = 1) -> Difference:
    """Mean of the differences on D independent datasets, with an interval that holds for all compared means at once.

    The variance of the mean has all parts of all datasets, each divided by D^2, and Satterthwaite's degrees of freedom.
    It is of these datasets: others would differ from them, too. The level is Bonferroni's, 1 - 0.05 / num_compared, so
    that with probability 0.95 all the intervals contain their means, however these depend on each other; p is
    multiplied by num_compared. In generated tables all do in 95 to 98 of 100 (benchmarks/over_datasets.py).

    Args:
        contrasts: Of each dataset; one without a known spread leaves the mean without an interval.
        num_compared: Number of means that are compared.
    """
    num_data = len(contrasts)
    parts = [part._replace(variance=part.variance / num_data**2) for each in contrasts for part in each.parts or ()]
    is_known = all(each.parts is not None for each in contrasts)
    mean = float(np.mean([each.mean for each in contrasts]))
    found = t_test(Contrast(mean, parts if is_known else None), ALPHA / num_compared)
    return found if found.p is None else found._replace(p=min(1.0, found.p * num_compared))


def contrast(left: Sample, right: Sample | None = None) -> Contrast:
    """Mean of left - right, or of left alone, and the parts of its variance (`difference`)."""
    sides = [left] if right is None else [left, right]
    by_clip = left.values.mean(axis=0) - (0.0 if right is None else right.values.mean(axis=0))
    mean = float(by_clip.mean())
    parts = [side.seeds for side in sides if side.seeds is not None]
    if (len(by_clip) == 1 and not parts) or len(parts) not in (0, len(sides)):
        return Contrast(mean, None)
    if len(by_clip) > 1:
        shared = sum(_residual(side.values) for side in sides)
        variance = float(by_clip.var(ddof=1)) / len(by_clip) - shared
        parts.append(Spread(max(variance, 0.0), len(by_clip) - 1.0))
    return Contrast(mean, parts)


def t_test(contrast: Contrast, alpha: float = ALPHA) -> Difference:
    """The t-test of a contrast, with the ends of its 1 - alpha interval.

    Rounded so that the order of summation, which differs with the number of threads, does not show.
    """
    mean, parts = contrast
    if parts is None:
        return Difference(round(mean, 9), -np.inf, np.inf)
    total = sum(part.variance for part in parts)
    if total == 0:
        return Difference(round(mean, 9), round(mean, 9), round(mean, 9), float(round(mean, 9) == 0))
    df = total**2 / sum(part.variance**2 / part.df for part in parts)
    half_width = float(special.stdtrit(df, 1 - alpha / 2) * np.sqrt(total))  # a fiftieth of the time of scipy.stats.t
    p = float(2 * special.stdtr(df, -abs(mean) / np.sqrt(total)))
    return Difference(round(mean, 9), round(mean - half_width, 9), round(mean + half_width, 9), round(p, 9))


def _residual(values: NDArray[np.float64]) -> float:
    """Variance of a mean over [seeds, clips] that is neither of seeds nor of clips; 0 for one seed."""
    num_seeds, num_clips = values.shape
    if num_seeds == 1:
        return 0.0
    rest = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    return float((rest**2).sum() / ((num_seeds - 1) * (num_clips - 1)) / values.size)


def plain_tests(left: Mapping[int, float], right: Mapping[int, float]) -> tuple[float | None, float | None]:
    """The two-sided p of Welch's t, and that of the paired t over the seeds that both rows have.

    For readers who would rather not rely on `difference`; both ignore the spread of test clips. None for one seed.

    Args:
        left, right: {seed: mean over clips}.
    """
    a, b = np.array(list(left.values())), np.array(list(right.values()))
    paired = np.array([left[seed] - right[seed] for seed in left if seed in right])
    return _p_of(float(a.mean() - b.mean()), a, b), _p_of(float(paired.mean()) if len(paired) else 0.0, paired)


def _p_of(mean: float, *samples: NDArray[np.float64]) -> float | None:
    """P of a difference of means of independent samples."""
    if any(len(each) < 2 for each in samples):
        return None
    return t_test(Contrast(mean, [Spread(float(s.var(ddof=1)) / len(s), len(s) - 1.0) for s in samples])).p


def mcnemar(only_left: NDArray[np.bool_], only_right: NDArray[np.bool_]) -> float:
    """Exact two-sided p that clips which one model alone classifies correctly are evenly split (McNemar 1947)."""
    counts = int(only_left.sum()), int(only_right.sum())
    return float(stats.binomtest(counts[0], sum(counts)).pvalue) if sum(counts) else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number m, so that the probability of any false rejection stays below the level.

    Holm, Scandinavian Journal of Statistics 1979. For p_(1) <= ... <= p_(m):

        adjusted p_(i) = max_{j <= i} min(1, (m - j + 1) p_(j))
    """
    order = np.argsort(p_values, kind="stable")
    m = len(order)
    adjusted = np.empty(m)
    steps = (m - np.arange(m)) * np.asarray(p_values, np.float64)[order]
    adjusted[order] = np.minimum(1, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number m, so that of the rejections at level a no more than the share a is false.

    Benjamini and Hochberg [benjamini1995controlling]; the share is an expectation. Where nothing differs, every
    rejection is false, so the probability of any is at most a, as by Holm. For p_(1) <= ... <= p_(m):

        adjusted p_(i) = min_{j >= i} min(1, m p_(j) / j)
    """
    return [float(p) for p in stats.false_discovery_control(p_values)] if p_values else []
