"""Recipes of tables and figures, and of the page that shows them."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from avbalance import registry
from avbalance.configuration import signature
from avbalance.configuration.project import Project
from avbalance.configuration.references import columns_of, traits_of
from avbalance.configuration.table_schema import Row, Table
from avbalance.planning import keys
from avbalance.planning.artifacts import Plan
from avbalance.planning.data import prepared_of
from avbalance.planning.runs import alone, layer_probes, probe_of, run_of
from avbalance.results.columns.base import find_column, places_of


def seeds(project: Project) -> list[int]:
    """The seeds in force."""
    chosen = project.settings.seeds
    if chosen is None:
        return project.scale.seeds
    return [chosen] if isinstance(chosen, int) else chosen


def table_of(plan: Plan, name: str) -> str:
    """A table or figure."""
    project, table = plan.project, plan.project.tables[name]
    scale = project.settings.scale
    settings: dict[str, Any] = {
        "table": name,
        "spec": table.model_dump(exclude_none=True, exclude={"defaults", "each"}),
        "scale": scale,
        "generated": _generated(plan, project.rows.get(name, {}).values()),
        "command": _command(project, name),
    }
    inputs: dict[str, str] = {}
    if table.compute is None:
        probes = {seed: layer_probes(plan, project.rows[name], seed) for seed in seeds(project)}
        settings["rows"] = {
            row_name: [_cell(plan, table, row_name, row, seed, probes[seed], inputs) for seed in seeds(project)]
            for row_name, row in project.rows[name].items()
        }
        for row_name, row in project.rows[name].items():
            settings["spec"]["rows"][row_name] = _shown(project, name, row_name, row)
    if table.figure is not None:
        kind = registry.parse(table.figure)[0]
        if signature.describe("figure", kind).attributes["reads_data"]:
            shown = sorted({row.dataset for row in project.rows[name].values()})
            inputs |= {f"data_{each}" if len(shown) > 1 else "data": prepared_of(plan, each) for each in shown}
        places = ["avbalance.results.figures", registry.place("figure", kind), *places_of(column_names(table))]
        return plan.add(f"figures/{scale}", name, "figure", settings, inputs, places)
    return plan.add(f"tables/{scale}", name, "table", settings, inputs, code_of_table(table.compute, table.columns))


def code_of_table(formula: str | None, columns: Collection[str]) -> list[str]:
    """Where the code of a table begins: that of its columns, or all of its formula's module."""
    own = places_of(columns) if formula is None else [registry.locate("formula", formula)[0]]
    return ["avbalance.results.tables", *own]


def column_names(table: Table) -> list[str]:
    """Columns that a table shows, or that its figure's options name."""
    if table.figure is None:
        return table.columns
    ((_, options),) = signature.resolve("figure", table.figure).items()
    return columns_of(options)


def _generated(plan: Plan, rows: Collection[Row]) -> list[str]:
    """Titles of the data sets from a generator on which rows are trained or probed, or that they start from."""
    project = plan.project
    datasets = {row.dataset for row in rows} | {row.probe.dataset or row.dataset for row in rows if row.probe}
    starts = {start for row in rows if isinstance(row.pretrained, dict) for start in row.pretrained.values()}
    raw = {
        name: plan.artifacts[prepared_of(plan, name)].recipe["inputs"]["raw"]
        for name in datasets | starts & project.datasets.keys()
    }
    made = {name for name, path in raw.items() if "generator" in plan.artifacts[path].recipe["settings"]}
    return sorted(project.datasets[name].title for name in made)


def _shown(project: Project, table: str, name: str, row: Row) -> dict[str, str]:
    """How a row is named; rows of several datasets are told apart."""
    label = row.label or name.replace("_", " ")
    if len({each.dataset for each in project.rows[table].values()}) == 1:
        return {"label": label}
    return {"label": f"{project.datasets[row.dataset].title}: {label}"}


def _cell(
    plan: Plan, table: Table, name: str, row: Row, seed: int, probes: Mapping[str, str], inputs: dict[str, str]
) -> dict[str, Any]:
    """The artifacts behind one row and seed; they are added to the table's inputs as `<row>.<seed>.<what>`."""
    modalities = row.modalities or []
    joint = len(modalities) > 1
    run = run_of(plan, row, seed)
    cell: dict[str, Any] = {"seed": seed, "run": run, "probe": None, "alone": {}}
    traits = traits_of(row, plan.project.datasets[row.dataset])
    reads = {column.reads for column in map(find_column, column_names(table)) if column.applies(traits)}
    if "probe" in reads and joint:
        cell["probe"] = probe_of(plan, run)
    if "alone" in reads and joint:
        cell["alone"] = {modality: run_of(plan, alone(row, modality), seed) for modality in modalities}
    if row.probe is not None:
        cell["layers"] = {"probe": probes[name], "layers": row.probe.layers, "moment": row.probe.moment}
    behind = {
        "run": run,
        "probe": cell["probe"],
        "layers": probes.get(name),
        **{f"alone_{m}": path for m, path in cell["alone"].items()},
    }
    inputs |= {f"{name}.{seed}.{what}": path for what, path in behind.items() if path is not None}
    return cell


def _command(project: Project, name: str) -> str:
    command = f"snakemake --cores all --config scale={project.settings.scale} tables=[{name}]"
    if project.settings.seeds is not None:
        command += f" seeds={json.dumps(seeds(project), allow_nan=False).replace(' ', '')}"
    return command


ASSETS = (".css", ".j2", ".js")
"""Files of `results/web` that count by their bytes; its Python counts as code."""


def page_of(plan: Plan, name: str, paths: list[str]) -> str:
    """The page of tables, figures and audits, with the runs that its panels show; it becomes `<name>.html`."""
    scale = plan.project.settings.scale
    web = Path(__file__).parents[1] / "results" / "web"
    settings = {
        "scale": scale,
        "web": {file.name: keys.data_hash(file) for file in sorted(web.iterdir()) if file.suffix in ASSETS},
    }
    inputs = {"/".join(Path(path).parts[1:]): path for path in paths}
    for path in paths:
        if plan.artifacts[path].folder == f"tables/{scale}":
            for cells in plan.artifacts[path].recipe["settings"].get("rows", {}).values():
                inputs |= {cell["run"].removeprefix("results/"): cell["run"] for cell in cells}
    return plan.add("page", name, "page", settings, inputs, ["avbalance.results.page"])
