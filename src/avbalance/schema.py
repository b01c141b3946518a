"""What each YAML file under `config/` may hold: one model a kind of file, every key known."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from avbalance.registry import Spec

Relation = Literal[">", "<", "falls", "equals_paper"]


class Strict(BaseModel):
    """A mapping in which every key is known."""

    model_config = ConfigDict(extra="forbid")


class SourceFile(Strict):
    """One file to download, or with `list` many of them.

    Attributes:
        path: Where it lies below the raw folder and below a mirror; with `list`, the folder of all its files.
        list: Files in the format of sha256sum, beside the YAML.
        urls: Addresses, tried in turn; `{path}` stands for the path of a listed file.
        request: Instead of `urls`, for files that are given out on request: what to do to get them.
        index: Lists of addresses, each an address itself or a file beside the YAML, from which
            `avbalance.prepare.record` makes `list`.
        sha256, md5: Of the file.
        contents: A list of the files in an archive whose own bytes may change; only they are unpacked.
        unpack: Whether this is an archive to be unpacked into the folder of its `path`.
    """

    path: str | None = None
    urls: list[str] = []
    request: str | None = None
    index: list[str] | None = None
    size: int | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    contents: str | None = None
    unpack: bool | None = None
    list: str | None = None  # last, for the name hides the type

    @model_validator(mode="after")
    def _is_verified(self) -> Self:
        if self.path is None and self.list is None:
            raise ValueError("give path or list")
        if [self.sha256, self.md5, self.contents, self.list].count(None) != 3:
            raise ValueError("give one of sha256, md5, contents and list, so that the download can be verified")
        if bool(self.urls) == (self.request is not None):
            raise ValueError("give either urls or request")
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


class Weights(Strict):
    """`config/models/<name>.yaml`: trained weights that a preparation uses."""

    title: str
    licence: str
    citation: str
    files: list[SourceFile] = Field(min_length=1)


class Preparation(Strict):
    """How clips of media become arrays.

    Attributes:
        views: {modality: what it is shown as}.
        clip_seconds: Length of the windows that are cut from a clip; None for one window, the whole clip.
        windows: {split: how many windows are cut, evenly spaced}; one, from the middle, where nothing is said.
        val_fraction: Share of the training clips of every class that becomes val, where the reader gives no val.
        seed: Of that choice.
        max_seconds: A longer clip is dropped.
        max_dropped: Share of the clips that may be dropped.
        drop_duplicates: Whether clips of one file under two labels are dropped from train and val.
    """

    views: dict[str, Spec] = Field(min_length=1)
    clip_seconds: float | None = Field(default=None, gt=0)
    windows: dict[Literal["train", "val", "test"], Annotated[int, Field(ge=1)]] = {}
    val_fraction: float = Field(default=0.2, ge=0, lt=1)
    seed: int = 0
    max_seconds: float = Field(default=600.0, gt=0)
    max_dropped: float = Field(default=0.02, ge=0, le=1)
    drop_duplicates: bool = True

    @model_validator(mode="after")
    def _cuts_windows(self) -> Self:
        if self.clip_seconds is None and max(self.windows.values(), default=1) > 1:
            raise ValueError("windows of a whole clip are all the same: give clip_seconds, or leave windows out")
        return self


Task = Literal["single_label", "multi_label", "verification"]


class Dataset(Strict):
    """`config/datasets/<name>.yaml`.

    Attributes:
        reader: Knows where clips lie and what their labels are.
        prepare: How they become arrays, where the reader does not make arrays itself.
        sources: Where raw files come from, by name; or the dataset that shares its own.
    """

    title: str
    licence: str
    citation: str
    task: Task = "single_label"
    num_classes: int = Field(ge=2)
    classes: list[str] | None = None
    modalities: list[str] = Field(min_length=1)
    reader: Spec
    prepare: Preparation | None = None
    sources: dict[str, Source] | str

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.prepare is not None and list(self.prepare.views) != self.modalities:
            raise ValueError(f"modalities are {self.modalities}, but prepare.views has {list(self.prepare.views)}")
        if self.task == "verification" and self.prepare is not None and self.prepare.windows.get("test", 1) != 1:
            raise ValueError("a trial compares whole clips: leave prepare.windows.test at 1")
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ValueError(f"num_classes is {self.num_classes}, but classes has {len(self.classes)} names")
        return self


class Training(Strict):
    """How a run is trained.

    Attributes:
        epochs: At most this many; 0 for a run that stays at its start, untrained or pre-trained.
        patience: Epochs without a lower validation loss after which training stops.
        precision: Of the encoders; fusion, head, logits and losses are always float32.
        optimizer: With `momentum` (of sgd) and `weight_decay`.
        decay_epochs: After so many epochs, again and again, the learning rate is multiplied by `decay_factor`.
        select: The epoch whose weights are kept: `best`, of the lowest validation loss, or the `last`.
        moments: Numbers of steps, such as [0, 500], after which the weights are kept besides, for probes.
        monitor: Whether each epoch also looks at test and at training clips; nothing is decided by what is seen.

    A key that is left at its default is not part of a run's recipe.
    """

    epochs: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    patience: int = Field(ge=1)
    precision: Literal["float32", "bfloat16"]
    optimizer: Literal["adam", "sgd", "adagrad"] = "adam"
    momentum: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    decay_epochs: int | None = Field(default=None, ge=1)
    decay_factor: float = Field(default=0.1, gt=0, le=1)
    select: Literal["best", "last"] = "best"
    moments: list[Annotated[int, Field(ge=0)]] = []
    monitor: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is of sgd, but optimizer is {self.optimizer}")
        return self


class ScaleDataset(Strict):
    """What a scale changes of a dataset: source, reader and preparation, and how it is trained on.

    Attributes:
        moments: {moment of a row: the one that stands for it}, optimiser steps, where trainings are too short.
    """

    source: str
    reader: dict[str, Any] = {}
    prepare: dict[str, Any] = {}
    training: dict[str, Any] = {}
    moments: dict[int, int] = {}
    num_classes: int | None = Field(default=None, ge=2)


class Scale(Strict):
    """`config/scales/<name>.yaml`.

    Attributes:
        methods: {kind: {name: {option: value}}}: options of methods that take the place of a row's own, such as the
            width of an encoder.
        starts: {model: data set}: in the place of public weights, encoders start from runs on that data set.
    """

    seeds: list[int] = Field(min_length=1)
    threads: int = Field(ge=1)
    tables: Literal["all"] | list[str] = "all"
    training: Training
    methods: dict[
        Literal["encoder", "fusion", "head", "loss", "balancer", "feature_reduction"], dict[str, dict[str, Any]]
    ] = {}
    starts: dict[str, str] = {}
    datasets: dict[str, ScaleDataset]


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

    layers: list[str] = Field(min_length=1)
    moment: int | None = Field(default=None, ge=0)
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
    modalities: list[str] | None = None
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
    rows: list[str] = Field(min_length=2)


class Table(Strict):
    """`config/tables/<name>.yaml`: a table, a figure, or a computed table.

    Attributes:
        combined: Rows without runs of their own, below the others: an action as a verb and a noun.
        each: {key of a row: values}: all rows and claims stand once for each value, such as for each of several
            datasets. Row `concat` becomes `<value>_concat`, and so in `expected`, which is by value, then by row.
    """

    title: str
    paper: str
    defaults: dict[str, Any] = {}
    each: dict[str, list[str]] | None = Field(default=None, min_length=1, max_length=1)
    rows: dict[str, dict[str, Any]] = Field(min_length=1)
    combined: dict[str, Combined] = {}
    columns: list[str] = []
    expected: dict[str, dict[str, float | dict[str, float]]] = {}
    claims: dict[str, Claim] = {}
    figure: dict[str, dict[str, Any]] | None = None
    compute: str | None = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if bool(self.columns) == (self.figure is not None):
            raise ValueError("give either columns (a table) or figure")
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


class Settings(Strict):
    """`config/config.yaml`; every key can be given by `--config key=value`."""

    scale: str
    tables: Literal["all"] | str | list[str] | None = None
    datasets: str | list[str] | None = None
    seeds: int | list[int] | None = None
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    mirror: str | None = None
