"""Check of the names that a table uses: columns, rows, options of figures and formulas."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avbalance.configuration import signature
from avbalance.configuration.checks import member, resolve_method
from avbalance.configuration.resolved import ResolvedRow
from avbalance.configuration.schema import Dataset
from avbalance.configuration.table_schema import Table
from avbalance.errors import UserError
from avbalance.ranges import LARGEST
from avbalance.registry import nearest
from avbalance.results.columns import REGISTRY
from avbalance.results.columns.base import Column, RowTraits, class_of, match_column, names_of
from avbalance.results.over_datasets import check_methods


def traits_of(row: ResolvedRow, dataset: Dataset) -> RowTraits:
    """Properties of a row that decide which columns it has."""
    return RowTraits(
        task=dataset.task,
        modalities=tuple(row.modalities),
        has_videos=dataset.prepare is not None,
        has_probe=row.probe is not None,
        curves=_curves(row) if row.combine is None else (),
        has_weights=row.combine is None,
    )


def _curves(row: ResolvedRow) -> tuple[str, ...] | None:
    """Names of the curves that a row's balancer and loss declare; None if one records curves that it does not declare.

    In a name `<modality>` stands for each modality, `<head>` also for `joint`.
    """
    names: list[str] = []
    for kind in ("balancer", "loss"):
        method = signature.describe(kind, next(iter(row.methods[kind])))
        declared = method.attributes.get("curve_names")
        if declared is None and method.methods.get("curves", "Balancer") not in ("Balancer", "Loss"):
            return None
        for name in declared or ():
            heads = ["joint", *row.modalities] if "<head>" in name else row.modalities
            names += dict.fromkeys(re.sub("<head>|<modality>", head, name) for head in heads)
    return tuple(names)


def check_references(
    table: Table, path: Path, rows: dict[str, ResolvedRow] | None, datasets: Mapping[str, Dataset]
) -> None:
    """Check that columns, expected numbers and claims name what exists.

    Raises:
        UserError: One does not, or a column fits none of the rows.
    """
    known_rows = [*table.rows, *table.combined]
    columns: dict[str, Column] = {}
    if rows is not None:
        options = _check_figure(table, path, rows, datasets)
        columns = _check_columns([*table.columns, *columns_of(options)], path, rows, datasets)
    for name, combined in table.combined.items():
        if name in table.rows:
            raise UserError(f"{path}: combined.{name}: a row has this name already; choose another")
        for row in combined.rows:
            member(path, f"combined.{name}.rows", "row", row, table.rows)
    for row, numbers in table.expected.items():
        member(path, f"expected.{row}", "row", row, known_rows)
        for column, number in numbers.items():
            member(path, f"expected.{row}.{column}", "column", column, table.columns)
            low, high = columns[column].limits if column in columns else (-LARGEST, LARGEST)
            if not (isinstance(number, int | float) and low <= number <= high):
                raise UserError(f"{path}: expected.{row}.{column}: found {number}; allowed: {low} to {high}")
    exact = [column for column in table.columns if column not in columns or columns[column].exact]
    for name, claim in table.claims.items():
        member(path, f"claims.{name}.metric", "column", claim.metric, table.columns)
        if claim.relation == "times":
            member(path, f"claims.{name}.metric", "column that no seed changes", claim.metric, exact)
        member(path, f"claims.{name}.right_metric", "column", claim.right_metric or claim.metric, table.columns)
        for side, value in (("left", claim.left), ("right", claim.right)):
            for row in [value] if isinstance(value, str) else value:
                member(path, f"claims.{name}.{side}", "row", row, known_rows)
    if table.compute is not None:
        _check_computed(table, table.compute, path)


def _check_columns(
    names: Sequence[str], path: Path, rows: Mapping[str, ResolvedRow], datasets: Mapping[str, Dataset]
) -> dict[str, Column]:
    """The columns by name, each of which fits at least one row."""
    kinds = {traits_of(row, datasets[row.dataset]) for row in rows.values()}
    columns: dict[str, Column] = {}
    for name in names:
        column = match_column(name)
        if column is None or not any(column.fits(traits) for traits in kinds):
            allowed = sorted({each for traits in kinds for each in names_of(traits)})
            raise UserError(
                f"{path}: columns: {name!r} is not a column; {nearest(name, allowed)} ({_tasks(rows, datasets)})"
            )
        columns[name] = column
    monitored = [name for name, column in columns.items() if column.monitored]
    for row_name, row in rows.items():
        if monitored and not row.training["monitor"]:
            raise UserError(
                f"{path}: rows.{row_name}: column {monitored[0]!r} needs training: {{monitor: true}} in every row"
            )
    return columns


def _tasks(rows: Mapping[str, ResolvedRow], datasets: Mapping[str, Dataset]) -> str:
    """Every dataset of the rows with its task, in words."""
    return ", ".join(f"{name} is {datasets[name].task}" for name in dict.fromkeys(row.dataset for row in rows.values()))


def _check_computed(table: Table, formula: str, path: Path) -> None:
    """Check that the formula exists, takes the options of the rows, and has the columns."""
    try:
        columns = signature.describe("formula", formula).attributes["columns"]
    except UserError as error:
        raise UserError(f"{path}: compute: {error}") from error
    for column in table.columns:
        member(path, "columns", f"column of {formula}", column, columns)
    for row, own in table.rows.items():
        arguments = {key: value for key, value in own.items() if key != "label"}
        resolve_method("formula", {formula: arguments}, f"{path}: rows.{row}")


def columns_of(options: Mapping[str, Any]) -> list[str]:
    """Names of the columns in a figure's options."""
    return [*(options.get("columns") or []), *([options["column"]] if "column" in options else [])]


def _check_figure(
    table: Table, path: Path, rows: Mapping[str, ResolvedRow], datasets: Mapping[str, Dataset]
) -> dict[str, Any]:
    """Check that a figure's kind exists and can show these rows; returns its options."""
    if table.figure is None:
        return {}
    resolve_method("figure", table.figure, f"{path}: figure")
    ((kind, options),) = signature.resolve("figure", table.figure).items()
    declared = signature.describe("figure", kind).attributes
    if len(table.rows) != 1 and not declared["several_rows"]:
        raise UserError(f"{path}: figure: {kind!r} shows one row, found {len(table.rows)}")
    if {datasets[row.dataset].task for row in rows.values()} - set(declared["tasks"]):
        raise UserError(
            f"{path}: figure: {kind!r} shows {' and '.join(declared['tasks'])} data; {_tasks(rows, datasets)}"
        )
    for name, row in rows.items():
        if declared["reads_history"] and row.combine is not None:
            raise UserError(f"{path}: rows.{name}: {kind!r} shows epochs; a row with combine has none, so leave it out")
    by_dataset: dict[str, list[str]] = {}
    for name, row in rows.items():
        by_dataset.setdefault(row.dataset, []).append(name)
    if len(by_dataset) < declared["least_datasets"]:
        raise UserError(
            f"{path}: figure: {kind!r} needs rows of {declared['least_datasets']} datasets or more, found "
            f"{len(by_dataset)} ({', '.join(by_dataset)}); 'leaderboard' takes any number"
        )
    baseline = options.get("baseline")
    if declared["over_datasets"]:
        asked = [
            *([baseline] if baseline else []),
            *(options.get("baselines") or []),
            *(options.get("references") or []),
        ]
        try:
            check_methods(asked, by_dataset)
        except UserError as error:
            raise UserError(f"{path}: figure.{kind}: {error}") from error
    elif baseline is not None:
        member(path, "figure.baseline", "row", baseline, table.rows)
        if len(table.rows) < 2 or len(by_dataset) > 1:
            raise UserError(f"{path}: figure: {kind!r} compares rows of one dataset with the baseline; give others")
    if declared["reads_probes"]:
        for name, row in rows.items():
            if row.probe is None and name != baseline:
                raise UserError(f"{path}: rows.{name}: {kind!r} shows probes; write probe: {{layers: [...]}}")
        probed = [pattern for pattern in REGISTRY if "layers" in class_of(pattern).reads]
        member(path, "figure.column", "column of probes", options["column"], probed)
        layers = sorted({layer for row in rows.values() if row.probe is not None for layer in row.probe.layers})
        branch = options["branch"]
        if branch and not any(layer.startswith(branch) for layer in layers):
            raise UserError(f"{path}: figure.branch: no layer begins with {branch!r}; {nearest(branch, layers)}")
    return options
