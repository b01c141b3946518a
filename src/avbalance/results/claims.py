"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from avbalance.errors import UserError
from avbalance.results.columns.base import Header
from avbalance.results.measure import Measured, Values, subtract
from avbalance.results.statistics import ALPHA, TEST, Difference, Sample, difference, holm, sample

Verdict = Literal["holds", "fails", "undecided"]
Basis = Literal["experiment", "formula", "generated"]
"""The basis of a verdict: real data, no data, or generated data, which say nothing about a paper."""
CAPTION = (
    f"{TEST} Where a claim speaks of several rows, all must be on its side unless it says how many, k of n: p is then "
    "that of the k-th best comparison times n - k + 1; where too few are, p is that of the comparison that leaves too "
    "few, times k. A claim that something falls along rows compares the first with the last, and each row with the "
    "next; one about the biggest fall compares it with every other. Adjusted p: Holm's correction over a table's "
    f"claims. A claim is undecided unless adjusted p < {ALPHA}; what needs no data, such as a number of parameters, is "
    "decided without a test. The comparison that decides is shown, with its 95 % interval, not corrected."
)
SIGN = {">": 1, "<": -1, "falls": 1, "falls_most": 1}
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
    """A claim and its verdict. Of several pairs, sides and interval are of the one that decides; p is of the claim.

    Attributes:
        condition: What the relation leaves open, in words: how many of the pairs, by how much.
        difference: Of `times` the ratio; else less `less`.
        basis: A verdict is one about the paper where this is no generated data.
    """

    name: str
    text: str
    metric: str
    right_metric: str
    relation: str
    condition: str
    unit: str
    digits: int
    verdict: Verdict
    basis: Basis
    less: float
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


def compare(cells: Mapping[str, Measured], left: str, right: str, less: float = 0.0) -> Difference | None:
    """left - right - less of two rows of a column, {row: its values}; None where one has none, or other data.

    The column's other rows on these data tell how much seeds usually matter.
    """
    a, b = cells[left], cells[right]
    if not a.values or not b.values or a.data != b.data:
        return None
    if a.exact and b.exact:
        exact = float(a.means()[0] - b.means()[0]) - less
        return Difference(exact, exact, exact)
    samples = _samples(cells, a.data)
    shifted = samples[left]._replace(values=samples[left].values - less)
    return difference(shifted, samples[right])


def compare_columns(
    row: str, left: Mapping[str, Measured], right: Mapping[str, Measured], less: float = 0.0
) -> Difference | None:
    """left - right - less of two columns of a row, seed by seed; None where no seed has both, or other data.

    What is not of the same clips one by one is compared by its means.
    """
    gained = {each: subtract(left[each], right[each]) for each in left}
    return _of_one(row, gained, less)


def compare_falls(cells: Mapping[str, Measured], first: tuple[str, str], other: tuple[str, str]) -> Difference | None:
    """(a - b) - (c - d) of two pairs of rows (a, b) and (c, d), seed by seed: how much deeper the first falls."""
    one, two = (subtract(cells[before], cells[after]) for before, after in (first, other))
    return _of_one("", {"": subtract(one, two)})


def _of_one(row: str, gained: Mapping[str, Measured], less: float = 0.0) -> Difference | None:
    """The mean of a row's values, less a number."""
    if not gained[row].values:
        return None
    if gained[row].exact:
        exact = float(gained[row].means()[0]) - less
        return Difference(exact, exact, exact)
    found = _samples(gained, gained[row].data)[row]
    return difference(found._replace(values=found.values - less))


def _samples(cells: Mapping[str, Measured], data: str) -> dict[str, Sample]:
    return sample({row: cell.stacked() for row, cell in cells.items() if cell.values and cell.data == data})


def judge(
    claims: Mapping[str, Mapping[str, Any]],
    values: Values,
    columns: Mapping[str, Header],
    expected: Mapping[str, Mapping[str, float]],
    generated: bool = False,
) -> list[Result]:
    """The verdicts on a table's claims, whose p values are corrected together; an adjusted p below 0.05 decides.

    | relation | holds if | fails if |
    |---|---|---|
    | `>`, `<` | k of the n pairs are on this side | n - k + 1 are on the other |
    | `falls` | the last row is below the first | it is above; or more than `exceptions` rows above their predecessors |
    | `falls_most` | the fall into `right` is deeper than every other along `left` | another is deeper |
    | `times` | every ratio is `factor` within `tolerance` | one is not |
    | `equals_paper` | every row with a number of the paper is within `tolerance` of it | one is not |

    A list against one row makes a pair of each of its rows, two lists make pairs in their order, and with
    `right_metric` a pair is two columns of a row. k is `at_least`, or n. With `by` the sides are apart by that much.

    The first three need a test, unless numbers are exact: each pair has a two-sided p. That k of n are on a side is
    a partial conjunction (Benjamini & Heller, Biometrics 2008), with p = (n - k + 1) p_(k), p_(k) the k-th smallest
    of those on this side: for k = n their largest (an intersection-union test), for k = 1 Bonferroni's. `falls` is
    tested both ways, the other way with the smaller of the p of first and last and the (`exceptions` + 1)-th smallest
    p of a rise, times the number of comparisons less `exceptions`.

    Args:
        claims: {name: a `table_schema.Claim` without what is left open}.
        values: Of every row and column.
        columns: {name: column}.
        expected: {row: {column: the paper's number}}.
        generated: Whether any of the data were.
    """
    compared = {name: _compared(name, claim, values, expected) for name, claim in claims.items()}
    sides = {name: _sides(claim, compared[name]) for name, claim in claims.items()}
    tested = {(name, sign): side.p for name in sides for sign, side in sides[name].items() if side.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    results = []
    for name, claim in claims.items():
        of_claim = {sign: p for (owner, sign), p in adjusted.items() if owner == name}
        rows = {row for pair in compared[name] for row in (pair.left, pair.right)} & values.keys()
        exact = all(values[row][claim["metric"]].exact for row in rows)
        basis: Basis = "generated" if generated else "formula" if exact else "experiment"
        results.append(_result(name, claim, compared[name], sides[name], of_claim, columns[claim["metric"]], basis))
    return results


def _compared(
    name: str, claim: Mapping[str, Any], values: Values, expected: Mapping[str, Mapping[str, float]]
) -> list[Compared]:
    """The comparisons that a claim makes; of `falls` that of the first row with the last stands first."""
    relation, metric = claim["relation"], claim["metric"]
    if relation == "equals_paper":
        return _against_paper(metric, values, expected)
    left, other = claim["left"], claim.get("right_metric", metric)
    cells, others = ({row: values[row][column] for row in values} for column in (metric, other))
    if relation == "falls_most":
        steps = {after: (before, after) for before, after in pairwise(left)}
        deepest = steps.pop(claim["right"])
        return [Compared(claim["right"], row, compare_falls(cells, deepest, step)) for row, step in steps.items()]
    if relation == "falls":
        pairs = list(dict.fromkeys([(left[0], left[-1]), *pairwise(left)]))
        return [Compared(one, against, compare(cells, one, against)) for one, against in pairs]
    pairs = _pairs(name, left, left if other != metric else claim["right"])
    if relation == "times":
        return [Compared(one, against, _ratio(cells[one], others[against])) for one, against in pairs]
    less = _less(claim)
    if other != metric:
        return [Compared(row, row, compare_columns(row, cells, others, less)) for row, _ in pairs]
    return [Compared(one, against, compare(cells, one, against, less)) for one, against in pairs]


def _less(claim: Mapping[str, Any]) -> float:
    """The amount subtracted from a difference: by how much it is claimed to be above 0, or below."""
    return float(SIGN.get(claim["relation"], 0) * claim.get("by", 0.0))


def _ratio(left: Measured, right: Measured) -> Difference | None:
    """The ratio of two exact numbers."""
    if not left.values or not right.values:
        return None
    ratio = float(left.means()[0] / right.means()[0])
    return Difference(ratio, ratio, ratio)


def _sides(claim: Mapping[str, Any], compared: list[Compared]) -> dict[int, Side]:
    """{-1 for fails, 1 for holds: side}, of which a claim has one; `falls` may have both."""
    relation = claim["relation"]
    if relation in ("equals_paper", "times"):
        return {1: Side(max(compared, key=lambda pair: _off(claim, pair)), None)}
    if relation == "falls":
        return _falling(compared, claim.get("exceptions", 0))
    n = len(compared)
    k = claim.get("at_least", n)
    num_against = sum(pair.sign() == -SIGN[relation] for pair in compared)
    side, needed = (-1, n - k + 1) if num_against > n - k else (1, k)

    def rank(pair: Compared) -> tuple[bool, bool, bool, float, float]:
        size = abs(pair.found.difference) if pair.found else 0.0
        return pair.found is None, pair.sign() != side * SIGN[relation], pair.p is None, pair.p or 0.0, -size

    decisive = sorted(compared, key=rank)[needed - 1]
    p = 1.0 if decisive.p is not None and decisive.sign() != side * SIGN[relation] else decisive.p
    return {side: Side(decisive, None if p is None else min(1.0, (n - needed + 1) * p))}


def _falling(compared: list[Compared], exceptions: int) -> dict[int, Side]:
    """The sides of `falls`, of the first row with the last and of each row with the next."""
    ends, *steps = compared
    rises = sorted((pair for pair in steps if pair.sign() < 0), key=lambda pair: (pair.p is None, pair.p or 0.0))
    against = [*[ends] * (ends.sign() < 0), *rises[exceptions : exceptions + 1]]
    sides = {}
    if against:
        worst = min(against, key=lambda pair: (pair.p is None, pair.p or 0.0))
        sides[-1] = Side(worst, None if worst.p is None else min(1.0, (len(compared) - exceptions) * worst.p))
    if ends not in against:
        sides[1] = Side(ends, ends.p if all(pair.found for pair in compared) else None)
    return sides


def _off(claim: Mapping[str, Any], pair: Compared) -> float:
    """Distance of a comparison from the claimed value, of `times` and `equals_paper`."""
    return abs(pair.found.difference - claim.get("factor", 0.0)) if pair.found else 0.0


def _result(
    name: str,
    claim: Mapping[str, Any],
    compared: list[Compared],
    sides: dict[int, Side],
    adjusted: dict[int, float],
    column: Header,
    basis: Basis,
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
        condition=_condition(claim, len(compared)),
        unit="times" if claim["relation"] == "times" else "points" if column.unit == "%" else column.unit,
        digits=max(column.digits, 2),
        verdict=VERDICTS[sign],
        basis=basis,
        less=_less(claim),
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


def _condition(claim: Mapping[str, Any], num_pairs: int) -> str:
    """The condition beyond a side, in words."""
    said = []
    if "at_least" in claim:
        said.append(f"at least {claim['at_least']} of {num_pairs}")
    if "by" in claim:
        said.append(f"by more than {claim['by']:g}")
    if "exceptions" in claim:
        said.append(f"all rows but {claim['exceptions']}")
    if "factor" in claim:
        said.append(f"{claim['factor']:g} ± {claim['tolerance']:g} times")
    return ", ".join(said)


def _verdict(claim: Mapping[str, Any], compared: list[Compared], adjusted: Mapping[int, float]) -> int:
    """1, -1 or 0, as in VERDICTS."""
    known = [pair for pair in compared if pair.found is not None]
    if claim["relation"] in ("equals_paper", "times"):
        if any(_off(claim, pair) > claim["tolerance"] for pair in known):
            return -1
        return int(len(known) == len(compared))
    if known and all(pair.found.low == pair.found.high for pair in known if pair.found):
        return _by_sign(claim, [SIGN[claim["relation"]] * pair.sign() for pair in compared], len(known))
    return next((sign for sign in (-1, 1) if adjusted.get(sign, 1.0) < ALPHA), 0)


def _by_sign(claim: Mapping[str, Any], signs: list[int], num_known: int) -> int:
    """The verdict on exact differences, whose signs are 1 where they are on the claim's side."""
    if claim["relation"] == "falls":
        if signs[0] == -1 or signs[1:].count(-1) > claim.get("exceptions", 0):
            return -1
        return signs[0] if num_known == len(signs) else 0
    k = claim.get("at_least", len(signs))
    return 1 if signs.count(1) >= k else -1 if signs.count(-1) > len(signs) - k else 0


def _against_paper(metric: str, values: Values, expected: Mapping[str, Mapping[str, float]]) -> list[Compared]:
    compared: list[Compared] = []
    for row, paper in expected.items():
        if metric in paper:
            means = values[row][metric].means()
            difference = float(means.mean()) - paper[metric] if len(means) else None
            compared.append(Compared(row, "paper", None if difference is None else Difference(*[difference] * 3)))
    return compared
