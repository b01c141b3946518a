"""Relations that claims assert: which comparisons they need, and when they hold or fail."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Literal, NamedTuple

from avbalance.errors import UserError
from avbalance.results.columns.base import Header
from avbalance.results.comparisons import (
    Comparison,
    compare,
    compare_columns,
    compare_falls,
    divide,
    exact_difference,
)
from avbalance.results.measure import Values
from avbalance.results.statistics import ALPHA

Verdict = Literal["holds", "fails", "undecided"]
Expected = Mapping[str, Mapping[str, float]]
"""{row: {column: the paper's number}}."""


class Side(NamedTuple):
    """A verdict that a claim may get: the comparison that decides on it, and its p before correction."""

    decisive: Comparison
    p: float | None


class Relation:
    """One claim's relation.

    Attributes:
        sign: Sign of the claimed difference; 0 if none is claimed.
        operator: Between left and right where a comparison is printed.
        subject: Form in which a row is printed.
        decisive: Kind of the comparison that is printed, among several.

    Args:
        name: Of the claim.
        claim: A `table_schema.Claim` without empty keys.
    """

    sign: ClassVar[int] = 0
    operator: ClassVar[str] = "−"
    subject: ClassVar[str] = "{}"
    decisive: ClassVar[str] = "weakest"

    def __init__(self, name: str, claim: Mapping[str, Any]) -> None:
        self.name, self.claim = name, claim

    @property
    def less(self) -> float:
        """Amount subtracted from each difference: by how much it is claimed to be above 0, or below."""
        return float(self.sign * self.claim.get("by", 0.0))

    def unit(self, column: Header) -> str:
        """Unit of a comparison."""
        return "points" if column.unit == "%" else column.unit

    def condition(self, num_pairs: int) -> str:
        """What is claimed beyond the sign, in words."""
        return ""

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """The comparisons that the claim rests on."""
        raise NotImplementedError

    def part(self, comparison: Comparison) -> Verdict:
        """The verdict on one comparison by itself, not corrected."""
        is_sure = comparison.is_exact or (comparison.p is not None and comparison.p < ALPHA)
        if not is_sure or comparison.sign == 0:
            return "undecided"
        return "holds" if comparison.sign == self.sign else "fails"

    def sides(self, comparisons: Sequence[Comparison]) -> dict[Verdict, Side]:
        """Verdicts that the claim may get."""
        raise NotImplementedError

    def verdict(self, comparisons: Sequence[Comparison], adjusted: Mapping[Verdict, float]) -> Verdict:
        """The verdict, by {verdict: corrected p} of those that were tested."""
        known = [each for each in comparisons if each.difference is not None]
        if known and all(each.is_exact for each in known):
            return self.exact_verdict(comparisons)
        decided: tuple[Verdict, ...] = ("fails", "holds")
        return next((each for each in decided if adjusted.get(each, 1.0) < ALPHA), "undecided")

    def exact_verdict(self, comparisons: Sequence[Comparison]) -> Verdict:
        """The verdict on exact numbers."""
        raise NotImplementedError


class Ordered(Relation):
    """`>` and `<`: k of the n pairs are on the claimed side; k is `at_least`, or n.

    That k of n are on a side is a partial conjunction (Benjamini & Heller, Biometrics 2008), with
    p = (n - k + 1) p_(k), p_(k) the k-th smallest of those on this side: for k = n their largest (an intersection-union
    test), for k = 1 Bonferroni's. The claim fails if n - k + 1 are on the other side.
    """

    def condition(self, num_pairs: int) -> str:
        """`at least k of n, by more than d`."""
        parts = [f"at least {self.claim['at_least']} of {num_pairs}"] if "at_least" in self.claim else []
        parts += [f"by more than {self.claim['by']:g}"] if "by" in self.claim else []
        return ", ".join(parts)

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """Of rows, or of two columns of each row."""
        metric, other = self.claim["metric"], self.claim.get("right_metric", self.claim["metric"])
        cells, others = ({row: values[row][column] for row in values} for column in (metric, other))
        if other != metric:
            rows = [left for left, _ in pairs_of(self.name, self.claim["left"], self.claim["left"])]
            return [Comparison(row, row, compare_columns(row, cells, others, self.less)) for row in rows]
        pairs = pairs_of(self.name, self.claim["left"], self.claim["right"])
        return [Comparison(left, right, compare(cells, left, right, self.less)) for left, right in pairs]

    def sides(self, comparisons: Sequence[Comparison]) -> dict[Verdict, Side]:
        """One side: fails if too many pairs are against the claim, else holds."""
        n = len(comparisons)
        k = self.claim.get("at_least", n)
        num_against = sum(each.sign == -self.sign for each in comparisons)
        side: Verdict = "fails" if num_against > n - k else "holds"
        sign, needed = (-self.sign, n - k + 1) if side == "fails" else (self.sign, k)

        def rank(each: Comparison) -> tuple[bool, bool, bool, float, float]:
            size = abs(each.difference.difference) if each.difference else 0.0
            return each.difference is None, each.sign != sign, each.p is None, each.p or 0.0, -size

        decisive = sorted(comparisons, key=rank)[needed - 1]
        p = 1.0 if decisive.p is not None and decisive.sign != sign else decisive.p
        return {side: Side(decisive, None if p is None else min(1.0, (n - needed + 1) * p))}

    def exact_verdict(self, comparisons: Sequence[Comparison]) -> Verdict:
        """By the number of pairs on either side."""
        signs = [self.sign * each.sign for each in comparisons]
        k = self.claim.get("at_least", len(signs))
        if signs.count(1) >= k:
            return "holds"
        return "fails" if signs.count(-1) > len(signs) - k else "undecided"


class Greater(Ordered):
    """`>`."""

    sign = 1


class Less(Ordered):
    """`<`."""

    sign = -1


class FallsMost(Ordered):
    """The fall into the row `right` is deeper than every other fall along `left`."""

    sign = 1
    subject = "fall at {}"

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """Of the fall into `right` with each other fall."""
        cells = {row: values[row][self.claim["metric"]] for row in values}
        steps = {after: (before, after) for before, after in pairwise(self.claim["left"])}
        deepest = steps.pop(self.claim["right"])
        return [
            Comparison(self.claim["right"], row, compare_falls(cells, deepest, step)) for row, step in steps.items()
        ]


class Falls(Relation):
    """The last row is below the first, and at most `exceptions` rows are above their predecessors.

    Tested both ways. The claim fails with the smaller of the p of first and last and the (`exceptions` + 1)-th smallest
    p of a rise, times the number of comparisons less `exceptions`.
    """

    sign = 1
    decisive = "one"

    def condition(self, num_pairs: int) -> str:
        """`all rows but n`."""
        return f"all rows but {self.claim['exceptions']}" if "exceptions" in self.claim else ""

    @property
    def exceptions(self) -> int:
        """Number of rows that may be above their predecessors."""
        return int(self.claim.get("exceptions", 0))

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """Of the first row with the last, then of each row with the next."""
        rows = self.claim["left"]
        cells = {row: values[row][self.claim["metric"]] for row in values}
        pairs = dict.fromkeys([(rows[0], rows[-1]), *pairwise(rows)])
        return [Comparison(left, right, compare(cells, left, right)) for left, right in pairs]

    def sides(self, comparisons: Sequence[Comparison]) -> dict[Verdict, Side]:
        """Fails with a rise too many; holds unless the last row is above the first."""
        ends, *steps = comparisons
        rises = sorted((each for each in steps if each.sign < 0), key=lambda each: (each.p is None, each.p or 0.0))
        against = [ends] if ends.sign < 0 else []
        against += rises[self.exceptions : self.exceptions + 1]
        sides: dict[Verdict, Side] = {}
        if against:
            worst = min(against, key=lambda each: (each.p is None, each.p or 0.0))
            num_tests = len(comparisons) - self.exceptions
            sides["fails"] = Side(worst, None if worst.p is None else min(1.0, num_tests * worst.p))
        if ends not in against:
            sides["holds"] = Side(ends, ends.p if all(each.difference for each in comparisons) else None)
        return sides

    def exact_verdict(self, comparisons: Sequence[Comparison]) -> Verdict:
        """By the number of rises."""
        ends, *steps = [each.sign for each in comparisons]
        if ends < 0 or steps.count(-1) > self.exceptions:
            return "fails"
        return "holds" if ends > 0 and all(each.difference for each in comparisons) else "undecided"


class Near(Relation):
    """Every number is within `tolerance` of the claimed one; nothing is tested."""

    def sides(self, comparisons: Sequence[Comparison]) -> dict[Verdict, Side]:
        """The comparison that is farthest off."""
        return {"holds": Side(max(comparisons, key=self.distance), None)}

    def part(self, comparison: Comparison) -> Verdict:
        """By the distance."""
        if comparison.difference is None:
            return "undecided"
        return "holds" if self.distance(comparison) <= self.claim["tolerance"] else "fails"

    def distance(self, each: Comparison) -> float:
        """Distance of a comparison from the claimed value."""
        return abs(each.difference.difference - self.claim.get("factor", 0.0)) if each.difference else 0.0

    def verdict(self, comparisons: Sequence[Comparison], adjusted: Mapping[Verdict, float]) -> Verdict:
        """By the distances alone."""
        if any(self.distance(each) > self.claim["tolerance"] for each in comparisons if each.difference):
            return "fails"
        return "holds" if all(each.difference for each in comparisons) else "undecided"


class Times(Near):
    """Every ratio is `factor` within `tolerance`."""

    operator = "/"

    def unit(self, column: Header) -> str:
        """A ratio."""
        return "times"

    def condition(self, num_pairs: int) -> str:
        """`f ± t times`."""
        return f"{self.claim['factor']:g} ± {self.claim['tolerance']:g} times"

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """Ratios of rows, or of two columns of each row."""
        metric, other = self.claim["metric"], self.claim.get("right_metric", self.claim["metric"])
        right = self.claim["left"] if other != metric else self.claim["right"]
        pairs = pairs_of(self.name, self.claim["left"], right)
        return [Comparison(row, against, divide(values[row][metric], values[against][other])) for row, against in pairs]


class EqualsPaper(Near):
    """Every row with a number of the paper is within `tolerance` of it."""

    def comparisons(self, values: Values, expected: Expected) -> list[Comparison]:
        """Of each such row with the paper."""
        metric, comparisons = self.claim["metric"], []
        for row, paper in expected.items():
            if metric in paper:
                means = values[row][metric].means()
                difference = exact_difference(float(means.mean()) - paper[metric]) if len(means) else None
                comparisons.append(Comparison(row, "paper", difference))
        return comparisons


RELATIONS: dict[str, type[Relation]] = {
    ">": Greater,
    "<": Less,
    "falls": Falls,
    "falls_most": FallsMost,
    "times": Times,
    "equals_paper": EqualsPaper,
}


def pairs_of(name: str, left: str | list[str], right: str | list[str]) -> list[tuple[str, str]]:
    """Pairs of rows: a list against one row makes a pair of each of its rows, two lists make pairs in their order."""
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
