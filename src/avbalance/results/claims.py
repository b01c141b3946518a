"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from avbalance.cli import UserError
from avbalance.results.columns import Column, Measured, Values
from avbalance.results.statistics import NUM_RESAMPLES, Difference, paired_bootstrap, paired_t

Verdict = Literal["holds", "fails", "undecided"]
CAPTION = (
    "A claim holds if the whole interval is on its side of 0, fails if the whole interval is on the other side, and "
    "is undecided otherwise. Where it speaks of several rows, all must hold, and the comparison that decides is "
    f"shown. Intervals: paired bootstrap over seeds and test clips, {NUM_RESAMPLES:,} resamples; each is a 95 % "
    "interval of its own, not corrected for their number."
)
SIGN = {">": 1, "<": -1}


@dataclass
class Pair:
    """One comparison `left - right`; numbers are None where no seed has both."""

    left: str
    right: str
    verdict: Verdict
    difference: float | None
    low: float | None
    high: float | None


@dataclass
class Result:
    """A claim and its verdict. Of several pairs, sides and numbers are those of the pair that decides."""

    name: str
    text: str
    metric: str
    right_metric: str
    relation: str
    unit: str
    digits: int
    verdict: Verdict
    left: str
    right: str
    difference: float | None
    low: float | None
    high: float | None
    pairs: list[dict[str, Any]]


def compare(left: Measured, right: Measured) -> Difference | None:
    """left - right on the seeds that both have; None where there are none, or the two are of different data.

    Per-clip values are compared by the paired bootstrap, single numbers by a t-interval over seeds.
    """
    seeds = sorted(left.values.keys() & right.values.keys())
    if not seeds or left.data != right.data:
        return None
    if left.exact and right.exact:
        exact = float(left.means(seeds)[0] - right.means(seeds)[0])
        return Difference(exact, exact, exact)
    a, b = (np.array([cell.values[seed] for seed in seeds]) for cell in (left, right))
    if a.shape[1] > 1 and a.shape == b.shape:
        return paired_bootstrap(a, b)
    return paired_t(left.means(seeds), right.means(seeds))


def judge(
    name: str,
    claim: Mapping[str, Any],
    values: Values,
    columns: Mapping[str, Column],
    expected: Mapping[str, Mapping[str, float]],
) -> Result:
    """The verdict on one claim.

    `left > right` holds if the whole 95 % interval of the difference is above 0, fails if it is below, and is
    undecided otherwise. A list against one row means every row of it; two lists are compared pair by pair. The
    claim holds if all pairs hold and fails if one fails. `equals_paper` holds if every row's mean is within
    `tolerance` of the paper's number. With `right_metric`, two columns of the same row are compared.

    Args:
        name: The claim's.
        claim: {"metric", "relation", "text", "left", "right"}; `right_metric` instead of `right`; `tolerance`
            instead of both for `equals_paper`.
        values: Of every row and column.
        columns: {name: column}.
        expected: {row: {column: the paper's number}}.
    """
    metric, relation = claim["metric"], claim["relation"]
    other = claim.get("right_metric", metric)
    if relation == "equals_paper":
        pairs = _against_paper(metric, values, expected, claim["tolerance"])
    else:
        pairs = [
            _pair(left, right, SIGN[relation], compare(values[left][metric], values[right][other]))
            for left, right in _pairs(name, claim["left"], claim["left" if other != metric else "right"])
        ]
    ranks: tuple[Verdict, ...] = ("fails", "undecided", "holds")
    verdict = min((pair.verdict for pair in pairs), key=ranks.index)
    deciding = min(
        (pair for pair in pairs if pair.verdict == verdict),
        key=lambda pair: _strength(relation, pair.difference),
    )
    column = columns[metric]
    unit = "points" if column.unit == "%" else column.unit
    return Result(
        name=name,
        text=claim["text"],
        metric=metric,
        right_metric=other,
        relation=relation,
        unit=unit,
        digits=max(column.digits, 2),
        verdict=verdict,
        left=deciding.left,
        right=deciding.right,
        difference=deciding.difference,
        low=deciding.low,
        high=deciding.high,
        pairs=[asdict(pair) for pair in pairs],
    )


def _pairs(name: str, left: str | list[str], right: str | list[str]) -> list[tuple[str, str]]:
    lefts = [left] if isinstance(left, str) else left
    rights = [right] if isinstance(right, str) else right
    if len(lefts) == 1 or len(rights) == 1:
        return [(one, other) for one in lefts for other in rights]
    if len(lefts) != len(rights):
        raise UserError(
            f"claim {name!r}: left has {len(lefts)} rows and right {len(rights)}; two lists are compared pair by "
            "pair, so give them one length, or one side a single row"
        )
    return list(zip(lefts, rights, strict=True))


def _pair(left: str, right: str, sign: int, found: Difference | None) -> Pair:
    if found is None:
        return Pair(left, right, "undecided", None, None, None)
    low, high = sorted((sign * found.low, sign * found.high))
    verdict: Verdict = "holds" if low > 0 else "fails" if high < 0 else "undecided"
    return Pair(left, right, verdict, *found)


def _strength(relation: str, difference: float | None) -> float:
    """How far a difference speaks for the claim; the weakest pair decides."""
    if difference is None:
        return -np.inf
    return SIGN[relation] * difference if relation in SIGN else -abs(difference)


def _against_paper(
    metric: str, values: Values, expected: Mapping[str, Mapping[str, float]], tolerance: float
) -> list[Pair]:
    pairs = []
    for row, paper in expected.items():
        if metric in paper:
            means = values[row][metric].means()
            difference = float(means.mean()) - paper[metric] if len(means) else None
            verdict: Verdict = "undecided"
            if difference is not None:
                verdict = "holds" if abs(difference) <= tolerance else "fails"
            pairs.append(Pair(row, "paper", verdict, difference, difference, difference))
    return pairs
