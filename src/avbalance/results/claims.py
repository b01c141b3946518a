"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from avbalance.cli import UserError
from avbalance.results.columns import Column
from avbalance.results.measure import Measured, Values
from avbalance.results.statistics import ALPHA, Difference, holm, paired_t

Verdict = Literal["holds", "fails", "undecided"]
CAPTION = (
    "Every comparison is paired and has two t-tests, one over seeds and, where a clip has a value of its own, one over "
    "test clips; the larger p counts. Where a claim speaks of several rows, all must be on its side: its p is then the "
    "largest of theirs; where some are on the other side, it is the smallest of those, times the number of "
    "comparisons. Adjusted p: Holm's correction over a table's claims. A claim is undecided unless adjusted p < "
    f"{ALPHA}. The comparison that decides is shown, with the wider of the two tests' 95 % intervals, not corrected."
)
SIGN = {">": 1, "<": -1}
VERDICTS: dict[int, Verdict] = {1: "holds", -1: "fails", 0: "undecided"}


@dataclass
class Pair:
    """One comparison `left - right`; numbers are None where no seed has both, p also where nothing is tested."""

    left: str
    right: str
    difference: float | None
    low: float | None
    high: float | None
    p: float | None


@dataclass
class Result:
    """A claim and its verdict. Of several pairs, sides and interval are of the one that decides; p is of the claim."""

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
    p: float | None
    adjusted_p: float | None
    pairs: list[dict[str, Any]]


Compared = tuple[str, str, Difference | None]
"""Left, right, and left - right."""


def compare(left: Measured, right: Measured) -> Difference | None:
    """left - right on the seeds that both have; None where there are none, or the two are of different data.

    What is not of the same clips one by one is compared by its means.
    """
    seeds = sorted(left.values.keys() & right.values.keys())
    if not seeds or left.data != right.data:
        return None
    if left.exact and right.exact:
        exact = float(left.means(seeds)[0] - right.means(seeds)[0])
        return Difference(exact, exact, exact)
    a, b = (np.array([cell.values[seed] for seed in seeds]) for cell in (left, right))
    if a.shape != b.shape:
        a, b = a.mean(axis=1, keepdims=True), b.mean(axis=1, keepdims=True)
    return paired_t(a, b)


def judge(
    claims: Mapping[str, Mapping[str, Any]],
    values: Values,
    columns: Mapping[str, Column],
    expected: Mapping[str, Mapping[str, float]],
) -> list[Result]:
    """The verdicts on a table's claims, whose p values are corrected together.

    `left > right` holds if the difference is above 0 with an adjusted p below 0.05, fails if it is below 0 with such
    a p, and is undecided otherwise; an exact difference is decided by its sign. A list against one row means every
    row of it; two lists are compared pair by pair. The claim holds if all pairs do (its p is their largest: an
    intersection-union test) and fails if one fails (p: the smallest of those, Bonferroni-corrected for the pairs).
    `equals_paper` holds if every row's mean is within `tolerance` of the paper's number. With `right_metric`, two
    columns of the same row are compared.

    Args:
        claims: {name: {"metric", "relation", "text", "left", "right"}}; `right_metric` instead of `right`;
            `tolerance` instead of both for `equals_paper`.
        values: Of every row and column.
        columns: {name: column}.
        expected: {row: {column: the paper's number}}.
    """
    compared = {name: _compared(name, claim, values, expected) for name, claim in claims.items()}
    p_values = {name: _p_value(claim, compared[name]) for name, claim in claims.items()}
    tested = {name: p for name, p in p_values.items() if p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [
        _result(name, claim, compared[name], p_values[name], adjusted.get(name), columns)
        for name, claim in claims.items()
    ]


def _compared(
    name: str, claim: Mapping[str, Any], values: Values, expected: Mapping[str, Mapping[str, float]]
) -> list[Compared]:
    """The comparisons that a claim makes."""
    metric = claim["metric"]
    if claim["relation"] == "equals_paper":
        return _against_paper(metric, values, expected)
    other = claim.get("right_metric", metric)
    return [
        (left, right, compare(values[left][metric], values[right][other]))
        for left, right in _pairs(name, claim["left"], claim["left" if other != metric else "right"])
    ]


def _p_value(claim: Mapping[str, Any], compared: list[Compared]) -> float | None:
    """The claim's p before it is corrected; None where nothing is tested."""
    if claim["relation"] == "equals_paper":
        return None
    sign = SIGN[claim["relation"]]
    against = [found.p for _, _, found in compared if found and found.p is not None and sign * found.difference < 0]
    if against:
        return min(1.0, len(compared) * min(against))
    p_values = [found.p if found else None for _, _, found in compared]
    return None if None in p_values else max(p for p in p_values if p is not None)


def _result(
    name: str,
    claim: Mapping[str, Any],
    compared: list[Compared],
    p: float | None,
    adjusted_p: float | None,
    columns: Mapping[str, Column],
) -> Result:
    relation, column = claim["relation"], columns[claim["metric"]]
    left, right, found = min(compared, key=lambda pair: _strength(relation, pair[2]))
    pairs = [Pair(one, other, *(each or (None,) * len(Difference._fields))) for one, other, each in compared]
    return Result(
        name=name,
        text=claim["text"],
        metric=claim["metric"],
        right_metric=claim.get("right_metric", claim["metric"]),
        relation=relation,
        unit="points" if column.unit == "%" else column.unit,
        digits=max(column.digits, 2),
        verdict=_verdict(claim, [each for _, _, each in compared], adjusted_p),
        left=left,
        right=right,
        difference=found.difference if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        p=p,
        adjusted_p=adjusted_p,
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


def _verdict(claim: Mapping[str, Any], found: list[Difference | None], adjusted_p: float | None) -> Verdict:
    known = [each for each in found if each is not None]
    if claim["relation"] == "equals_paper":
        if any(abs(each.difference) > claim["tolerance"] for each in known):
            return "fails"
        return "holds" if len(known) == len(found) else "undecided"
    is_exact = len(known) == len(found) and all(each.low == each.high for each in known)
    if not is_exact and (adjusted_p is None or adjusted_p >= ALPHA):
        return "undecided"
    return VERDICTS[min(int(np.sign(SIGN[claim["relation"]] * each.difference)) for each in known)]


def _strength(relation: str, found: Difference | None) -> tuple[int, float]:
    """How far a comparison speaks for the claim; the weakest decides, a missing one unless one is against."""
    if found is None:
        return 1, 0.0
    if relation not in SIGN:
        return 1, -abs(found.difference)
    difference = SIGN[relation] * found.difference
    if difference < 0 and found.p is not None:
        return 0, found.p
    return 1 + (difference > 0), difference


def _against_paper(metric: str, values: Values, expected: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    compared: list[Compared] = []
    for row, paper in expected.items():
        if metric in paper:
            means = values[row][metric].means()
            difference = float(means.mean()) - paper[metric] if len(means) else None
            compared.append((row, "paper", None if difference is None else Difference(*[difference] * 3)))
    return compared
