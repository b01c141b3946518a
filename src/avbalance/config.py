"""What the YAML files under `config/` may say; everything wrong is one line, raised before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from avbalance import registry
from avbalance.cli import UserError
from avbalance.registry import Spec, nearest
from avbalance.results.computed import COMPUTED

Model = TypeVar("Model", bound=BaseModel)
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


@dataclass
class Project:
    """The whole configuration, checked.

    Attributes:
        rows: {table: {row: Row}} of the tables that are trained.
    """

    root: Path
    settings: Settings
    scale: Scale
    datasets: dict[str, Dataset]
    tables: dict[str, Table]
    rows: dict[str, dict[str, Row]]
    equivalent_code: dict[str, str | None]


class _UniqueKeys(yaml.CSafeLoader):
    """Refuses a mapping that has the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise UserError(f"line {key_node.start_mark.line + 1}: {key!r} stands twice; rename one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; errors name the file and the line."""
    try:
        content = yaml.load(path.read_text(), _UniqueKeys)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}: line {line}: no valid YAML: {error.problem}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {content!r}, not a mapping of keys to values")
    return content


def load(root: Path, overrides: Mapping[str, Any]) -> Project:
    """Read and check `root`/config.

    Args:
        overrides: Values that take the place of those in `config.yaml`.

    Raises:
        UserError: Names file, key, what was found and what is allowed.
    """
    config = root / "config"
    file, main = config / "config.yaml", f"{config / 'config.yaml'} or --config"
    settings = _validate(Settings, {**read_yaml(file), **overrides}, main)
    scales = {path.stem: path for path in sorted((config / "scales").glob("*.yaml"))}
    if settings.scale not in scales:
        raise UserError(f"{main}: scale: {settings.scale!r} is not a scale; {nearest(settings.scale, list(scales))}")
    scale_file = scales[settings.scale]
    scale = _validate(Scale, read_yaml(scale_file), scale_file)
    datasets = {
        path.stem: _validate(Dataset, read_yaml(path), path) for path in sorted((config / "datasets").glob("*.yaml"))
    }
    for name, chosen in scale.datasets.items():
        _member(scale_file, f"datasets.{name}", "dataset", name, datasets)
        _member(scale_file, f"datasets.{name}.source", "source", chosen.source, datasets[name].sources)
    paths = {path.stem: path for path in sorted((config / "tables").glob("*.yaml"))}
    tables = {name: _validate(Table, read_yaml(path), path) for name, path in paths.items()}
    rows = {name: _rows(table, paths[name], datasets, scale) for name, table in tables.items() if table.compute is None}
    for name, table in tables.items():
        _check_references(table, paths[name], rows.get(name))
    chosen_tables = scale.tables if settings.tables is None else settings.tables
    for name in [chosen_tables] if isinstance(chosen_tables, str) else chosen_tables:
        if name != "all":
            _member(main if settings.tables else scale_file, "tables", "table", name, paths)
    equivalent = config / "equivalent_code.yaml"
    return Project(root, settings, scale, datasets, tables, rows, read_yaml(equivalent) if equivalent.exists() else {})


def _rows(table: Table, path: Path, datasets: dict[str, Dataset], scale: Scale) -> dict[str, Row]:
    _validate(Row, {"dataset": "", "encoder": "", **table.defaults}, path, "defaults")
    rows = {}
    for name, own in table.rows.items():
        where = f"rows.{name}"
        row = _validate(Row, {**table.defaults, **own}, path, where)
        _member(path, f"{where}.dataset", "dataset", row.dataset, datasets)
        dataset = datasets[row.dataset]
        for modality in row.modalities or []:
            _member(path, f"{where}.modalities", "modality", modality, dataset.modalities)
        row.modalities = row.modalities or dataset.modalities
        _validate(Training, {**scale.training.model_dump(), **row.training}, path, f"{where}.training")
        _check_methods(row, path, where)
        rows[name] = row
    return rows


def encoders(row: Row) -> dict[str, Spec]:
    """{modality: encoder} of a row, from `{modality: encoder}` or one encoder for all."""
    modalities = row.modalities or []
    if isinstance(row.encoder, Mapping) and set(row.encoder) & set(modalities):
        per_modality = dict(row.encoder)
        missing = [modality for modality in modalities if modality not in per_modality]
        if missing:
            raise UserError(f"no encoder for {missing[0]!r}; write {{{missing[0]}: <encoder>, ...}}")
        return {modality: cast(Spec, per_modality[modality]) for modality in modalities}
    return dict.fromkeys(modalities, cast(Spec, row.encoder))


def _check_methods(row: Row, path: Path, where: str) -> None:
    """Every method exists, its options fit its signature, and the methods fit each other."""
    try:
        chosen = encoders(row)
    except UserError as error:
        raise UserError(f"{path}: {where}.encoder: {error}") from error
    parts: list[tuple[str, str, Spec]] = [(f"encoder.{m}", "encoder", spec) for m, spec in chosen.items()]
    parts += [(kind, kind, getattr(row, kind)) for kind in ("fusion", "head", "loss", "balancer")]
    for key, kind, spec in parts:
        try:
            registry.resolve(kind, spec)
        except UserError as error:
            raise UserError(f"{path}: {where}.{key}: {error}") from error
    fusion, _ = registry.parse(row.fusion)
    dims = {modality: registry.feature_dim(spec) for modality, spec in chosen.items()}
    known = {modality: dim for modality, dim in dims.items() if dim is not None}
    if registry.describe("fusion", fusion).attributes.get("equal_dims") and len(set(known.values())) > 1:
        lengths = ", ".join(f"{modality} {dim}" for modality, dim in known.items())
        raise UserError(
            f"{path}: {where}.fusion: {fusion!r} needs features of equal length, found {lengths}; "
            f"choose encoders of one feature_dim or another fusion"
        )
    balancer, _ = registry.parse(row.balancer)
    loss, _ = registry.parse(row.loss)
    required = registry.describe("balancer", balancer).attributes.get("requires_loss", ())
    if required and loss not in required:
        raise UserError(
            f"{path}: {where}.balancer: {balancer!r} needs loss {' or '.join(map(repr, required))}, found {loss!r}"
        )


def _check_references(table: Table, path: Path, rows: dict[str, Row] | None) -> None:
    """Columns, expected numbers and claims name what exists."""
    if rows is not None:
        modalities = sorted({modality for row in rows.values() for modality in row.modalities or []})
        kinds = ("alone", "masked", "probe")
        allowed = ["accuracy", "loss", "probe_gap"] + [f"acc_{m}_{kind}" for m in modalities for kind in kinds]
        for column in table.columns:
            _member(path, "columns", "column", column, allowed)
    for row, numbers in table.expected.items():
        _member(path, f"expected.{row}", "row", row, table.rows)
        for column in numbers:
            _member(path, f"expected.{row}.{column}", "column", column, table.columns)
    for name, claim in table.claims.items():
        _member(path, f"claims.{name}.metric", "column", claim.metric, table.columns)
        _member(path, f"claims.{name}.right_metric", "column", claim.right_metric or claim.metric, table.columns)
        for side, value in (("left", claim.left), ("right", claim.right)):
            for row in [value] if isinstance(value, str) else value:
                _member(path, f"claims.{name}.{side}", "row", row, table.rows)
    if table.figure is not None and (len(table.figure) != 1 or len(table.rows) != 1):
        raise UserError(f"{path}: figure: a figure shows one kind of plot of one row")
    for kind in table.figure or {}:
        _member(path, "figure", "kind of figure", kind, ("curves", "confusion", "samples"))
    if table.compute is not None:
        _member(path, "compute", "formula", table.compute, COMPUTED)


def _member(path: Path | str, where: str, what: str, value: str, allowed: Any) -> None:  # noqa: ANN401
    if value not in allowed:
        raise UserError(f"{path}: {where}: {value!r} is not a {what}; {nearest(value, list(allowed))}")


def _validate(model: type[Model], content: Any, path: Path | str, where: str = "") -> Model:  # noqa: ANN401
    """The model of a file's content, or its first error in one line."""
    try:
        return model.model_validate(content)
    except ValidationError as errors:
        error = errors.errors()[0]
        keys = [str(part) for part in error["loc"] if not _is_type(str(part))]
        key = ".".join([where] * bool(where) + keys)
        if error["type"] == "extra_forbidden":
            message = f"is not a key here; {nearest(keys[-1], _fields(model, keys[:-1]))}"
        elif error["type"] == "missing":
            message = "is missing"
        elif error["type"] == "too_short":
            message = "is empty; give at least one"
        elif error["type"] == "value_error":
            message = str(error["ctx"]["error"])
        else:
            message = f"found {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}"
        raise UserError(f"{path}: {key}: {message}") from errors


def _is_type(part: str) -> bool:
    """Whether a part of an error's place names a branch of a union and no key."""
    return part in ("int", "str") or part.startswith(("literal[", "list[", "dict["))


def _fields(model: type[BaseModel], keys: list[str]) -> list[str]:
    """The keys that the model admits at a place inside it."""
    here: Any = model
    for key in keys:
        fields = getattr(here, "model_fields", None)
        annotation = fields[key].annotation if fields and key in fields else here
        nested = [part for part in [annotation, *getattr(annotation, "__args__", ())] if hasattr(part, "model_fields")]
        here = nested[0] if nested else annotation
    return list(getattr(here, "model_fields", {}))
