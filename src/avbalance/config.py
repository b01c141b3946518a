"""Reads and checks the YAML files under `config/`; everything wrong is one line, raised before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from avbalance import registry, signature
from avbalance.cli import UserError
from avbalance.registry import Spec, nearest
from avbalance.schema import Dataset, Row, Scale, ScaleDataset, Settings, Source, Table, Training, Weights

Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Project:
    """The whole configuration, checked.

    Attributes:
        rows: {table: {row: Row}} of the tables that are trained.
        datasets: As they are at this scale.
        models: Trained weights that preparations use.
    """

    root: Path
    settings: Settings
    scale: Scale
    datasets: dict[str, Dataset]
    models: dict[str, Weights]
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
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is no text: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
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
    for name, dataset in datasets.items():
        file = config / "datasets" / f"{name}.yaml"
        if isinstance(dataset.sources, str):
            owners = [other for other, each in datasets.items() if not isinstance(each.sources, str)]
            _member(file, "sources", "dataset with sources of its own", dataset.sources, owners)
        _check_preparation(dataset, file)
    for name, chosen in scale.datasets.items():
        _member(scale_file, f"datasets.{name}", "dataset", name, datasets)
        _member(scale_file, f"datasets.{name}.source", "source", chosen.source, sources(datasets, name))
        _validate(Training, {**scale.training.model_dump(), **chosen.training}, scale_file, f"datasets.{name}.training")
        datasets[name] = _scaled(datasets[name], chosen, scale_file, f"datasets.{name}")
    models = {
        path.stem: _validate(Weights, read_yaml(path), path) for path in sorted((config / "models").glob("*.yaml"))
    }
    paths = {path.stem: path for path in sorted((config / "tables").glob("*.yaml"))}
    tables = {name: _validate(Table, read_yaml(path), path).spread() for name, path in paths.items()}
    rows = {name: _rows(table, paths[name], datasets, scale) for name, table in tables.items() if table.compute is None}
    for name, table in tables.items():
        _check_references(table, paths[name], rows.get(name), datasets)
    chosen_tables = scale.tables if settings.tables is None else settings.tables
    for name in [chosen_tables] if isinstance(chosen_tables, str) else chosen_tables:
        if name != "all":
            _member(main if settings.tables else scale_file, "tables", "table", name, paths)
    if settings.datasets == [] or settings.tables == []:
        raise UserError(f"{main}: tables and datasets: found an empty list; name one, or leave it out")
    for name in [settings.datasets] if isinstance(settings.datasets, str) else settings.datasets or []:
        _member(main, "datasets", "dataset", name, datasets)
    equivalent = read_yaml(path) if (path := config / "equivalent_code.yaml").exists() else {}
    return Project(root, settings, scale, datasets, models, tables, rows, equivalent)


def sources(datasets: Mapping[str, Dataset], name: str) -> dict[str, Source]:
    """A dataset's sources, its own or those that it shares."""
    found = datasets[name].sources
    return datasets[found].sources if isinstance(found, str) else found  # type: ignore[return-value]


def _scaled(dataset: Dataset, chosen: ScaleDataset, path: Path, where: str) -> Dataset:
    """A dataset with a scale's options in the place of its own."""
    content = dataset.model_dump(exclude_none=True)
    reader, options = registry.parse(dataset.reader)
    content["reader"] = {reader: {**options, **chosen.reader}}
    if chosen.num_classes is not None and chosen.num_classes != dataset.num_classes:
        content = {**content, "num_classes": chosen.num_classes, "classes": None}
    if chosen.prepare:
        if dataset.prepare is None:
            raise UserError(f"{path}: {where}.prepare: the reader of this dataset makes arrays itself; leave it out")
        views = {name: registry.parse(spec) for name, spec in dataset.prepare.views.items()}
        given = chosen.prepare.get("views", {})
        if not isinstance(given, Mapping):
            raise UserError(f"{path}: {where}.prepare.views: found {given!r}; write {{modality: {{view: options}}}}")
        for name, spec in given.items():
            _member(path, f"{where}.prepare.views", "modality", name, views)
            try:
                view, own = registry.parse(spec)
            except UserError as error:
                raise UserError(f"{path}: {where}.prepare.views.{name}: {error}") from error
            views[name] = (view, {**(views[name][1] if views[name][0] == view else {}), **own})
        merged = {name: {view: options} for name, (view, options) in views.items()}
        content["prepare"] = {**content["prepare"], **chosen.prepare, "views": merged}
    scaled = _validate(Dataset, content, path, where)
    _check_preparation(scaled, path, f"{where}.")
    return scaled


def _check_preparation(dataset: Dataset, path: Path, where: str = "") -> None:
    """Reader and views exist and take the options that they are given."""
    parts: list[tuple[str, str, Spec]] = [("reader", "data", dataset.reader)]
    for name, source in dataset.sources.items() if not isinstance(dataset.sources, str) else ():
        parts += [(f"sources.{name}.generator", "data", source.generator)] if source.generator else []
    if dataset.prepare is not None:
        parts += [(f"prepare.views.{name}", "view", spec) for name, spec in dataset.prepare.views.items()]
    for key, kind, spec in parts:
        try:
            signature.resolve(kind, spec)
        except UserError as error:
            raise UserError(f"{path}: {where}{key}: {error}") from error


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
        _validate(Training, training(row, scale), path, f"{where}.training")
        _check_methods(row, path, where)
        rows[name] = row
    return rows


def training(row: Row, scale: Scale) -> dict[str, Any]:
    """How a row is trained: as the scale says, as it says for the dataset, as the row says."""
    own = scale.datasets[row.dataset].training if row.dataset in scale.datasets else {}
    return {**scale.training.model_dump(), **own, **row.training}


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
            signature.resolve(kind, spec)
        except UserError as error:
            raise UserError(f"{path}: {where}.{key}: {error}") from error
    try:
        _check_pairing(row, chosen)
    except UserError as error:
        raise UserError(f"{path}: {where}.{error}") from error


def _check_pairing(row: Row, chosen: Mapping[str, Spec]) -> None:
    """What a fusion needs of the encoders, and a balancer of the loss, by what their classes declare."""
    fusion, balancer, loss = (registry.parse(spec)[0] for spec in (row.fusion, row.balancer, row.loss))
    declared = signature.describe("fusion", fusion).attributes
    if declared.get("two_modalities") and len(chosen) != 2:
        raise UserError(
            f"fusion: {fusion!r} joins exactly two modalities, found {', '.join(chosen)}; "
            f"choose two modalities or another fusion"
        )
    dims = {modality: signature.feature_dim(spec) for modality, spec in chosen.items()}
    if declared.get("equal_dims") and len(set(dims.values()) - {None}) > 1:
        lengths = ", ".join(f"{modality} {dim}" for modality, dim in dims.items())
        raise UserError(
            f"fusion: {fusion!r} needs features of equal length, found {lengths}; "
            f"choose encoders of one feature_dim or another fusion"
        )
    required = signature.describe("balancer", balancer).attributes.get("requires_loss", ())
    if required and loss not in required:
        raise UserError(f"balancer: {balancer!r} needs loss {' or '.join(map(repr, required))}, found {loss!r}")


def _columns(dataset: Dataset, modalities: list[str]) -> list[str]:
    """The columns that a data set's task has; `<list>` stands for the name of a list of trials."""
    if dataset.task == "verification":
        return [name + ending for name in ("eer", "min_dcf", "min_dcf05") for ending in ("", "_<list>")]
    measure = "map" if dataset.task == "multi_label" else "acc"
    names = [f"{measure}_{modality}_{kind}" for modality in modalities for kind in ("alone", "masked", "probe")]
    if dataset.task == "multi_label":
        return ["map", "mauc", "loss", *names]
    of_videos = ["video_accuracy", "video_top5"] if dataset.prepare is not None else []
    return ["accuracy", "top5", *of_videos, "loss", "probe_gap", *names]


def _check_references(table: Table, path: Path, rows: dict[str, Row] | None, datasets: Mapping[str, Dataset]) -> None:
    """Columns, expected numbers and claims name what exists; a column, for the task of at least one row's data set."""
    if rows is not None:
        modalities = sorted({modality for row in rows.values() for modality in row.modalities or []})
        used = {row.dataset: datasets[row.dataset] for row in rows.values()}
        allowed = [column for dataset in used.values() for column in _columns(dataset, modalities)]
        tasks = ", ".join(f"{name} is {dataset.task}" for name, dataset in used.items())
        for column in table.columns:
            if re.sub(r"^(eer|min_dcf|min_dcf05)_\w+$", r"\1_<list>", column) not in allowed:
                raise UserError(f"{path}: columns: {column!r} is not a column; {nearest(column, allowed)} ({tasks})")
        if table.figure is not None and {dataset.task for dataset in used.values()} != {"single_label"}:
            raise UserError(f"{path}: figure: a figure shows single_label data; {tasks}")
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
        try:
            registry.locate("formula", table.compute)
        except UserError as error:
            raise UserError(f"{path}: compute: {error}") from error


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
        raise UserError(": ".join([str(path), *[key] * bool(key), message])) from errors


def _is_type(part: str) -> bool:
    """Whether a part of an error's place names a branch of a union and no key."""
    return part in ("int", "str") or part.startswith(("literal[", "list[", "dict["))


def _fields(model: type[BaseModel], keys: list[str]) -> list[str]:
    """The keys that the model admits at a place inside it."""
    here: Any = model
    for key in keys:
        fields = getattr(here, "model_fields", None)
        nested = _models(fields[key].annotation if fields and key in fields else here)
        here = nested[0] if nested else None
    return list(getattr(here, "model_fields", {}))


def _models(annotation: Any) -> list[Any]:  # noqa: ANN401
    """The models in an annotation, however deep."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
