"""Reading of all YAML files under `config/`; an error is one line and stops the workflow before anything runs."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from avbalance import registry
from avbalance.configuration import rows, signature
from avbalance.configuration.checks import Model, member, read_yaml, resolve_method, validate
from avbalance.configuration.parts import matching, with_rows, write_out_columns
from avbalance.configuration.references import check_references
from avbalance.configuration.resolved import ResolvedRow, Scope
from avbalance.configuration.schema import Dataset, Scale, ScaleDataset, Settings, Source, Weights, check_name
from avbalance.configuration.table_schema import Table
from avbalance.configuration.taken_rows import take_rows
from avbalance.errors import UserError
from avbalance.registry import Spec


@dataclass
class Project:
    """Whole configuration, checked.

    Attributes:
        rows: {table: {row: resolved row}} of all tables but computed ones.
        datasets: Datasets at this scale.
        models: Trained weights from elsewhere, for preparations and as starts.
        outside_tables: {table: file} of the tables that lie outside `config/tables`.
    """

    root: Path
    settings: Settings
    scale: Scale
    datasets: dict[str, Dataset]
    models: dict[str, Weights]
    tables: dict[str, Table]
    rows: dict[str, dict[str, ResolvedRow]]
    outside_tables: dict[str, Path]

    @property
    def mirror(self) -> str:
        """Folder or address that is asked before the official ones; empty for none."""
        return _mirror_of(self.settings)

    @property
    def is_own(self) -> bool:
        """True if the user's own copies of the datasets are used."""
        return self.settings.copies == "own"

    @property
    def shelf(self) -> str:
        """Name under which tables, figures and the page lie: those of own copies stand apart."""
        return f"{self.settings.scale}-own" if self.is_own else self.settings.scale


def read_project(root: Path, overrides: Mapping[str, Any]) -> Project:
    """Read and check `root`/config.

    Args:
        overrides: Values that replace those of `config.yaml`.

    Raises:
        UserError: Names file, key, what was found and what is allowed.
    """
    config = root / "config"
    main = f"{config / 'config.yaml'} or --config"
    file = config / "config.yaml"
    if not file.exists():
        raise UserError(f"{file}: does not exist in {Path.cwd()}; work in a checkout, or copy its folder config here")
    settings = validate(Settings, {**read_yaml(file), **overrides}, main)
    datasets = _read_all(Dataset, _files(config / "datasets"))
    models = _read_all(Weights, _files(config / "models"))
    settings, outside = _split_outside(settings, config, main)
    files = {**_files(config / "tables"), **outside}
    given = _read_all(Table, files)
    scales = _read_all(Scale, _files(config / "scales"))
    member(main, "scale", "scale", settings.scale, scales)
    _check_datasets(datasets, config / "datasets")
    at_scale = {name: _scale_datasets(config, name, scale, datasets, models) for name, scale in scales.items()}
    for name, table in given.items():
        _members(files[name], "part", "scale", list(table.part), scales)
    tables_at: dict[str, dict[str, Table]] = {}
    rows_at: dict[str, dict[str, dict[str, ResolvedRow]]] = {}
    for name in sorted(scales, key=lambda each: each != settings.scale):  # the chosen scale first
        file = config / "scales" / f"{name}.yaml"
        _members(file, "tables", "table", scales[name].tables, given)
        for pattern in scales[name].seeds_of:
            if not any(fnmatchcase(table, pattern) for table in given):
                member(file, "seeds_of", "table", pattern, given)
        tables_at[name] = _take_parts(given, files, name)
        scope = Scope(scales[name], at_scale[name], models)
        with _naming(name, settings.scale):
            rows_at[name] = _read_rows(files, scope, tables_at[name])
            for key, table in tables_at[name].items():
                tables_at[name][key] = write_out_columns(table, rows_at[name].get(key, {}))
                check_references(tables_at[name][key], files[key], rows_at[name].get(key), datasets)
    tables = tables_at[settings.scale]
    mirror = _mirror_of(settings)
    if settings.copies == "own" and not Path(mirror).is_dir():
        raise UserError(
            f"{main}: copy: own needs a folder with your files; give mirror or AVBALANCE_MIRROR, found {mirror!r}"
        )
    if settings.datasets == [] or settings.tables == []:
        raise UserError(f"{main}: tables and datasets: found an empty list; name one, or leave it out")
    _members(main, "tables", "table", settings.tables, tables)
    _members(main, "datasets", "dataset", settings.datasets, datasets)
    return Project(
        root,
        settings,
        scales[settings.scale],
        at_scale[settings.scale],
        models,
        {name: tables[name] for name in sorted(tables)},
        rows_at[settings.scale],
        outside,
    )


def _mirror_of(settings: Settings) -> str:
    return settings.mirror or os.environ.get("AVBALANCE_MIRROR", "")


def _read_all(model: type[Model], files: Mapping[str, Path]) -> dict[str, Model]:
    """{name: content} of YAML files."""
    return {name: validate(model, read_yaml(path), path) for name, path in files.items()}


def _split_outside(settings: Settings, config: Path, main: str) -> tuple[Settings, dict[str, Path]]:
    """The settings with every table by its name, and {table: file} of those that were given as a path."""
    given = [settings.tables] if isinstance(settings.tables, str) else settings.tables or []
    outside: dict[str, Path] = {}
    for path in (Path(each) for each in given if each.endswith(".yaml")):
        name = path.stem
        if not path.is_file():
            raise UserError(f"{main}: tables: {str(path)!r} does not exist in {Path.cwd()}")
        if name in outside or (config / "tables" / path.name).exists():
            raise UserError(f"{main}: tables: {str(path)!r}: a table named {name!r} exists already; rename the file")
        outside[_name_of(path)] = path
    if not outside:
        return settings, {}
    names = [Path(each).stem if each.endswith(".yaml") else each for each in given]
    return settings.model_copy(update={"tables": names}), outside


def _members(path: Path | str, where: str, what: str, names: str | list[str] | None, allowed: Any) -> None:  # noqa: ANN401
    """Refuse names, given as one, as several or as `all`, that are not allowed."""
    for name in [names] if isinstance(names, str) else names or []:
        if (what, name) != ("table", "all"):
            member(path, where, what, name, allowed)


def _check_datasets(datasets: dict[str, Dataset], folder: Path) -> None:
    """Check readers, views and shared sources of all datasets."""
    owners = [name for name, each in datasets.items() if not isinstance(each.sources, str)]
    for name, dataset in datasets.items():
        path = folder / f"{name}.yaml"
        if isinstance(dataset.sources, str):
            member(path, "sources", "dataset with its own sources", dataset.sources, owners)
        _check_preparation(dataset, path)


def _scale_datasets(
    config: Path, name: str, scale: Scale, datasets: dict[str, Dataset], models: dict[str, Weights]
) -> dict[str, Dataset]:
    """Datasets at a scale; checks the scale's file."""
    path = config / "scales" / f"{name}.yaml"
    changes = {"methods": scale.methods}
    changes |= {f"datasets.{dataset}.methods": chosen.methods for dataset, chosen in scale.datasets.items()}
    for where, methods in changes.items():
        for kind, chosen_options in methods.items():
            for method, options in chosen_options.items():
                resolve_method(kind, {method: options}, f"{path}: {where}.{kind}.{method}")
    for model, start in scale.starts.items():
        member(path, "starts", "model", model, models)
        member(path, f"starts.{model}", "dataset", start, datasets)
    scaled = dict(datasets)
    for dataset, chosen in scale.datasets.items():
        where = f"datasets.{dataset}"
        member(path, where, "dataset", dataset, datasets)
        member(path, f"{where}.source", "source", chosen.source, sources_of(datasets, dataset))
        training = {**scale.training.model_dump(), **chosen.training}
        rows.resolve_training(training, datasets[dataset], path, f"{where}.training")
        scaled[dataset] = _scaled(datasets[dataset], chosen, path, where)
    return scaled


def _take_parts(given: dict[str, Table], files: Mapping[str, Path], scale: str) -> dict[str, Table]:
    """Tables with all rows that they take from others and that a scale runs, each written out."""

    def part(name: str, table: Table) -> Table:
        if scale not in table.part:
            return table
        return with_rows(table, matching(table.part[scale], table.rows, files[name], f"part.{scale}"))

    return {name: table.spread() for name, table in take_rows(given, files, part).items()}


@contextmanager
def _naming(scale: str, chosen: str) -> Iterator[None]:
    """An error at a scale other than the chosen one names that scale."""
    try:
        yield
    except UserError as error:
        raise error if scale == chosen else UserError(f"{error} (at scale {scale})") from error


def _read_rows(files: Mapping[str, Path], scope: Scope, tables: dict[str, Table]) -> dict[str, dict[str, ResolvedRow]]:
    """{table: its rows at a scale} of all tables but computed ones."""
    return {name: rows.read_rows(table, files[name], scope) for name, table in tables.items() if table.compute is None}


def _files(folder: Path) -> dict[str, Path]:
    """{name: YAML file} of a folder."""
    return {_name_of(path): path for path in sorted(folder.glob("*.yaml"))}


def _name_of(path: Path) -> str:
    """The name of what a YAML file describes."""
    try:
        return check_name(path.stem)
    except ValueError as error:
        raise UserError(f"{path.parent}: {path.name!r}: {error}") from error


def sources_of(datasets: Mapping[str, Dataset], name: str) -> dict[str, Source]:
    """Sources of a dataset, its own or those of the dataset that it shares them with."""
    sources = datasets[name].sources
    return datasets[sources].sources if isinstance(sources, str) else sources  # type: ignore[return-value]


def _scaled(dataset: Dataset, chosen: ScaleDataset, path: Path, where: str) -> Dataset:
    """Dataset in which a scale's options replace its own."""
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
    """Check that reader, generators and views exist and take their options."""
    parts: list[tuple[str, str, Spec]] = [("reader", "data", dataset.reader)]
    for name, source in dataset.sources.items() if not isinstance(dataset.sources, str) else ():
        parts += [(f"sources.{name}.generator", "data", source.generator)] if source.generator else []
    if dataset.prepare is not None:
        parts += [(f"prepare.views.{name}", "view", spec) for name, spec in dataset.prepare.views.items()]
    for key, kind, spec in parts:
        resolve_method(kind, spec, f"{path}: {where}{key}")
    if dataset.task == "verification":
        reader = registry.parse(dataset.reader)[0]
        if signature.describe("data", reader).methods.get("trials") in (None, "Reader"):
            raise UserError(
                f"{path}: {where}reader: {reader!r} gives no lists of trials, which verification needs for testing; "
                "choose a reader that defines 'trials', or another task"
            )
