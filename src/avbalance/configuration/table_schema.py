"""Schema of `config/tables/<name>.yaml`: a table, its rows, and the claims about it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from avbalance.configuration.schema import Name, Strict
from avbalance.ranges import Count, Names, NotNegative, Positive, Rate, Real, Text, Whole
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
"""{relation of a claim: (required keys, optional keys)}."""


HEAD = "head"
"""Key of `pretrained` for the head of a uni-modal row."""


class Probing(Strict):
    """Linear probes on layers of one of a run's encoders.

    Attributes:
        layers: Names of modules inside the encoder; `input` and `output` are those of the encoder. `*`, `?` and
            `[...]` match as in the shell and stop at a dot: `layer3.*` are the blocks of layer3.
        snapshot: Number of optimiser steps, one of `training.snapshots`; None for the run's weights.
        reduction: Method that reduces a layer's features.
        dataset: Dataset whose clips and labels are probed; the row's own by default.
        modality: Modality of the encoder; required if the row has several.
    """

    layers: Names
    snapshot: Whole | None = None
    reduction: Spec = "mean"
    dataset: str | None = None
    modality: str | None = None


MOST_MEMBERS = 100


def _check_members(given: Any) -> Any:  # noqa: ANN401
    if given == "alone" or (type(given) is int and 2 <= given <= MOST_MEMBERS):
        return given
    raise ValueError(f"found {given!r}; give alone, or a number of seeds from 2 to {MOST_MEMBERS}")


class Combining(Strict):
    """Ensemble: predictions made of those of other runs (`avbalance.combine`), without training.

    Attributes:
        members: `alone` for the row's uni-modal runs; or a number of runs of the row that differ in their seeds.
        mean: Mean of the members' probabilities or logits, or the product of their probabilities.
        temperature: True to scale each member's logits by a temperature that is fitted on validation.
        weights: True to weigh the members' probabilities by weights that are fitted on validation.
    """

    members: Annotated[Literal["alone"] | Annotated[int, Field(ge=2, le=MOST_MEMBERS)], BeforeValidator(_check_members)]
    mean: Literal["probabilities", "logits", "product"] = "probabilities"
    temperature: bool = False
    weights: bool = False

    @model_validator(mode="after")
    def _weighs_probabilities(self) -> Self:
        if self.weights and self.mean != "probabilities":
            raise ValueError(f"weights needs mean: probabilities, found {self.mean}; leave one of the two out")
        return self


class TrialTraining(Strict):
    """Settings of training that a trial changes.

    Attributes:
        learning_rate_factor: Factor on the row's learning rate, so that one list of trials serves several datasets.
        clip_norm: As of `Training`; null to shorten no gradient.
    """

    learning_rate: Positive | None = None
    learning_rate_factor: Positive | None = None
    momentum: Rate | None = None
    weight_decay: NotNegative | None = None
    clip_norm: Positive | None = None

    @model_validator(mode="after")
    def _has_one_rate(self) -> Self:
        if self.learning_rate is not None and self.learning_rate_factor is not None:
            raise ValueError("give either learning_rate or learning_rate_factor")
        if empty := sorted(key for key in self.model_fields_set - {"clip_norm"} if getattr(self, key) is None):
            raise ValueError(f"{empty[0]} has no value; give a number, or leave it out")
        return self


class Trial(Strict):
    """Changes of a row's options, tried on validation: `{}` for the row as it is.

    Attributes:
        fusion, head, loss, balancer: The row's own method with the options that change, {name: {option: value}}.
    """

    fusion: Spec | None = None
    head: Spec | None = None
    loss: Spec | None = None
    balancer: Spec | None = None
    training: TrialTraining | None = None


def _check_trials(trials: list[Trial]) -> list[Trial]:
    if len(trials) < 2:
        raise ValueError(f"found {len(trials)}; give two or more, or leave trials out")
    if trials[0] != Trial():
        raise ValueError("the first has to be {}, the row as it is")
    return trials


class Row(Strict):
    """Line of a table: data, methods and training.

    Attributes:
        combine: Ensemble of runs, whose methods and training are those of the row; uni-modal ones have its encoders,
            `pretrained` and training alone.
        probe: Linear probes on layers, for the columns `probe_...` and for figures.
        pretrained: True to start encoders from uni-modal runs on the same data; or {modality: another dataset, or a
            name in `config/models`, whose trained weights the encoder starts from}. With the key `head`, the head of a
            uni-modal row starts from them too.
        trials: Options to choose from on validation. The scale says how many of the first are tried.
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
    combine: Combining | None = None
    trials: Annotated[list[Trial], AfterValidator(_check_trials)] | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.probe is not None and self.combine is not None:
            raise ValueError("a row with combine has no encoder of its own to probe; leave probe or combine out")
        if self.trials is not None and self.combine is not None:
            raise ValueError("a row with combine is not trained, so nothing can be tried; leave trials or combine out")
        if self.trials is not None and self.probe is not None:
            raise ValueError("layers are probed in rows as they are; leave trials or probe out")
        return self


def merge(given: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a row over other fields of it; `training` is merged key by key."""
    merged = {**given, **own}
    if all(isinstance(fields.get("training"), Mapping) for fields in (given, own)):
        merged["training"] = {**given["training"], **own["training"]}
    return merged


class Claim(Strict):
    """Sentence of the paper as a predicate over rows, judged by `results.claims.judge`.

    Attributes:
        relation: `>` and `<`; `falls` along rows ("monotonic"); `falls_most` at one of them ("the biggest impact");
            `times` ("nearly two times", "37 % fewer"), of columns that no seed changes; `equals_paper`.
        left, right: Rows. A list against one row compares each of its rows with that row; two lists are compared pair
            by pair. For `falls` and `falls_most`, left has the rows in the order along which the metric falls.
        right_metric: Another column of the same rows, instead of `right`.
        at_least: Number of pairs for which `>` or `<` is claimed ("mostly", "in some cases"); all by default.
        by: Claimed difference of the sides ("over 10 points lower").
        exceptions: Number of rows that may be above their predecessors in `falls` ("almost monotonic").
        factor: Claimed ratio of left to right, for `times`.
        tolerance: Allowed deviation, for `times` and `equals_paper`.
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
        """Claim about the rows that `each` makes for a value."""

        def renamed(side: str | list[str]) -> str | list[str]:
            return f"{value}_{side}" if isinstance(side, str) and side else [f"{value}_{row}" for row in side]

        sides = {"left": renamed(self.left), "right": renamed(self.right)}
        return self.model_copy(update={"text": f"{value}: {self.text}", **sides})


class Combined(Strict):
    """Row derived from others: a clip is correct if every listed row is correct on its own label."""

    label: str | None = None
    rows: Annotated[Names, Field(min_length=2)]


class Table(Strict):
    """`config/tables/<name>.yaml`: a table, a figure, or a computed table.

    Attributes:
        defaults: Fields of all rows, over which a row's own go; of `training` key by key.
        rows_of: Another table, whose rows, defaults and `each` this one takes, and its columns and claims if this one
            has neither columns nor a figure; or {table: all or some of its rows}. `defaults`, `each`, claims and fields
            of `rows` take the place of what is taken. Of several tables, row `concat` of table `mine` becomes
            `mine_concat`.
        without: Rows that are not taken, as patterns; claims about them are not either.
        part: {scale: patterns of the rows that it runs}; all rows at other scales. Claims about others are left out.
            A pattern that begins with `!` takes out again what it matches.
        columns: Names of columns. One with `*` is written out for every modality of the rows: `acc_*_alone`.
        combined: Rows without runs of their own, below the others, such as an action from a verb and a noun.
        each: {key of a row: values}: repeats all rows and claims for each value, such as for several datasets. Row
            `concat` becomes `<value>_concat`; `expected` is by value, then by row.
    """

    title: Text
    paper: Text
    defaults: dict[str, Any] = {}
    each: dict[str, list[Name]] | None = Field(default=None, min_length=1, max_length=1)
    rows_of: Name | Annotated[dict[Name, Literal["all"] | Names], Field(min_length=1)] | None = None
    without: Names = []
    part: dict[str, Names] = {}
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
        takes_columns = self.rows_of is not None and not self.columns
        if bool(self.columns) == (self.figure is not None) and not takes_columns:
            raise ValueError("give either columns (a table) or figure")
        if self.compute is not None and self.defaults:
            raise ValueError("defaults apply to rows that are trained; leave them out of a computed table")
        if twice := [column for index, column in enumerate(self.columns) if column in self.columns[:index]]:
            raise ValueError(f"columns: {twice[0]!r} occurs twice; remove one")
        if self.without and self.rows_of is None:
            raise ValueError("without names rows that rows_of does not take; leave the rows themselves out")
        if self.rows_of is not None:  # the others are checked once all rows and `each` are known
            return self
        if self.combined and (self.each is not None or self.figure is not None or self.compute is not None):
            raise ValueError("combined needs a table of runs without each, figure and compute")
        if self.each is None and any(
            isinstance(number, dict) for row in self.expected.values() for number in row.values()
        ):
            raise ValueError("expected is by row and column; by value first only in a table with each")
        values = next(iter(self.each.values())) if self.each is not None else list(self.expected)
        if strange := [value for value in self.expected if value not in values]:
            raise ValueError(f"expected.{strange[0]} is not a value of each; allowed: {', '.join(values)}")
        return self

    def spread(self) -> "Table":
        """Table in which rows, expected numbers and claims are written out for each value of `each`."""
        if self.each is None:
            return self
        ((key, values),) = self.each.items()
        rows = {f"{value}_{name}": {key: value, **row} for value in values for name, row in self.rows.items()}
        expected = {
            f"{value}_{name}": numbers for value in values for name, numbers in self.expected.get(value, {}).items()
        }
        claims = {f"{value}_{name}": claim.of(value) for value in values for name, claim in self.claims.items()}
        return self.model_copy(update={"each": None, "rows": rows, "expected": expected, "claims": claims})
