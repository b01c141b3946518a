"""What each YAML file under `config/` may hold: one model a kind of file, every key known."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from avbalance.registry import Spec

Relation = Literal[">", "<", "equals_paper"]


class Strict(BaseModel):
    """A mapping in which every key is known."""

    model_config = ConfigDict(extra="forbid")


class SourceFile(Strict):
    """One file to download; `contents` names a sha256 list for an archive whose own bytes may change."""

    path: str
    urls: list[str] = Field(min_length=1)
    size: int | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    contents: str | None = None

    @model_validator(mode="after")
    def _is_verified(self) -> Self:
        if (self.sha256 is None) == (self.contents is None):
            raise ValueError("give either sha256 or contents, so that the download can be verified")
        return self


class Source(Strict):
    """Where raw data come from: files to download, or a generator."""

    files: list[SourceFile] = []
    generator: Spec | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.files) == (self.generator is not None):
            raise ValueError("give either files or generator")
        return self


class Dataset(Strict):
    """`config/datasets/<name>.yaml`."""

    title: str
    licence: str
    citation: str
    num_classes: int = Field(ge=2)
    modalities: list[str] = Field(min_length=1)
    reader: Spec
    sources: dict[str, Source] = Field(min_length=1)


class Training(Strict):
    """How a run is trained.

    Attributes:
        epochs: At most this many.
        patience: Epochs without a lower validation loss after which training stops.
        precision: Of the encoders; fusion, head, logits and losses are always float32.
    """

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    patience: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]


class ScaleDataset(Strict):
    """What a scale changes of a dataset: its source and its reader's options."""

    source: str
    reader: dict[str, Any] = {}


class Scale(Strict):
    """`config/scales/<name>.yaml`."""

    seeds: list[int] = Field(min_length=1)
    threads: int = Field(ge=1)
    tables: Literal["all"] | list[str] = "all"
    training: Training
    datasets: dict[str, ScaleDataset]


class Row(Strict):
    """One line of a table: what is trained, on what, and how."""

    label: str | None = None
    dataset: str
    modalities: list[str] | None = None
    encoder: Spec | dict[str, Spec]
    fusion: Spec = "concat"
    head: Spec = "linear"
    loss: Spec = "joint"
    balancer: Spec = "joint"
    pretrained: bool = False
    training: dict[str, Any] = {}


class Claim(Strict):
    """A sentence of the paper as a predicate over rows.

    Attributes:
        left, right: Rows; a list against one row means each of it, two lists are compared pair by pair.
        right_metric: Instead of `right`: another column of the same rows.
        tolerance: How near `equals_paper` has to be.
    """

    text: str
    metric: str
    relation: Relation
    left: str | list[str] = []
    right: str | list[str] = []
    right_metric: str | None = None
    tolerance: float | None = None

    @model_validator(mode="after")
    def _has_two_sides(self) -> Self:
        if self.relation == "equals_paper":
            if self.tolerance is None:
                raise ValueError("equals_paper needs tolerance")
            return self
        if bool(self.right) == (self.right_metric is not None):
            raise ValueError("give either right or right_metric")
        left, right = (1 if isinstance(side, str) else len(side) for side in (self.left, self.right or self.left))
        if min(left, right) == 0 or (min(left, right) > 1 and left != right):
            raise ValueError(
                f"left has {left} rows and right {right}; give one side a single row, or both equally many"
            )
        return self


class Table(Strict):
    """`config/tables/<name>.yaml`: a table, a figure of one row, or a computed table."""

    title: str
    paper: str
    defaults: dict[str, Any] = {}
    rows: dict[str, dict[str, Any]] = Field(min_length=1)
    columns: list[str] = []
    expected: dict[str, dict[str, float]] = {}
    claims: dict[str, Claim] = {}
    figure: dict[str, dict[str, Any]] | None = None
    compute: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if bool(self.columns) == (self.figure is not None):
            raise ValueError("give either columns (a table) or figure")
        return self


class Settings(Strict):
    """`config/config.yaml`; every key can be given by `--config key=value`."""

    scale: str
    tables: Literal["all"] | str | list[str] | None = None
    seeds: int | list[int] | None = None
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    mirror: str | None = None
