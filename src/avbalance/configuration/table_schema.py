"""What `config/tables/<name>.yaml` may hold: a table, its rows, the claims about it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from avbalance.configuration.schema import Name, Strict
from avbalance.ranges import Count, Names, NotNegative, Positive, Real, Text, Whole
from avbalance.registry import Spec

Relation = Literal[">", "<", "falls", "falls_most", "times", "equals_paper"]
OPTIONS: dict[Relation, tuple[set[str], set[str]]] = {
    ">": ({"left"}, {"right", "right_metric", "at_least", "by"}),
    "<": ({"left"}, {"right", "right_metric", "at_least", "by"}),
    "falls": ({"left"}, {"exceptions"}),
    "falls_most": ({"left", "right"}, set()),
    "times": ({"left", "factor", "tolerance"}, {"right", "right_metric"}),
    "equals_paper": ({"tolerance"}, set()),
}
"""{relation: (keys that it needs, keys that it may have)}, of a claim."""


HEAD = "head"
"""Among the modalities of `pretrained`: the head of a row of one modality."""


class Probing(Strict):
    """Linear probes on layers of one of a run's encoders.

    Attributes:
        layers: Names of modules inside the encoder, `input` for what it gets, `output` for what it gives. In a name
            `*`, `?` and `[...]` are those of the shell and stop at a dot: `layer3.*` are the blocks of layer3.
        snapshot: Number of optimiser steps, one of `training.snapshots`; None for the run's weights.
        reduction: What is taken of a layer's features.
        dataset: Whose labels are told, from its own clips; None for the row's.
        modality: Whose encoder; None where the row has one modality.
    """

    layers: Names
    snapshot: Whole | None = None
    reduction: Spec = "mean"
    dataset: str | None = None
    modality: str | None = None


class Row(Strict):
    """One line of a table: what is trained, on what, and how.

    Attributes:
        probe: Linear probes on layers, for the columns `probe_...` and for figures.
        pretrained: Whether encoders start from uni-modal runs on the same data; or {modality: another data set, or a
            name in `config/models`, whose trained weights its encoder starts from}; with `head` instead of a modality
            a uni-modal row's head does too.
    """

    label: str | None = None
    dataset: str
    modalities: Names | None = None
    encoder: Spec | dict[str, Spec]
    fusion: Spec = "concat"
    head: Spec = "linear"
    loss: Spec = "joint"
    balancer: Spec = "joint"
    pretrained: bool | dict[str, str] = False
    training: dict[str, Any] = {}
    probe: Probing | None = None


class Claim(Strict):
    """A sentence of the paper as a predicate over rows; `results.claims.judge` says when it holds.

    Attributes:
        relation: `>` and `<`; `falls` along rows ("monotonic"); `falls_most` at one of them ("the biggest impact");
            `times` ("nearly two times", "37 % fewer"), of columns that no seed changes; `equals_paper`.
        left, right: Rows; a list against one row means each of it, two lists are compared pair by pair. `falls` and
            `falls_most` have on the left the rows in the order along which the metric falls.
        right_metric: Instead of `right`: another column of the same rows.
        at_least: Of how many pairs `>` or `<` is said ("mostly", "in some cases"); None for all.
        by: How much larger or smaller the left side is said to be ("over 10 points lower").
        exceptions: How many rows may be above their predecessors in what `falls` ("almost monotonic").
        factor: What left over right is said to be by `times`.
        tolerance: How near `times` and `equals_paper` have to be.
    """

    text: Text
    metric: str
    relation: Relation
    left: str | list[str] = []
    right: str | list[str] = []
    right_metric: str | None = None
    at_least: Count | None = None
    by: Positive | None = None
    exceptions: Count | None = None
    factor: Positive | None = None
    tolerance: NotNegative | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        needed, allowed = OPTIONS[self.relation]
        given = {key for keys in OPTIONS.values() for key in keys[0] | keys[1] if getattr(self, key) not in (None, [])}
        if missing := sorted(needed - given):
            raise ValueError(f"{self.relation} needs {' and '.join(missing)}")
        if strange := sorted(given - needed - allowed):
            raise ValueError(f"{self.relation} has no {strange[0]}; it may have {', '.join(sorted(needed | allowed))}")
        if "right_metric" in allowed and bool(self.right) == (self.right_metric is not None):
            raise ValueError("give either right or right_metric")
        left, right = (1 if isinstance(side, str) else len(side) for side in (self.left, self.right or self.left))
        if self.relation.startswith("falls"):
            self._check_order()
        elif self.left and min(left, right) > 1 and left != right:
            raise ValueError(
                f"left has {left} rows and right {right}; give one side a single row, or both equally many"
            )
        if self.at_least is not None and self.at_least > max(left, right):
            raise ValueError(f"at_least is {self.at_least}, and there are {max(left, right)} pairs")
        return self

    def _check_order(self) -> None:
        if isinstance(self.left, str) or len(self.left) < 2:
            raise ValueError(f"{self.relation} needs left: two rows or more, in order")
        if self.relation == "falls_most" and (self.right not in self.left[1:] or len(self.left) < 3):
            raise ValueError("falls_most needs left: three rows or more, and right: one of them, but not the first")
        if (self.exceptions or 0) >= len(self.left) - 1:
            raise ValueError(f"exceptions is {self.exceptions}, and there are {len(self.left) - 1} steps")

    def of(self, value: str) -> "Claim":
        """The claim about the rows that `each` made for a value."""

        def renamed(side: str | list[str]) -> str | list[str]:
            return f"{value}_{side}" if isinstance(side, str) and side else [f"{value}_{row}" for row in side]

        sides = {"left": renamed(self.left), "right": renamed(self.right)}
        return self.model_copy(update={"text": f"{value}: {self.text}", **sides})


class Combined(Strict):
    """A row that is right about a clip where all the rows that it combines are right, each of a label of its own."""

    label: str | None = None
    rows: Annotated[Names, Field(min_length=2)]


class Table(Strict):
    """`config/tables/<name>.yaml`: a table, a figure, or a computed table.

    Attributes:
        rows_of: Another table, whose rows, defaults and `each` this one takes; or {table: all or some of its rows}.
            `defaults`, `each` and fields of `rows` take the place of what is taken. Of several tables, row `concat` of
            table `mine` becomes `mine_concat`.
        combined: Rows without runs of their own, below the others: an action as a verb and a noun.
        each: {key of a row: values}: all rows and claims stand once for each value, such as for each of several
            datasets. Row `concat` becomes `<value>_concat`, and so in `expected`, which is by value, then by row.
    """

    title: Text
    paper: Text
    defaults: dict[str, Any] = {}
    each: dict[str, list[Name]] | None = Field(default=None, min_length=1, max_length=1)
    rows_of: Name | Annotated[dict[Name, Literal["all"] | Names], Field(min_length=1)] | None = None
    rows: dict[Name, dict[str, Any]] = {}
    combined: dict[Name, Combined] = {}
    columns: list[str] = []
    expected: dict[str, dict[str, Real | dict[str, Real]]] = {}
    claims: dict[Name, Claim] = {}
    figure: dict[str, dict[str, Any]] | None = None
    compute: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if not self.rows and self.rows_of is None:
            raise ValueError("rows is empty; give at least one, or rows_of")
        if bool(self.columns) == (self.figure is not None):
            raise ValueError("give either columns (a table) or figure")
        if self.compute is not None and self.defaults:
            raise ValueError("defaults are of rows that are trained; leave them out of a computed table")
        if twice := [column for index, column in enumerate(self.columns) if column in self.columns[:index]]:
            raise ValueError(f"columns: {twice[0]!r} stands twice; leave one out")
        if self.rows_of is not None:  # the others are checked once all rows and `each` are known
            return self
        if self.combined and (self.each is not None or self.figure is not None or self.compute is not None):
            raise ValueError("combined is of a table of runs whose rows are written out, without each")
        if self.each is None and any(
            isinstance(number, dict) for row in self.expected.values() for number in row.values()
        ):
            raise ValueError("expected is by row and column; by value first only in a table with each")
        values = next(iter(self.each.values())) if self.each is not None else list(self.expected)
        if strange := [value for value in self.expected if value not in values]:
            raise ValueError(f"expected.{strange[0]} is no value of each; allowed: {', '.join(values)}")
        return self

    def spread(self) -> "Table":
        """The table with its rows, expected numbers and claims written out for each value of `each`."""
        if self.each is None:
            return self
        ((key, values),) = self.each.items()
        rows = {f"{value}_{name}": {key: value, **row} for value in values for name, row in self.rows.items()}
        expected = {
            f"{value}_{name}": numbers for value in values for name, numbers in self.expected.get(value, {}).items()
        }
        claims = {f"{value}_{name}": claim.of(value) for value in values for name, claim in self.claims.items()}
        return self.model_copy(update={"each": None, "rows": rows, "expected": expected, "claims": claims})
