"""Recipes of tables and figures, and of the page that shows them."""

import json
import shlex
from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import combinations
from pathlib import Path
from typing import Any

from avbalance import registry
from avbalance.configuration import signature
from avbalance.configuration.project import Project
from avbalance.configuration.references import columns_of, traits_of
from avbalance.configuration.resolved import ResolvedRow
from avbalance.configuration.table_schema import Table
from avbalance.errors import UserError
from avbalance.planning import keys
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.data import data_of, is_own, prepared_of, raw_of
from avbalance.planning.runs import SEEDS_APART, TUNING_SEED, layer_probes, probe_of, run_of, tuned_of
from avbalance.results.columns.base import find_column, places_of


def seeds_of(project: Project, table: str) -> list[int]:
    """Seeds of the rows of a table."""
    chosen = project.settings.seeds
    if chosen is None:
        by_pattern = (seeds for pattern, seeds in project.scale.seeds_of.items() if fnmatchcase(table, pattern))
        return next(by_pattern, project.scale.seeds)
    return [chosen] if isinstance(chosen, int) else chosen


def table_of(plan: Plan, name: str) -> Artifact:
    """Table or figure."""
    project, table = plan.project, plan.project.tables[name]
    scale, datasets = project.shelf, _datasets(project.rows.get(name, {}).values())
    settings: dict[str, Any] = {
        "table": name,
        "spec": table.model_dump(exclude_none=True, exclude={"defaults", "each", "rows_of", "part"}),
        "scale": scale,
        "generated": _generated(plan, datasets),
        "command": _command(project, name),
    }
    inputs: dict[str, str] = {}
    _mark_own(plan, datasets, settings, inputs)
    seeds = seeds_of(project, name)
    if table.compute is None:
        tuned = {row_name: tuned_of(plan, row).path for row_name, row in project.rows[name].items() if row.trials}
        if tuned:
            _check_tuning_seed(seeds)
            settings["tuned"] = tuned
            inputs |= {f"{row}.tuned": path for row, path in tuned.items()}
        probes = {seed: layer_probes(plan, project.rows[name], seed) for seed in seeds}
        settings["rows"] = {
            row_name: _cells(plan, table, row_name, row, probes, inputs) for row_name, row in project.rows[name].items()
        }
        settings["spec"]["rows"] |= {row: {"label": label} for row, label in _labels(project, name).items()}
    if table.figure is not None:
        kind = registry.parse(table.figure)[0]
        if signature.describe("figure", kind).attributes["reads_data"]:
            for row in project.rows[name].values():
                read = data_of(plan, row.dataset, row.modalities)
                inputs |= {f"{row.dataset}_{role}": path for role, path in read.items()}
        places = ["avbalance.results.figures:run", registry.place("figure", kind), *places_of(column_names(table))]
        return plan.add(f"figures/{scale}", name, "figure", settings, inputs, places)
    return plan.add(f"tables/{scale}", name, "table", settings, inputs, code_of_table(table.compute, table.columns))


def code_of_table(formula: str | None, columns: Collection[str]) -> list[str]:
    """Where the code of a table begins: that of its columns, or all of its formula's module."""
    own = places_of(columns) if formula is None else [registry.locate("formula", formula)[0]]
    return ["avbalance.results.tables:run", *own]


def column_names(table: Table) -> list[str]:
    """Columns that a table shows, or that its figure's options name."""
    if table.figure is None:
        return table.columns
    ((_, options),) = signature.resolve("figure", table.figure).items()
    return columns_of(options)


def _datasets(rows: Collection[ResolvedRow]) -> dict[str, str]:
    """{dataset on which rows are trained or probed, or that they start from: the first modality read of it}."""
    read = [(row.dataset, row.modalities[0]) for row in rows]
    read += [(row.probe.dataset, row.probe.modality) for row in rows if row.probe]
    starts = [start for row in rows for start in row.starts.values() if not isinstance(start, str)]
    read += [(start.dataset, start.modalities[0]) for start in starts]
    first: dict[str, str] = {}
    for dataset, modality in sorted(read):
        first.setdefault(dataset, modality)
    return first


def _generated(plan: Plan, datasets: Iterable[str]) -> list[str]:
    """Titles of the datasets from a generator."""
    raw = {name: raw_of(plan, name) for name in datasets}
    return sorted(plan.project.datasets[name].title for name, each in raw.items() if "generator" in each.settings)


def _mark_own(plan: Plan, datasets: Mapping[str, str], settings: dict[str, Any], inputs: dict[str, str]) -> None:
    """Name the user's own copies, and take out the paper's numbers and claims, which do not speak of these clips."""
    own = {name: prepared_of(plan, name, read).path for name, read in datasets.items() if is_own(plan, name)}
    if own:
        settings["own"] = {plan.project.datasets[name].title: path for name, path in own.items()}
        settings["spec"] |= {"expected": {}, "claims": {}}
        inputs |= {f"own_{name}": path for name, path in own.items()}


def _labels(project: Project, table: str) -> dict[str, str]:
    """{row: its label}; in a table of several datasets a label begins with the dataset."""
    rows = project.rows[table]
    if len({row.dataset for row in rows.values()}) == 1:
        return {name: row.label for name, row in rows.items()}
    return {name: f"{project.datasets[row.dataset].title}: {row.label}" for name, row in rows.items()}


def _cells(
    plan: Plan,
    table: Table,
    name: str,
    row: ResolvedRow,
    probes: Mapping[int, Mapping[str, Artifact]],
    inputs: dict[str, str],
) -> list[dict[str, Any]]:
    """Artifacts behind one row with each seed; they are added to the table's inputs as `<row>.<seed>.<role>`.

    Args:
        probes: {seed: {row: its probes of layers}}.
    """
    is_joint = len(row.modalities) > 1
    (fusion,) = row.methods["fusion"]
    joins_stages = signature.describe("fusion", fusion).attributes["joins_stages"]  # no encoder stands alone
    traits = traits_of(row, plan.project.datasets[row.dataset])
    columns = [column for column in map(find_column, column_names(table)) if column.applies(traits)]
    reads = {role for column in columns for role in column.reads}
    alone = {modality: row.alone(modality) for modality in row.modalities if "alone" in reads and is_joint}
    if row.combine is not None and row.combine.members != "alone":
        _check_apart(list(probes))
    cells = []
    for seed in probes:
        run = run_of(plan, row, seed)
        cell: dict[str, Any] = {"seed": seed, "run": run.path, "probe": None, "alone": {}}
        if "probe" in reads and is_joint and not joins_stages:
            cell["probe"] = probe_of(plan, run).path
        cell["alone"] = {modality: run_of(plan, each, seed).path for modality, each in alone.items()}
        if row.probe is not None:
            probe = probes[seed][name].path
            cell["layers"] = {"probe": probe, "layers": row.probe.layers, "snapshot": row.probe.snapshot}
        behind = {
            "run": run.path,
            "probe": cell["probe"],
            "layers": cell["layers"]["probe"] if "layers" in cell else None,
            **{f"alone_{modality}": path for modality, path in cell["alone"].items()},
        }
        inputs |= {f"{name}.{seed}.{role}": path for role, path in behind.items() if path is not None}
        cells.append(cell)
    return cells


def _check_apart(seeds: list[int]) -> None:
    """Refuse seeds with which two ensembles of further seeds would share a member."""
    for first, second in combinations(seeds, 2):
        if (second - first) % SEEDS_APART == 0:
            raise UserError(
                f"seeds: {first} and {second} differ by a multiple of {SEEDS_APART}, and an ensemble takes such seeds "
                "for its members; choose others"
            )


def _check_tuning_seed(seeds: list[int]) -> None:
    """Refuse the seed of trials, whose runs a choice rests on."""
    if TUNING_SEED in seeds:
        raise UserError(
            f"seeds: {TUNING_SEED} is the seed of the trials by which rows are tuned; choose another for the table"
        )


def _command(project: Project, name: str) -> str:
    outside = project.outside_tables.get(name)
    tables = f"tables=[{name}]" if outside is None else shlex.quote(f"tables=[{outside}]")
    command = f"snakemake --cores all --config scale={project.settings.scale} {tables}"
    command += " copy=own" if project.is_own else ""
    if project.settings.seeds is not None:
        command += f" seeds={json.dumps(seeds_of(project, name), allow_nan=False).replace(' ', '')}"
    return command


ASSETS = (".css", ".j2", ".js")
"""Files of `results/web` that count by their bytes; its Python counts as code."""


def page_of(plan: Plan, name: str, shown: list[Artifact]) -> Artifact:
    """Page of tables, figures and audits, with the runs that its panels show; it becomes `<name>.html`."""
    scale = plan.project.shelf
    web = Path(__file__).parents[1] / "results" / "web"
    assets = [file for file in sorted(web.iterdir()) if file.suffix in ASSETS]
    template = plan.project.root / "config" / "findings" / f"{scale}.md"
    settings = {
        "scale": scale,
        "web": {file.name: keys.data_hash(file) for file in assets},
        "order": plan.project.settings.page_order,
        "findings": template.read_text(encoding="utf-8") if template.exists() else "",
    }
    inputs = {f"{artifact.folder}/{artifact.name}": artifact.path for artifact in shown}
    for artifact in shown:
        if artifact.kind == "tables":
            for cells in artifact.settings.get("rows", {}).values():
                inputs |= {cell["run"].removeprefix("results/"): cell["run"] for cell in cells}
    return plan.add("page", name, "page", settings, inputs, ["avbalance.results.page:run"])
