"""Which test of the differences between rows keeps its level, and what does it find?

Tables are generated in which no row is better: clips that are hard for all rows, each row's own, seeds, and the rest,
in evidence above which a clip is right. By how far the rows vary between seeds, and by test,

    covered    share of the 95 % intervals of the first row against each other one that contain 0 (the worst
               comparison's beside it)
    false      share of the tables with a difference that is none: of the first row with the others, after Holm's
               correction; and of the row that looks best with the others, after
               Bonferroni's over all pairs, as ties are marked
    found      share of the differences found of a first row that is better by three times the rows' median deviation
               between seeds, after Holm's correction
    width      median half width of the 95 % intervals, in points

    Welch, paired    the plain t-tests of scipy over seeds, which know nothing of clips
    both with clips  the same with the part of the clips that `difference` adds
    correlated       Welch with clips, less the covariance that rows have by one correlation, estimated from all pairs
    Smyth            with clips, moderated by an inverse chi-square prior whose parameters are estimated (limma, 2004)
    here             `avbalance.results.statistics.sample`

Last, the claims of a table are judged where no row differs, and where half of the rows differ by 3 points: mean number
of claims that are decided rightly and wrongly, and share of the tables with a wrong verdict.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from measure import print_conditions, print_table
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

from avbalance.results.claims import judge
from avbalance.results.columns.base import find_column
from avbalance.results.measure import Measured
from avbalance.results.statistics import (
    ALPHA,
    Contrast,
    Difference,
    Sample,
    Spread,
    contrast,
    difference,
    holm,
    sample,
    t_test,
)

Rows = Mapping[str, NDArray[np.float64]]
Compare = Callable[[Rows, str], list[Difference]]
"""The comparisons of one row with all others."""

POINTS_PER_EVIDENCE = 19.4
"""At 80 % right."""
REAL = (0.2, 0.3, 0.3, 0.3, 0.4, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2, 1.5, 1.5, 1.7, 5.4)
"""Deviations between seeds in points, of accuracy of balancing methods on AV-MNIST at scale laptop."""
CLAIMS = Path(__file__).parents[1] / "config" / "tables" / "balance_grid_letter.yaml"


class Regime(NamedTuple):
    """Spread of rows between seeds.

    Attributes:
        num_seeds: Of each row.
        draw: Returns each row's deviation between seeds in points.
        correlation: Of the rows of one seed.
        effects: By how much rows are better, in points.
    """

    num_seeds: int
    draw: Callable[[], NDArray[np.float64]]
    correlation: float = 0.0
    effects: NDArray[np.float64] = np.zeros(1)


def regimes(rng: np.random.Generator) -> dict[str, Regime]:
    """{name: regime}."""
    equal, place = np.full(10, 2.0), np.arange(10)
    unstable, half = np.where(place == 0, 10.0, equal), np.where(place < 5, 2.0, 8.0)

    def log_normal(num_rows: int = 10) -> NDArray[np.float64]:
        return 2.0 * np.exp(rng.normal(0, 1, num_rows) / 2)

    return {
        "5 seeds, equal": Regime(5, lambda: equal),
        "first row 5 times": Regime(5, lambda: unstable),
        "first row a fifth": Regime(5, lambda: np.where(place == 0, 0.4, equal)),
        "last row 5 times": Regime(5, lambda: unstable[::-1]),
        "half 4 times": Regime(5, lambda: half),
        "log-normal, variances by e": Regime(5, log_normal),
        "31 rows": Regime(5, lambda: log_normal(31)),
        "three rows": Regime(5, lambda: equal[:3]),
        "real, in any order": Regime(5, lambda: rng.permutation(REAL)),
        "correlated by 0.2": Regime(5, log_normal, 0.2),
        "10 seeds, equal": Regime(10, lambda: equal),
        "first row 5 times, 10": Regime(10, lambda: unstable),
        "half 4 times, 10": Regime(10, lambda: half),
        "log-normal, 10": Regime(10, log_normal),
        "real, 10": Regime(10, lambda: rng.permutation(REAL)),
        "correlated by 0.2, 10": Regime(10, log_normal, 0.2),
        "3 seeds, log-normal": Regime(3, log_normal),
    }


def tables(
    regime: Regime, number: int, rng: np.random.Generator, num_clips: int = 400
) -> Iterator[tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]]:
    """Rows [seeds, clips] of 100 and 0 without a difference; and the same with a better first row."""
    num_seeds, draw, rho, effects = regime
    for _ in range(number):
        by_seed = draw() / POINTS_PER_EVIDENCE
        shape = (len(by_seed), num_seeds, num_clips)
        evidence = (
            rng.normal(0, 1, num_clips) + rng.normal(0, 0.3, (len(by_seed), 1, num_clips)) + rng.normal(0, 1, shape)
        )
        # A row whose seeds vary more would else be nearer to one half.
        evidence += 1.22 * np.sqrt(1 + by_seed**2 / 2.09)[:, None, None]
        seeds = rho**0.5 * rng.normal(0, 1, num_seeds) + (1 - rho) ** 0.5 * rng.normal(0, 1, shape[:2])
        evidence += (by_seed[:, None] * seeds)[:, :, None] + (effects / POINTS_PER_EVIDENCE)[:, None, None]
        better = evidence.copy()
        better[0] += 3 * np.median(by_seed)
        yield tuple({str(i): 100.0 * (row > 0) for i, row in enumerate(each)} for each in (evidence, better))  # type: ignore[misc]


def spreading(spread: Callable[[NDArray[np.float64], int], list[Spread]], clips: bool = True) -> Compare:
    """From the rows' variances between seeds, and the number of seeds, to the spreads of their means."""

    def compare(rows: Rows, first: str) -> list[Difference]:
        values = rows if clips else {row: each.mean(axis=1, keepdims=True) for row, each in rows.items()}
        variances = np.array([row.mean(axis=1).var(ddof=1) for row in rows.values()])
        spreads = dict(zip(rows, spread(variances, len(rows[first])), strict=True))
        samples = {row: Sample(values[row], spreads[row]) for row in rows}
        return [difference(samples[first], samples[row]) for row in rows if row != first]

    return compare


def paired(left: NDArray[np.float64], right: NDArray[np.float64], clips: bool) -> Difference:
    """The variance of the differences by seed, with the clips' part or without it."""
    by_seed = left.mean(axis=1) - right.mean(axis=1)
    parts = [Spread(float(by_seed.var(ddof=1)) / len(by_seed), len(by_seed) - 1.0)]
    return t_test(Contrast(float(by_seed.mean()), parts + _clips(left, right) * clips))


def _clips(left: NDArray[np.float64], right: NDArray[np.float64]) -> list[Spread]:
    """The part of the clips alone."""
    none = Spread(0.0, 1.0)
    return (contrast(Sample(left, none), Sample(right, none)).parts or [])[2:]


def correlated(rows: Rows, first: str) -> list[Difference]:
    """V_left + V_right - 2 r (V_left V_right)^(1/2) + V_clips, with one correlation r >= 0 of seeds for all rows."""
    samples = sample(rows)
    means = np.array([row.mean(axis=1) for row in rows.values()])
    r = np.corrcoef(means[np.ptp(means, axis=1) > 0])
    rho = max(0.0, float((r.sum() - len(r)) / (len(r) * (len(r) - 1))))
    found = []
    for row in rows.keys() - {first}:
        mean, parts = contrast(samples[first], samples[row])
        assert parts is not None
        total = sum(part.variance for part in parts)
        share = 1 - 2 * rho * (parts[0].variance * parts[1].variance) ** 0.5 / total
        found.append(t_test(Contrast(mean, [part._replace(variance=share * part.variance) for part in parts])))
    return found


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


def own(variances: NDArray[np.float64], n: int) -> list[Spread]:
    """Each row's own variance."""
    return [Spread(s2 / n, n - 1.0) for s2 in variances]


TESTS: dict[str, Compare] = {
    "Welch": spreading(own, clips=False),
    "paired": lambda rows, first: [paired(rows[first], rows[row], False) for row in rows if row != first],
    "Welch, clips": spreading(own),
    "paired, clips": lambda rows, first: [paired(rows[first], rows[row], True) for row in rows if row != first],
    "correlated": correlated,
    "Smyth": spreading(smyth),
    "here": lambda rows, first: [
        difference(samples[first], samples[row]) for samples in [sample(rows)] for row in rows if row != first
    ],
}


def rejected(found: list[Difference]) -> list[bool]:
    """After Holm's correction."""
    return [p < ALPHA for p in holm([each.p for each in found if each.p is not None])]


def measured(number: int) -> Iterator[list[str]]:
    """A line a regime and test."""
    for name, regime in regimes(np.random.default_rng(1)).items():
        covered, false, best, found, width = ({test: [] for test in TESTS} for _ in range(5))  # type: ignore[var-annotated]
        for rows, better in tables(regime, number, np.random.default_rng(2)):
            highest = max(rows, key=lambda row: rows[row].mean())
            for test, compare in TESTS.items():
                compared = compare(rows, "0")
                covered[test].append([each.low <= 0 <= each.high for each in compared])
                width[test] += [(each.high - each.low) / 2 for each in compared]
                false[test].append(any(rejected(compared)))
                num_pairs = len(rows) * (len(rows) - 1) / 2
                best[test].append(any((each.p or 0.0) * num_pairs < ALPHA for each in compare(rows, highest)))
                found[test].append(np.mean(rejected(compare(better, "0"))))
        for test in TESTS:
            share = [np.mean(covered[test]), np.mean(covered[test], axis=0).min()]
            share += [np.mean(each[test]) for each in (false, best, found)]
            yield [name, test, *(f"{100 * each:.1f}" for each in share), f"{np.median(width[test]):.2f}"]


def judged(number: int) -> Iterator[list[str]]:
    """A line a number of seeds and share of rows that differ; a verdict is right if the effects give it, too."""
    content = yaml.safe_load(CLAIMS.read_text(encoding="utf-8"))
    claims, names = content["claims"], list(content["rows"])
    columns = sorted({claim[key] for claim in claims.values() for key in ("metric", "right_metric") if key in claim})
    headers = {column: find_column(column).header for column in columns}
    for num_seeds, share in ((5, 0.0), (5, 0.5), (10, 0.0), (10, 0.5)):
        rng = np.random.default_rng(num_seeds)
        counts: dict[str, list[tuple[int, int]]] = {"here": [], "fdr": []}
        for _ in range(number):
            effects = rng.normal(0, 3, (len(names), len(columns))) * (rng.random((len(names), 1)) < share)
            values: dict[str, dict[str, Measured]] = {row: {} for row in names}
            true: dict[str, dict[str, Measured]] = {row: {} for row in names}
            for place, column in enumerate(columns):
                regime = Regime(num_seeds, lambda: rng.choice(REAL, len(names)), effects=effects[:, place])  # noqa: B023
                ((rows, _),) = tables(regime, 1, rng)
                for row, each, effect in zip(names, rows.values(), effects[:, place], strict=True):
                    values[row][column] = Measured(dict(enumerate(each)), num_seeds, "generated")
                    true[row][column] = Measured({0: np.array([effect])}, 1, "generated", exact=True)
            results = judge(claims, values, headers, {})
            truth = {result.name: result.verdict for result in judge(claims, true, headers, {})}
            for rule, found in counts.items():
                verdicts = {
                    each.name: each.verdict if rule == "here" else each.others[rule]["verdict"] for each in results
                }
                decided = [verdicts[name] == truth[name] for name in claims if verdicts[name] != "undecided"]
                found.append((sum(decided), len(decided) - sum(decided)))
        line = [f"{num_seeds}", f"{100 * share:.0f}"]
        for found in counts.values():
            right, wrong = np.array(found).T
            line += [f"{right.mean():.1f}", f"{wrong.mean():.2f}", f"{100 * (wrong > 0).mean():.0f}"]
        yield line


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=300, help="generated, a regime")
    arguments = parser.parse_args()
    print_conditions(tables=arguments.tables)
    print_table(
        ["regime", "test", "covered", "worst", "false, first", "false, best", "found", "width"],
        measured(arguments.tables),
    )
    headings = ["right", "wrong", "% of tables with a wrong one"]
    print_table(
        ["seeds", "% of rows", *headings, *(f"{each}, Benjamini and Hochberg" for each in headings)],
        judged(max(1, arguments.tables // 3)),
    )


if __name__ == "__main__":
    main()
