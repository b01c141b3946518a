"""From the configuration to the recipes of all artifacts; needs no data on disk and no torch.

raw -> selections -> prep -> runs + weights -> combined, blends, tuned, probes -> tables, figures -> page
"""

import argparse
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from avbalance import bundles, cli
from avbalance.configuration.project import Project, read_project
from avbalance.configuration.schema import Settings
from avbalance.errors import UserError
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.data import audit_of
from avbalance.planning.missing import explain
from avbalance.planning.tables import page_of, table_of


def make(root: Path, overrides: Mapping[str, Any]) -> Plan:
    """Make the plan of the configuration below `root`; `overrides` replace values of `config.yaml`.

    What exists in bundles alone is unpacked.

    Raises:
        UserError: The configuration is wrong, or a bundle is damaged.
    """
    project = read_project(root, overrides)
    plan = Plan(project, unpacked=bundles.unpack(root))
    if project.settings.datasets is not None:
        chosen = project.settings.datasets
        targets = [audit_of(plan, name) for name in ([chosen] if isinstance(chosen, str) else chosen)]
        _require(plan, targets, "datasets")
    else:
        targets = _shown(plan)
    plan.targets = [artifact.product for artifact in targets]
    return plan


def for_snakemake(config: Mapping[str, Any], sources: str) -> Plan:
    """Plan of a workflow, whose notes are printed; a wrong configuration ends the process with one line.

    Turns garbage collection off until the workflow starts: the plan and Snakemake's jobs are millions of objects that
    all stay, and looking for garbage among them takes a third of the time.

    Args:
        config: Snakemake's, the overrides of `config.yaml`.
        sources: Folder of the code that steps run.
    """
    gc.disable()
    try:
        cli.choose_sources(sources)
        plan = make(Path(), config)
        plan.check()
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    for line in plan.notes():
        print(line, file=sys.stderr)
    return plan


def _shown(plan: Plan) -> list[Artifact]:
    """Tables that were asked for, the audits of their data, and the page of both.

    A table that only the scale asks for is left out if it waits for files.
    """
    settings, all_of_scale = plan.project.settings, plan.project.scale.tables
    tables = {name: table_of(plan, name) for name in asked(plan.project)}
    if settings.tables not in (None, "all", all_of_scale):
        _require(plan, tables.values(), "tables")
        page = page_name(plan.project.shelf, list(tables))
    else:
        lacking = plan.lacking(tables.values())
        plan.left_out = sorted({name for files, names in lacking.items() for name in names if files.lists})
        plan.postponed = explain(lacking, "tables", len(tables)) if lacking else ""
        page = plan.project.shelf
    shown = [table for name, table in tables.items() if name not in plan.left_out]
    behind = plan.behind(shown)
    plan.artifacts = {path: artifact for path, artifact in plan.artifacts.items() if artifact in behind}
    plan.prepared = {
        name: used
        for name, prepared in plan.prepared.items()
        if (used := {modality: artifact for modality, artifact in prepared.items() if artifact in behind})
    }
    audits = [audit_of(plan, name, plan.prepared[name]) for name in sorted(plan.prepared)]
    return [*shown, page_of(plan, page, [*shown, *audits]), *audits] if shown else []


def asked(project: Project) -> list[str]:
    """Names of the tables that were asked for."""
    names = project.scale.tables if project.settings.tables is None else project.settings.tables
    return list(project.tables) if names == "all" else [names] if isinstance(names, str) else names


def _require(plan: Plan, artifacts: Collection[Artifact], kind: str) -> None:
    """Refuse to go on if what was asked for by name waits for lists; note files that are only to be brought."""
    if lacking := plan.lacking(artifacts):
        plan.postponed = explain(lacking, kind, len(artifacts))
        if any(files.lists for files in lacking):
            raise UserError(plan.postponed)


def page_name(scale: str, tables: list[str]) -> str:
    """Name of the page of some tables, which lies beside the page of the whole scale."""
    named = tables if len(tables) <= 3 else [tables[0], f"and-{len(tables) - 1}-more"]
    return "--".join([scale, *named])


def num_gpus(settings: Settings) -> int:
    """Number of GPUs that the steps of a workflow on this machine use at once."""
    if settings.device == "cpu":
        return 0
    if settings.gpus != "auto":
        return settings.gpus
    if shutil.which("nvidia-smi") is None:
        return 0
    devices = subprocess.run(["nvidia-smi", "-L"], capture_output=True, encoding="utf-8", check=False).stdout
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = (
        devices.count("GPU ")
        if visible is None
        else len([name for name in visible.split(",") if name and name != "-1"])
    )
    return min(count, 1) if ":" in settings.device else count


def main() -> None:
    """Print the folders of a plan's artifacts that exist, for `dvc add`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=laptop tables=[...]")
    arguments = parser.parse_args()
    plan = make(Path(), parse_overrides(arguments.config))
    for artifact in plan.artifacts.values():
        for path, product in artifact.products.items():
            if not artifact.is_stamped and Path(product).exists():
                print(path)


def parse_overrides(items: list[str]) -> dict[str, Any]:
    """Parse `key=value` words, as after `snakemake --config`."""
    return {name: yaml.safe_load(value) for name, _, value in (item.partition("=") for item in items)}


if __name__ == "__main__":
    cli.run(main)
