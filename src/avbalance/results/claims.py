"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from avbalance.results.columns.base import Header
from avbalance.results.comparisons import Comparison
from avbalance.results.measure import Values
from avbalance.results.relations import RELATIONS, Expected, Relation, Verdict
from avbalance.results.statistics import ALPHA, TEST, benjamini_hochberg, holm

Basis = Literal["experiment", "formula", "generated"]
"""The basis of a verdict: real data, no data, or generated data, which say nothing about a paper."""
CAPTION = (
    f"{TEST} Where a claim speaks of several rows, all must be on its side unless it says how many, k of n: p is then "
    "that of the k-th best comparison times n - k + 1; where too few are, p is that of the comparison that leaves too "
    "few, times k. A claim that something falls along rows compares the first with the last, and each row with the "
    "next; one about the biggest fall compares it with every other. Adjusted p: Holm's correction over the "
    "table's claims, by which any of them is decided wrongly with a probability of at most 5 %. "
    f"A claim is undecided unless adjusted p < {ALPHA}; what needs no data, such as a number of parameters, is "
    "decided without a test. The comparison that decides is shown, with its 95 % interval, not corrected."
)


OTHERS = {"welch": ("welch_p", holm), "paired": ("paired_p", holm), "fdr": ("p", benjamini_hochberg)}
"""Other rules for verdicts: {name: (field of `Difference`, correction)}."""


class Decision(NamedTuple):
    """A verdict, the comparison that decides on it, and the claim's p before and after correction."""

    verdict: Verdict
    decisive: Comparison
    p: float | None
    adjusted_p: float | None

    def as_dict(self) -> dict[str, Any]:
        """{"verdict", "p", "adjusted_p"}."""
        return {"verdict": self.verdict, "p": self.p, "adjusted_p": self.adjusted_p}


@dataclass
class Result:
    """A claim and its verdict. Of several pairs, sides and interval are of the one that decides; p is of the claim.

    Attributes:
        condition: What is claimed beyond the sign, in words: how many of the pairs, by how much.
        difference: The difference less `less`, or the ratio; None if no seed has both sides.
        p: None if nothing is tested.
        basis: A verdict is one about the paper unless the data are generated.
        others: Verdict and p by each of `OTHERS`.
        pairs: Each part of the claim: a comparison, and the verdict on it alone.
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
    others: dict[str, dict[str, Any]]
    pairs: list[dict[str, Any]]


def judge(
    claims: Mapping[str, Mapping[str, Any]],
    values: Values,
    columns: Mapping[str, Header],
    expected: Expected,
    generated: bool = False,
) -> list[Result]:
    """Return the verdicts on a table's claims.

    A claim about numbers with spread is tested: each comparison has a two-sided p. The p values of all claims are
    corrected together (Holm), and a corrected p below 0.05 decides. Exact numbers decide without a test.

    Args:
        claims: {name: a `table_schema.Claim` without empty keys}.
        values: Of every row and column.
        columns: {name: header}.
        expected: The paper's numbers.
        generated: True if any of the data were generated.
    """
    relations = {name: RELATIONS[claim["relation"]](name, claim) for name, claim in claims.items()}
    compared = {name: relation.comparisons(values, expected) for name, relation in relations.items()}
    ours = decide(relations, compared)
    others = {rule: decide(relations, compared, *how) for rule, how in OTHERS.items()}
    results = []
    for name, relation in relations.items():
        metric = claims[name]["metric"]
        rows = {row for pair in compared[name] for row in (pair.left, pair.right)} & values.keys()
        exact = all(values[row][metric].exact for row in rows)
        basis: Basis = "generated" if generated else "formula" if exact else "experiment"
        by_others = {rule: decisions[name].as_dict() for rule, decisions in others.items()}
        results.append(_result(relation, compared[name], ours[name], by_others, columns[metric], basis))
    return results


def decide(
    relations: Mapping[str, Relation],
    compared: Mapping[str, Sequence[Comparison]],
    test: str = "p",
    correct: Callable[[Sequence[float]], list[float]] = holm,
) -> dict[str, Decision]:
    """The decision on each claim.

    Args:
        relations: {claim: its relation}.
        compared: {claim: its comparisons}.
        test: Field of `Difference` that holds the p.
        correct: Correction of the p values of all claims.
    """
    tested = {name: [each.by(test) for each in comparisons] for name, comparisons in compared.items()}
    sides = {name: relation.sides(tested[name]) for name, relation in relations.items()}
    p_values = {
        (name, verdict): side.p
        for name, of_claim in sides.items()
        for verdict, side in of_claim.items()
        if side.p is not None
    }
    adjusted = dict(zip(p_values, correct(list(p_values.values())), strict=True))
    decisions = {}
    for name, relation in relations.items():
        corrected = {each: p for (owner, each), p in adjusted.items() if owner == name}
        verdict = relation.verdict(tested[name], corrected)
        shown: Verdict = verdict if verdict in sides[name] else "holds" if "holds" in sides[name] else "fails"
        decisive, p = sides[name][shown]
        decisions[name] = Decision(verdict, decisive, p, corrected.get(shown))
    return decisions


def _result(
    relation: Relation,
    comparisons: Sequence[Comparison],
    decision: Decision,
    others: dict[str, dict[str, Any]],
    column: Header,
    basis: Basis,
) -> Result:
    claim, numbers = relation.claim, decision.decisive.as_dict()
    return Result(
        name=relation.name,
        text=claim["text"],
        metric=claim["metric"],
        right_metric=claim.get("right_metric", claim["metric"]),
        relation=claim["relation"],
        condition=relation.condition(len(comparisons)),
        unit=relation.unit(column),
        digits=max(column.digits, 2),
        verdict=decision.verdict,
        basis=basis,
        less=relation.less,
        left=decision.decisive.left,
        right=decision.decisive.right,
        difference=numbers["difference"],
        low=numbers["low"],
        high=numbers["high"],
        p=decision.p,
        adjusted_p=decision.adjusted_p,
        others=others,
        pairs=[{**each.as_dict(), "verdict": relation.part(each)} for each in comparisons],
    )
