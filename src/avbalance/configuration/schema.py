"""What each YAML file under `config/` may hold: one model a kind of file, every key known."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from avbalance.ranges import LARGEST, Count, Names, NotNegative, Positive, Rate, Seeds, Share, Text, Whole, distinct
from avbalance.registry import METHODS_OF_ROW, Spec, nearest


def check_name(name: str) -> str:
    """The name of a file, a row, a modality and the like: it becomes a part of paths and of commands."""
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise ValueError(f"{name!r} is no name; use letters (A to z), digits, '_' and '-', and begin with no '-'")
    return name


def check_kind(kind: str) -> str:
    """Kind of method whose options a scale may change."""
    allowed = ["encoder", *METHODS_OF_ROW, "feature_reduction"]
    if kind not in allowed:
        raise ValueError(f"{kind!r} is not a kind of method of a row; {nearest(kind, allowed)}")
    return kind


Name = Annotated[str, AfterValidator(check_name)]
KindOfRow = Annotated[str, AfterValidator(check_kind)]


class Strict(BaseModel):
    """A mapping in which every key is known, and every number a finite one, no text and no `true`."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SourceFile(Strict):
    """One file to download, or with `list` many of them.

    Attributes:
        path: Where it lies below the raw folder and below a mirror; with `list`, the folder of all its files.
        list: Files in the format of sha256sum, beside the YAML.
        urls: Addresses, tried in turn; `{path}` stands for the path of a listed file.
        request: Instead of `urls`, for files that are given out on request: what to do to get them.
        index: Lists of addresses, each an address itself or a file beside the YAML, from which
            `avbalance.record` makes `list`.
        sha256, md5: Of the file.
        contents: A list of the files in an archive whose own bytes may change; only they are unpacked.
        unpack: Whether this is an archive to be unpacked into the folder of its `path`.
    """

    path: str | None = None
    urls: list[str] = []
    request: str | None = None
    index: list[str] | None = None
    size: int | None = Field(default=None, ge=1, le=10**15)
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

    title: Text
    licence: Text
    citation: Text
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
        drop_duplicates: Whether clips of train and val are dropped whose sound or pictures are in test, or stand under
            another label anywhere.
    """

    views: dict[str, Spec] = Field(min_length=1)
    clip_seconds: Positive | None = None
    windows: dict[Literal["train", "val", "test"], Count] = {}
    val_fraction: Rate = 0.2
    seed: Whole = 0
    max_seconds: Positive = 600.0
    max_dropped: Share = 0.02
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

    title: Text
    licence: Text
    citation: Text
    task: Task = "single_label"
    num_classes: int = Field(ge=2, le=LARGEST)
    classes: Names | None = None
    modalities: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)]
    reader: Spec
    prepare: Preparation | None = None
    sources: dict[Name, Source] | str

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
        snapshots: Numbers of optimiser steps, such as [0, 500], after which the weights are kept too, for probes.
        augment: How pictures of training clips are cut and mirrored; None for not at all. Sound stays as it is.
        monitor: Whether each epoch also looks at test and at training clips; nothing is decided by what is seen.
    """

    epochs: Whole
    batch_size: Count
    learning_rate: Positive
    patience: Count
    precision: Literal["float32", "bfloat16"]
    optimizer: Literal["adam", "sgd", "adagrad"] = "adam"
    momentum: Rate = 0.0
    weight_decay: NotNegative = 0.0
    decay_epochs: Count | None = None
    decay_factor: float = Field(default=0.1, gt=0, le=1)
    select: Literal["best", "last"] = "best"
    snapshots: list[Whole] = []
    augment: Spec | None = None
    monitor: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is of sgd, but optimizer is {self.optimizer}")
        return self


class ScaleDataset(Strict):
    """What a scale changes of a dataset: source, reader and preparation, and how it is trained on.

    Attributes:
        snapshots: {snapshot of a row: the one that takes its place}, in optimiser steps, if trainings are too short.
    """

    source: str
    reader: dict[str, Any] = {}
    prepare: dict[str, Any] = {}
    training: dict[str, Any] = {}
    snapshots: dict[Whole, Whole] = {}
    num_classes: int | None = Field(default=None, ge=2, le=LARGEST)


class Scale(Strict):
    """`config/scales/<name>.yaml`.

    Attributes:
        methods: {kind: {name: {option: value}}}: options of methods that take the place of a row's own, such as the
            width of an encoder.
        starts: {model: data set}: in the place of public weights, encoders start from runs on that data set.
    """

    seeds: Seeds
    threads: int = Field(ge=1, le=1024)
    tables: Literal["all"] | list[str] = "all"
    training: Training
    methods: dict[KindOfRow, dict[str, dict[str, Any]]] = {}
    starts: dict[str, str] = {}
    datasets: dict[str, ScaleDataset]


class Settings(Strict):
    """`config/config.yaml`; every key can be given by `--config key=value`, which gives numbers in a list as text."""

    model_config = ConfigDict(strict=False)

    scale: str
    tables: Literal["all"] | str | list[str] | None = None
    datasets: str | list[str] | None = None
    seeds: Whole | Seeds | None = None
    device: str
    mirror: str | None = None

    @field_validator("device")
    @classmethod
    def _is_device(cls, device: str) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device) is None:
            raise ValueError(f"found {device!r}; allowed: auto, cpu, cuda, or one GPU by its number such as cuda:0")
        return device
