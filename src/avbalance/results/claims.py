"""A paper's sentences as predicates over a table's rows: each holds, fails or is undecided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from avbalance.results.columns.base import Header
from avbalance.results.comparisons import Comparison
from avbalance.results.measure import Values
from avbalance.results.relations import RELATIONS, Expected, Relation, Side, Verdict
from avbalance.results.statistics import ALPHA, TEST, holm

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


@dataclass
class Result:
    """A claim and its verdict. Of several pairs, sides and interval are of the one that decides; p is of the claim.

    Attributes:
        condition: What is claimed beyond the sign, in words: how many of the pairs, by how much.
        difference: The difference less `less`, or the ratio; None if no seed has both sides.
        p: None if nothing is tested.
        basis: A verdict is one about the paper unless the data are generated.
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
    sides = {name: relation.sides(compared[name]) for name, relation in relations.items()}
    tested = {(name, each): side.p for name in sides for each, side in sides[name].items() if side.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    results = []
    for name, relation in relations.items():
        of_claim = {each: p for (owner, each), p in adjusted.items() if owner == name}
        metric = claims[name]["metric"]
        rows = {row for pair in compared[name] for row in (pair.left, pair.right)} & values.keys()
        exact = all(values[row][metric].exact for row in rows)
        basis: Basis = "generated" if generated else "formula" if exact else "experiment"
        results.append(_result(relation, compared[name], sides[name], of_claim, columns[metric], basis))
    return results


def _result(
    relation: Relation,
    comparisons: Sequence[Comparison],
    sides: Mapping[Verdict, Side],
    adjusted: Mapping[Verdict, float],
    column: Header,
    basis: Basis,
) -> Result:
    claim, verdict = relation.claim, relation.verdict(comparisons, adjusted)
    shown: Verdict = verdict if verdict in sides else "holds" if "holds" in sides else "fails"
    decisive, p = sides[shown]
    numbers = decisive.as_dict()
    return Result(
        name=relation.name,
        text=claim["text"],
        metric=claim["metric"],
        right_metric=claim.get("right_metric", claim["metric"]),
        relation=claim["relation"],
        condition=relation.condition(len(comparisons)),
        unit=relation.unit(column),
        digits=max(column.digits, 2),
        verdict=verdict,
        basis=basis,
        less=relation.less,
        left=decisive.left,
        right=decisive.right,
        difference=numbers["difference"],
        low=numbers["low"],
        high=numbers["high"],
        p=p,
        adjusted_p=adjusted.get(shown),
        pairs=[each.as_dict() for each in comparisons],
    )
