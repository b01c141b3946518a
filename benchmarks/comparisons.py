"""Which test of the differences between rows keeps its level, and what does it find?

Tables are generated in which no row is better: clips that are hard for all rows, each row's own, seeds, and the rest,
in evidence above which a clip is right. By how far the rows vary between seeds, and by test,

    covered    share of the 95 % intervals of the first row against each other one that contain 0 (the worst
               comparison's beside it)
    false      share of the tables with a difference that is none, after Holm's correction: of the first row with the
               others; of the row that looks best with the others, as ties are marked
    found      share of the differences found of a first row that is better by five times the rows' median deviation
               between seeds

    paired     t over seeds and t over clips of the paired differences, the larger p (what tables had before)
    bootstrap  seeds and clips drawn anew, paired
    pooled     one variance between seeds for all rows
    Smyth      moderated by an inverse chi-square prior whose parameters are estimated (limma, 2004)
    Welch      each row's own variance between seeds
    here       `avbalance.results.statistics.sample`; the last three and pooled add the clips' part as `difference` does
"""

import argparse
import functools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from measure import print_conditions, print_table
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from avbalance.results.statistics import ALPHA, Difference, Sample, Spread, difference, holm, sample

Rows = Mapping[str, NDArray[np.float64]]
Compare = Callable[[Rows, str], list[Difference]]
"""The comparisons of one row with all others."""

POINTS_PER_EVIDENCE = 19.4
"""At 80 % right."""
REAL = (0.2, 0.3, 0.3, 0.3, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 1.5, 1.7, 5.4)
"""Deviations between seeds in points, of accuracy of balancing methods on AV-MNIST at scale laptop."""


def regimes(rng: np.random.Generator) -> dict[str, tuple[int, Callable[[], NDArray[np.float64]]]]:
    """{name: seeds, and what draws each row's deviation between seeds, in points}."""
    equal, place = np.full(10, 2.0), np.arange(10)
    return {
        "3 seeds, equal": (3, lambda: equal),
        "first row 5 times": (3, lambda: np.where(place == 0, 10.0, equal)),
        "first row a fifth": (3, lambda: np.where(place == 0, 0.4, equal)),
        "last row 5 times": (3, lambda: np.where(place == 9, 10.0, equal)),
        "half 4 times": (3, lambda: np.where(place < 5, 2.0, 8.0)),
        "log-normal, variances by e": (3, lambda: 2.0 * np.exp(rng.normal(0, 1, 10) / 2)),
        "three rows": (3, lambda: equal[:3]),
        "real, in any order": (3, lambda: rng.permutation(REAL)),
        "2 seeds, equal": (2, lambda: equal),
        "5 seeds, log-normal": (5, lambda: 2.0 * np.exp(rng.normal(0, 1, 10) / 2)),
    }


def tables(
    num_seeds: int, draw: Callable[[], NDArray[np.float64]], number: int, rng: np.random.Generator, num_clips: int = 400
) -> Iterator[tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]]:
    """Rows [seeds, clips] of 100 and 0 without a difference; and the same with a better first row."""
    for _ in range(number):
        by_seed = draw() / POINTS_PER_EVIDENCE
        shape = (len(by_seed), num_seeds, num_clips)
        evidence = (
            rng.normal(0, 1, num_clips) + rng.normal(0, 0.3, (len(by_seed), 1, num_clips)) + rng.normal(0, 1, shape)
        )
        # A row whose seeds vary more would else be nearer to one half.
        evidence += 1.22 * np.sqrt(1 + by_seed**2 / 2.09)[:, None, None]
        evidence += (by_seed[:, None] * rng.normal(0, 1, shape[:2]))[:, :, None]
        better = evidence.copy()
        better[0] += 5 * np.median(by_seed)
        yield tuple({str(i): 100.0 * (row > 0) for i, row in enumerate(each)} for each in (evidence, better))  # type: ignore[misc]


def pairwise(test: Callable[[NDArray[np.float64]], Difference]) -> Compare:
    """Each comparison by itself, from the paired differences [seeds, clips]."""
    return lambda rows, first: [test(rows[first] - rows[row]) for row in rows if row != first]


def paired(d: NDArray[np.float64]) -> Difference:
    """The larger p, and the wider interval, of two t-tests."""
    found = [
        difference(Sample(means[:, None], Spread(means.var(ddof=1) / len(means), len(means) - 1)))
        for means in (d.mean(axis=1), d.mean(axis=0))
    ]
    low, high = min(each.low for each in found), max(each.high for each in found)
    return Difference(d.mean(), low, high, max(each.p or 0.0 for each in found))


@functools.cache
def drawn(n: int, draws: int = 500) -> NDArray[np.float64]:
    """Shares of n things in each draw of n of them, [draws, n]."""
    return np.random.default_rng(n).multinomial(n, np.full(n, 1 / n), draws) / n


def bootstrap(d: NDArray[np.float64]) -> Difference:
    """Percentiles of means over drawn seeds and clips."""
    seeds, clips = map(drawn, d.shape)
    means = np.einsum("ds,sd->d", seeds, d @ clips.T)
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    p = min(1.0, 2 * (1 + min((means <= 0).sum(), (means >= 0).sum())) / (len(means) + 1))
    return Difference(d.mean(), low, high, p)


def spreading(spread: Callable[[NDArray[np.float64], int], list[Spread]]) -> Compare:
    """From the rows' variances between seeds, and the number of seeds, to the spreads of their means."""

    def compare(rows: Rows, first: str) -> list[Difference]:
        variances = np.array([row.mean(axis=1).var(ddof=1) for row in rows.values()])
        spreads = dict(zip(rows, spread(variances, len(rows[first])), strict=True))
        samples = {row: Sample(rows[row], spreads[row]) for row in rows}
        return [difference(samples[first], samples[row]) for row in rows if row != first]

    return compare


def smyth(variances: NDArray[np.float64], n: int) -> list[Spread]:
    """limma's squeezeVar: s0 and d0 from the mean and the variance of log s^2 (Smyth 2004, section 6.2)."""
    d = n - 1
    e = np.log(np.maximum(variances, 1e-9)) - digamma(d / 2) + np.log(d / 2)
    excess = e.var(ddof=1) - polygamma(1, d / 2)
    if excess <= 0:
        return [Spread(np.exp(e.mean()) / n, len(e) * d)] * len(e)
    d0 = 2 * brentq(lambda x: polygamma(1, x) - excess, 1e-3, 1e6)
    s0 = np.exp(e.mean() + digamma(d0 / 2) - np.log(d0 / 2))
    return [Spread((d0 * s0 + d * s2) / (d0 + d) / n, d0 + d) for s2 in variances]


TESTS: dict[str, Compare] = {
    "paired": pairwise(paired),
    "bootstrap": pairwise(bootstrap),
    "pooled": spreading(lambda s2, n: [Spread(s2.mean() / n, len(s2) * (n - 1))] * len(s2)),
    "Smyth": spreading(smyth),
    "Welch": spreading(lambda s2, n: [Spread(each / n, n - 1) for each in s2]),
    "here": lambda rows, first: [
        difference(samples[first], samples[row]) for samples in [sample(rows)] for row in rows if row != first
    ],
}


def rejected(found: list[Difference]) -> list[bool]:
    """After correction."""
    return [p < ALPHA for p in holm([each.p for each in found if each.p is not None])]


def measured(number: int) -> Iterator[list[str]]:
    """A line a regime and test."""
    for name, (num_seeds, draw) in regimes(np.random.default_rng(1)).items():
        covered, false, best, found = ({test: [] for test in TESTS} for _ in range(4))  # type: ignore[var-annotated]
        for rows, better in tables(num_seeds, draw, number, np.random.default_rng(2)):
            highest = max(rows, key=lambda row: rows[row].mean())
            for test, compare in TESTS.items():
                compared = compare(rows, "0")
                covered[test].append([each.low <= 0 <= each.high for each in compared])
                false[test].append(any(rejected(compared)))
                best[test].append(any(rejected(compare(rows, highest))))
                found[test].append(np.mean(rejected(compare(better, "0"))))
        for test in TESTS:
            share = [np.mean(covered[test]), np.mean(covered[test], axis=0).min()]
            share += [np.mean(each[test]) for each in (false, best, found)]
            yield [name, test, *(f"{each:.2f}" for each in share)]


def main() -> None:
    """Print a line a regime and test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300, help="generated, a regime")
    arguments = parser.parse_args()
    print_conditions(tables=arguments.tables)
    print_table(
        ["regime", "test", "covered", "worst", "false, first", "false, best", "found"], measured(arguments.tables)
    )


if __name__ == "__main__":
    main()
