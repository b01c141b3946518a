"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

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
SIGN = {">": 1, "<": -1, "falls": 1}
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


class Compared(NamedTuple):
    """Left - right of two rows, or of two columns of a row; None where no seed has both."""

    left: str
    right: str
    found: Difference | None

    @property
    def p(self) -> float | None:
        """Of no difference; None where there is nothing to test."""
        return self.found.p if self.found else None

    def sign(self) -> int:
        """Of the difference; 0 where there is none."""
        return int(np.sign(self.found.difference)) if self.found else 0


class Side(NamedTuple):
    """A verdict that a claim may have: the comparison that decides on it, and its p before it is corrected."""

    decisive: Compared
    p: float | None


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
    `falls` fails if one of the rows on its left is above its predecessor, or the last above the first (p: as before),
    and else holds if the last is below the first; both p values are corrected with the others. `equals_paper` holds
    if every row's mean is within `tolerance` of the paper's number. With `right_metric`, two columns of the same row
    are compared.

    Args:
        claims: {name: {"metric", "relation", "text", "left", "right"}}; `right_metric` instead of `right`;
            `tolerance` instead of both for `equals_paper`; `falls` has no right.
        values: Of every row and column.
        columns: {name: column}.
        expected: {row: {column: the paper's number}}.
    """
    compared = {name: _compared(name, claim, values, expected) for name, claim in claims.items()}
    sides = {name: _sides(claim["relation"], compared[name]) for name, claim in claims.items()}
    tested = {(name, sign): side.p for name in sides for sign, side in sides[name].items() if side.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    results = []
    for name, claim in claims.items():
        of_claim = {sign: p for (owner, sign), p in adjusted.items() if owner == name}
        results.append(_result(name, claim, compared[name], sides[name], of_claim, columns[claim["metric"]]))
    return results


def _compared(
    name: str, claim: Mapping[str, Any], values: Values, expected: Mapping[str, Mapping[str, float]]
) -> list[Compared]:
    """The comparisons that a claim makes; of `falls` that of the first row with the last stands first."""
    metric = claim["metric"]
    if claim["relation"] == "equals_paper":
        return _against_paper(metric, values, expected)
    left, other = claim["left"], claim.get("right_metric", metric)
    if claim["relation"] == "falls":
        pairs = list(dict.fromkeys([(left[0], left[-1]), *pairwise(left)]))
    else:
        pairs = _pairs(name, left, left if other != metric else claim["right"])
    return [Compared(one, against, compare(values[one][metric], values[against][other])) for one, against in pairs]


def _sides(relation: str, compared: list[Compared]) -> dict[int, Side]:
    """{-1 for fails, 1 for holds: side}, of which a claim has one; `falls` may have both."""
    if relation == "equals_paper":
        return {1: Side(max(compared, key=lambda pair: abs(pair.found.difference) if pair.found else 0.0), None)}
    sign, sides = SIGN[relation], {}
    against = [pair for pair in compared if pair.p is not None and pair.sign() == -sign]
    if against:
        worst = min(against, key=lambda pair: pair.p or 0.0)
        sides[-1] = Side(worst, min(1.0, len(compared) * (worst.p or 0.0)))
    if relation == "falls":
        if compared[0] not in against:
            sides[1] = Side(compared[0], compared[0].p if all(pair.found for pair in compared) else None)
    elif not against:
        p_values = [pair.p for pair in compared]
        weakest = min(
            compared, key=lambda pair: (pair.found is not None, sign * pair.found.difference if pair.found else 0)
        )
        sides[1] = Side(weakest, None if None in p_values else max(p or 0.0 for p in p_values))
    return sides


def _result(
    name: str,
    claim: Mapping[str, Any],
    compared: list[Compared],
    sides: dict[int, Side],
    adjusted: dict[int, float],
    column: Column,
) -> Result:
    sign = _verdict(claim, compared, adjusted)
    chosen = sign if sign in sides else max(sides)
    (left, right, found), p = sides[chosen]
    pairs = [Pair(one, other, *(each or (None,) * len(Difference._fields))) for one, other, each in compared]
    return Result(
        name=name,
        text=claim["text"],
        metric=claim["metric"],
        right_metric=claim.get("right_metric", claim["metric"]),
        relation=claim["relation"],
        unit="points" if column.unit == "%" else column.unit,
        digits=max(column.digits, 2),
        verdict=VERDICTS[sign],
        left=left,
        right=right,
        difference=found.difference if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        p=p,
        adjusted_p=adjusted.get(chosen),
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


def _verdict(claim: Mapping[str, Any], compared: list[Compared], adjusted: Mapping[int, float]) -> int:
    """1, -1 or 0, as in VERDICTS."""
    known = [pair.found for pair in compared if pair.found is not None]
    if claim["relation"] == "equals_paper":
        if any(abs(each.difference) > claim["tolerance"] for each in known):
            return -1
        return int(len(known) == len(compared))
    if len(known) == len(compared) and all(each.low == each.high for each in known):
        signs = [SIGN[claim["relation"]] * pair.sign() for pair in compared]
        return signs[0] if claim["relation"] == "falls" and min(signs) >= 0 else min(signs)
    return next((sign for sign in (-1, 1) if adjusted.get(sign, 1.0) < ALPHA), 0)


def _against_paper(metric: str, values: Values, expected: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    compared: list[Compared] = []
    for row, paper in expected.items():
        if metric in paper:
            means = values[row][metric].means()
            difference = float(means.mean()) - paper[metric] if len(means) else None
            compared.append(Compared(row, "paper", None if difference is None else Difference(*[difference] * 3)))
    return compared
