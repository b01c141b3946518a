"""What `config/tables/<name>.yaml` may hold: a table, its rows, the claims about it."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from avbalance.ranges import Names, NotNegative, Real, Text, Whole
from avbalance.registry import Spec
from avbalance.schema import Strict

Relation = Literal[">", "<", "falls", "equals_paper"]


class Probing(Strict):
    """Linear probes on layers of one of a run's encoders.

    Attributes:
        layers: Names of modules inside the encoder, `input` for what it gets, `output` for what it gives. In a name
            `*`, `?` and `[...]` are those of the shell and stop at a dot: `layer3.*` are the blocks of layer3.
        moment: After how many optimiser steps, one of `training.moments`; None for the run's weights.
        reduction: What is taken of a layer's features.
        dataset: Whose labels are told, from its own clips; None for the row's.
        modality: Whose encoder; None where the row has one modality.
    """

    layers: Names
    moment: Whole | None = None
    reduction: Spec = "mean"
    dataset: str | None = None
    modality: str | None = None


class Row(Strict):
    """One line of a table: what is trained, on what, and how.

    Attributes:
        probe: Linear probes on layers, for the columns `probe_...` and for figures.
        pretrained: Whether encoders start from uni-modal runs on the same data; or {modality: another data set, or a
            name in `config/models`, whose trained weights its encoder starts from}.
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
    """A sentence of the paper as a predicate over rows.

    Attributes:
        left, right: Rows; a list against one row means each of it, two lists are compared pair by pair. `falls` has
            rows on the left alone, in the order along which the metric falls.
        right_metric: Instead of `right`: another column of the same rows.
        tolerance: How near `equals_paper` has to be.
    """

    text: Text
    metric: str
    relation: Relation
    left: str | list[str] = []
    right: str | list[str] = []
    right_metric: str | None = None
    tolerance: NotNegative | None = None

    @model_validator(mode="after")
    def _has_two_sides(self) -> Self:
        if self.relation == "equals_paper":
            if self.tolerance is None:
                raise ValueError("equals_paper needs tolerance")
            return self
        if self.relation == "falls":
            if isinstance(self.left, str) or len(self.left) < 2 or self.right or self.right_metric is not None:
                raise ValueError("falls needs left: two rows or more, in order, and neither right nor right_metric")
            return self
        if bool(self.right) == (self.right_metric is not None):
            raise ValueError("give either right or right_metric")
        left, right = (1 if isinstance(side, str) else len(side) for side in (self.left, self.right or self.left))
        if min(left, right) == 0 or (min(left, right) > 1 and left != right):
            raise ValueError(
                f"left has {left} rows and right {right}; give one side a single row, or both equally many"
            )
        return self

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
        combined: Rows without runs of their own, below the others: an action as a verb and a noun.
        each: {key of a row: values}: all rows and claims stand once for each value, such as for each of several
            datasets. Row `concat` becomes `<value>_concat`, and so in `expected`, which is by value, then by row.
    """

    title: Text
    paper: Text
    defaults: dict[str, Any] = {}
    each: dict[str, list[str]] | None = Field(default=None, min_length=1, max_length=1)
    rows: dict[str, dict[str, Any]] = Field(min_length=1)
    combined: dict[str, Combined] = {}
    columns: list[str] = []
    expected: dict[str, dict[str, Real | dict[str, Real]]] = {}
    claims: dict[str, Claim] = {}
    figure: dict[str, dict[str, Any]] | None = None
    compute: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if bool(self.columns) == (self.figure is not None):
            raise ValueError("give either columns (a table) or figure")
        if self.compute is not None and self.defaults:
            raise ValueError("defaults are of rows that are trained; leave them out of a computed table")
        if twice := [column for index, column in enumerate(self.columns) if column in self.columns[:index]]:
            raise ValueError(f"columns: {twice[0]!r} stands twice; leave one out")
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
