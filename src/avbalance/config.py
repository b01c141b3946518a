"""Reads and checks the YAML files under `config/`; everything wrong is one line, raised before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avbalance import registry, rows, signature
from avbalance.checks import check_method, member, read_yaml, validate
from avbalance.cli import UserError
from avbalance.references import check_references
from avbalance.registry import Spec, nearest
from avbalance.schema import Dataset, Scale, ScaleDataset, Settings, Source, Weights
from avbalance.table_schema import Row, Table


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
    equivalent_code: dict[str, str | dict[str, str] | None]


def load(root: Path, overrides: Mapping[str, Any]) -> Project:
    """Read and check `root`/config.

    Args:
        overrides: Values that take the place of those in `config.yaml`.

    Raises:
        UserError: Names file, key, what was found and what is allowed.
    """
    config = root / "config"
    file, main = config / "config.yaml", f"{config / 'config.yaml'} or --config"
    settings = validate(Settings, {**read_yaml(file), **overrides}, main)
    scales = {path.stem: path for path in sorted((config / "scales").glob("*.yaml"))}
    if settings.scale not in scales:
        raise UserError(f"{main}: scale: {settings.scale!r} is not a scale; {nearest(settings.scale, list(scales))}")
    scale_file = scales[settings.scale]
    scale = validate(Scale, read_yaml(scale_file), scale_file)
    datasets = {
        path.stem: validate(Dataset, read_yaml(path), path) for path in sorted((config / "datasets").glob("*.yaml"))
    }
    for name, dataset in datasets.items():
        file = config / "datasets" / f"{name}.yaml"
        if isinstance(dataset.sources, str):
            owners = [other for other, each in datasets.items() if not isinstance(each.sources, str)]
            member(file, "sources", "dataset with sources of its own", dataset.sources, owners)
        _check_preparation(dataset, file)
    for kind, chosen_options in scale.methods.items():
        for method, options in chosen_options.items():
            check_method(kind, {method: options}, f"{scale_file}: methods.{kind}.{method}")
    for model, start in scale.starts.items():
        member(scale_file, f"starts.{model}", "dataset", start, datasets)
    for name, chosen in scale.datasets.items():
        member(scale_file, f"datasets.{name}", "dataset", name, datasets)
        member(scale_file, f"datasets.{name}.source", "source", chosen.source, sources(datasets, name))
        training = {**scale.training.model_dump(), **chosen.training}
        rows.check_training(training, datasets[name], scale_file, f"datasets.{name}.training")
        datasets[name] = _scaled(datasets[name], chosen, scale_file, f"datasets.{name}")
    models = {
        path.stem: validate(Weights, read_yaml(path), path) for path in sorted((config / "models").glob("*.yaml"))
    }
    paths = {path.stem: path for path in sorted((config / "tables").glob("*.yaml"))}
    tables = {name: validate(Table, read_yaml(path), path).spread() for name, path in paths.items()}
    trained = {
        name: rows.read(table, paths[name], datasets, models, scale)
        for name, table in tables.items()
        if table.compute is None
    }
    for name, table in tables.items():
        check_references(table, paths[name], trained.get(name), datasets)
    chosen_tables = scale.tables if settings.tables is None else settings.tables
    for name in [chosen_tables] if isinstance(chosen_tables, str) else chosen_tables:
        if name != "all":
            member(main if settings.tables else scale_file, "tables", "table", name, paths)
    if settings.datasets == [] or settings.tables == []:
        raise UserError(f"{main}: tables and datasets: found an empty list; name one, or leave it out")
    for name in [settings.datasets] if isinstance(settings.datasets, str) else settings.datasets or []:
        member(main, "datasets", "dataset", name, datasets)
    path = config / "equivalent_code.yaml"
    equivalent = read_yaml(path) if path.exists() else {}
    if numbers := [code for line in equivalent.items() for code in line if isinstance(code, int | float)]:
        raise UserError(f"{path}: found the number {numbers[0]}; put a hash that is made of digits into quotes")
    return Project(root, settings, scale, datasets, models, tables, trained, equivalent)


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
            member(path, f"{where}.prepare.views", "modality", name, views)
            try:
                view, own = registry.parse(spec)
            except UserError as error:
                raise UserError(f"{path}: {where}.prepare.views.{name}: {error}") from error
            views[name] = (view, {**(views[name][1] if views[name][0] == view else {}), **own})
        merged = {name: {view: options} for name, (view, options) in views.items()}
        content["prepare"] = {**content["prepare"], **chosen.prepare, "views": merged}
    scaled = validate(Dataset, content, path, where)
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
        check_method(kind, spec, f"{path}: {where}{key}")
    if dataset.task == "verification":
        reader = registry.parse(dataset.reader)[0]
        if signature.describe("data", reader).methods.get("trials") in (None, "Reader"):
            raise UserError(
                f"{path}: {where}reader: {reader!r} gives no lists of trials, which verification is tested with; "
                "choose a reader that defines 'trials', or another task"
            )
