"""What tables speak of - columns, rows, figures - is there."""

import re
from collections.abc import Mapping
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

LISTED = re.compile(r"^(best_test_)?(eer|min_dcf|min_dcf05)_\w+$")
"""A column of one list of trials."""
PERCENT = re.compile(r"(best_test_)?(top5|video_\w+|map|mauc|eer\w*)|(acc|map)_\w+|\w*(error|accuracy)|fallback")
SIGNED = re.compile(r"shapley_\w+|weight_\w+|ogr_\w+")
EXACT = ("gflops", "parameters")
"""Columns of the model, which no seed changes."""
OF_LAYERS = [f"probe_{figure}" for figure in ("error", "top5_error", "loss")] + [
    f"probe_{split}_{figure}" for split in ("val", "train") for figure in ("error", "loss")
]
"""The columns of rows with `probe`."""
OF_A_STREAM = ("norm_growth", "angle_mean", "angle_deviation")
"""Followed by a modality: columns of heads with a weight for each class."""


def _columns(dataset: Dataset, modalities: list[str]) -> list[str]:
    """The columns that a data set's task has; `<list>` stands for the name of a list of trials."""
    names = [
        "gflops",
        "parameters",
        "train_seconds",
        "peak_memory",
        "fallback",
        *(f"{what}_{head}" for what in ("weight", "ogr") for head in ("joint", *modalities)),
    ]
    if dataset.task == "verification":
        figures = [name + ending for name in ("eer", "min_dcf", "min_dcf05") for ending in ("", "_<list>")]
        return [*figures, "best_test_eer_<list>", "best_test_min_dcf_<list>", *names]
    measure = "map" if dataset.task == "multi_label" else "acc"
    names += ["train_loss", "best_epoch", "loss_fluctuation"]
    if dataset.task == "single_label":
        names += ["error", "train_accuracy", "val_accuracy", "super_epoch_accuracy", "super_epoch_naive_accuracy"]
        names += [f"{what}_{modality}" for what in OF_A_STREAM for modality in modalities]
    figures = ["map", "mauc"] if dataset.task == "multi_label" else ["accuracy", "top5"]
    if dataset.task == "single_label" and dataset.prepare is not None:
        figures += ["video_accuracy", "video_top5"]
    names += [f"{measure}_{modality}_{kind}" for modality in modalities for kind in ("alone", "masked", "probe")]
    if dataset.task == "single_label":
        names += ["alone_gap", "masked_gap", "probe_gap", *(f"shapley_{modality}" for modality in modalities)]
    return [*figures, *(f"best_test_{figure}" for figure in figures if "top5" not in figure), "loss", *names]


def check_references(
    table: Table, path: Path, rows: dict[str, ResolvedRow] | None, datasets: Mapping[str, Dataset]
) -> None:
    """Columns, expected numbers and claims name what exists; a column, for the task of at least one row's data set."""
    shown = [*table.rows, *table.combined]
    if rows is not None:
        modalities = sorted({modality for row in rows.values() for modality in row.modalities})
        used = {row.dataset: datasets[row.dataset] for row in rows.values()}
        allowed = [column for dataset in used.values() for column in _columns(dataset, modalities)]
        if any(row.probe for row in rows.values()):
            allowed += OF_LAYERS
        tasks = ", ".join(f"{name} is {dataset.task}" for name, dataset in used.items())
        options = _check_figure(table, path, rows, {dataset.task for dataset in used.values()}, tasks)
        for column in [*table.columns, *columns_of(options)]:
            if LISTED.sub(r"\1\2_<list>", column) not in allowed:
                raise UserError(f"{path}: columns: {column!r} is not a column; {nearest(column, allowed)} ({tasks})")
    watched = [column for column in table.columns if column.startswith("best_test_")]
    for name, trained in (rows or {}).items():
        if watched and not trained.training["monitor"]:
            raise UserError(
                f"{path}: rows.{name}: column {watched[0]!r} needs training: {{monitor: true}} in every row"
            )
    for name, combined in table.combined.items():
        if name in table.rows:
            raise UserError(f"{path}: combined.{name}: a row has this name already; choose another")
        for row in combined.rows:
            member(path, f"combined.{name}.rows", "row", row, table.rows)
    for row, numbers in table.expected.items():
        member(path, f"expected.{row}", "row", row, shown)
        for column, number in numbers.items():
            member(path, f"expected.{row}.{column}", "column", column, table.columns)
            low, high = _limits(column) if table.compute is None else (-LARGEST, LARGEST)
            if not (isinstance(number, int | float) and low <= number <= high):
                raise UserError(f"{path}: expected.{row}.{column}: found {number}; allowed: {low} to {high}")
    exact = [column for column in table.columns if table.compute is not None or column in EXACT]
    for name, claim in table.claims.items():
        member(path, f"claims.{name}.metric", "column", claim.metric, table.columns)
        if claim.relation == "times":
            member(path, f"claims.{name}.metric", "column that no seed changes", claim.metric, exact)
        member(path, f"claims.{name}.right_metric", "column", claim.right_metric or claim.metric, table.columns)
        for side, value in (("left", claim.left), ("right", claim.right)):
            for row in [value] if isinstance(value, str) else value:
                member(path, f"claims.{name}.{side}", "row", row, shown)
    if table.compute is not None:
        _check_computed(table, table.compute, path)


def _check_computed(table: Table, formula: str, path: Path) -> None:
    """The formula exists, takes what its rows give, and has the columns."""
    try:
        columns = signature.describe("formula", formula).attributes["columns"]
    except UserError as error:
        raise UserError(f"{path}: compute: {error}") from error
    for column in table.columns:
        member(path, "columns", f"column of {formula}", column, columns)
    for row, own in table.rows.items():
        arguments = {key: value for key, value in own.items() if key != "label"}
        resolve_method("formula", {formula: arguments}, f"{path}: rows.{row}")


def _limits(column: str) -> tuple[int, int]:
    """The least and the largest value of a column."""
    if SIGNED.fullmatch(column):
        return -LARGEST, LARGEST
    return 0, 100 if PERCENT.fullmatch(column) or column.endswith("_gap") else LARGEST


def columns_of(options: Mapping[str, Any]) -> list[str]:
    """The columns that a figure's options name."""
    return [*options.get("columns", []), *([options["column"]] if "column" in options else [])]


def _check_figure(
    table: Table, path: Path, rows: Mapping[str, ResolvedRow], used: set[str], tasks: str
) -> dict[str, Any]:
    """A figure's kind exists and can show these rows; returns its options, rows and layers among which exist."""
    if table.figure is None:
        return {}
    resolve_method("figure", table.figure, f"{path}: figure")
    ((kind, options),) = signature.resolve("figure", table.figure).items()
    declared = signature.describe("figure", kind).attributes
    if len(table.rows) != 1 and not declared["several_rows"]:
        raise UserError(f"{path}: figure: {kind!r} shows one row, found {len(table.rows)}")
    if used - set(declared["tasks"]):
        raise UserError(f"{path}: figure: {kind!r} shows {' and '.join(declared['tasks'])} data; {tasks}")
    baseline = options.get("baseline")
    if baseline is not None:
        member(path, "figure.baseline", "row", baseline, table.rows)
        if len(table.rows) < 2 or len({row.dataset for row in rows.values()}) > 1:
            raise UserError(f"{path}: figure: {kind!r} compares rows of one data set with the baseline; give others")
    if declared["reads_probes"]:
        for name, row in rows.items():
            if row.probe is None and name != baseline:
                raise UserError(f"{path}: rows.{name}: {kind!r} shows probes; write probe: {{layers: [...]}}")
        member(path, "figure.column", "column of probes", options["column"], OF_LAYERS)
        layers = sorted({layer for row in rows.values() if row.probe is not None for layer in row.probe.layers})
        branch = options["branch"]
        if branch and not any(layer.startswith(branch) for layer in layers):
            raise UserError(f"{path}: figure.branch: no layer begins with {branch!r}; {nearest(branch, layers)}")
    return options
