"""What is done, running, failed and left, how long the rest may take, and which tables older code made.

python -m avbalance.status
python -m avbalance.status scale=laptop tables=[avmnist_table1]
"""

import argparse
import json
import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from avbalance import cli, plan, progress, store
from avbalance.artifacts import Artifact, Plan

SILENT_SECONDS = 3600
"""A step on another host that has said nothing for so long counts as failed."""


@dataclass
class State:
    """How far the artifacts of one folder are; `running` holds (name, parts done, parts in all)."""

    done: list[Artifact] = field(default_factory=list)
    running: list[tuple[str, int, int]] = field(default_factory=list)
    failed: list[tuple[str, Path]] = field(default_factory=list)
    left: list[Artifact] = field(default_factory=list)


def survey(planned: Plan) -> dict[str, State]:
    """{folder: State} of a plan's artifacts, from what lies on disk."""
    root = planned.project.root
    states: dict[str, State] = {}
    wanted = planned.wanted()
    for path, artifact in planned.artifacts.items():
        state = states.setdefault(artifact.folder, State())
        log = root / "results" / "logs" / artifact.folder / f"{artifact.name}.log"
        steps = _running(root / "results" / "resume" / artifact.name / progress.FILE)
        if steps is None and store.is_being_made(root / path):
            steps = (0, 1)
        if all((root / product).exists() for product in artifact.products) or path not in wanted:
            state.done.append(artifact)
        elif steps is not None:
            state.running.append((artifact.name, *steps))
        elif log.exists():
            state.failed.append((artifact.name, log.relative_to(root)))
        else:
            state.left.append(artifact)
    return states


def _running(file: Path) -> tuple[int, int] | None:
    """(parts done, parts in all) of a step that is alive."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if state["host"] == socket.gethostname():
        alive = store.is_alive(state["pid"])
    else:
        alive = time.time() - state["time"] < SILENT_SECONDS
    return (state["done"], state["total"]) if alive else None


def seconds_left(states: dict[str, State], planned: Plan) -> float | None:
    """Mean seconds of the finished runs and probes times those that are left, shared by the cores or GPUs; None
    where nothing has been finished yet to learn from."""
    root, total = planned.project.root, 0.0
    for folder in ("runs", "probes"):
        state = states.get(folder, State())
        waiting = len(state.left) + len(state.failed) + sum(1 - done / parts for _, done, parts in state.running)
        if waiting == 0:
            continue
        manifests = [root / artifact.path for artifact in state.done if (root / artifact.products[0]).exists()]
        if not manifests:
            return None
        seconds = [float(store.read_manifest(path)["provenance"]["seconds"]) for path in manifests]
        total += waiting * sum(seconds) / len(seconds)
    gpus = plan.num_gpus(planned.project.settings.device)
    return total / (gpus or max((os.cpu_count() or 1) // planned.project.scale.threads, 1))


def stale(root: Path) -> dict[str, dict[str, list[str]]]:
    """{scale: {table: [what differs]}} of the tables and figures that today's code would make anew."""
    found: dict[str, dict[str, list[str]]] = {}
    for scale in sorted(path.stem for path in (root / "config" / "scales").glob("*.yaml")):
        stamps: dict[str, list[Path]] = {}
        for kind in ("tables", "figures"):
            for stamp in sorted((root / "results" / kind / scale).glob("*.key")):
                stamps.setdefault(stamp.stem.rsplit(".", 1)[0], []).append(stamp)
        shown = [table for table in stamps if (root / "config" / "tables" / f"{table}.yaml").exists()]
        if not shown:
            continue
        planned = plan.make(root, {"scale": scale, "tables": shown})
        for artifact in planned.artifacts.values():
            if artifact.folder not in (f"tables/{scale}", f"figures/{scale}"):
                continue
            slug = artifact.name.rsplit(".", 1)[0]
            for stamp in stamps[slug]:
                if stamp.stem != artifact.name:
                    found.setdefault(scale, {})[slug] = _differences(planned, artifact, stamp)
    return found


def _differences(planned: Plan, artifact: Artifact, stamp: Path) -> list[str]:
    """One line each: a module whose hash differs, or a setting, in the recipes of the table and of its inputs."""
    lines: list[str] = []
    waiting = [(json.loads(stamp.read_text(encoding="utf-8")), artifact.recipe)]
    seen: set[str] = set()
    while waiting:
        old, new = waiting.pop()
        lines += _compare(old, new)
        for role, path in new["inputs"].items():
            before, after = (given.replace("/weights/", "/runs/") for given in (old["inputs"].get(role, path), path))
            manifest = planned.project.root / before / store.MANIFEST
            if before != after and before not in seen and manifest.exists():
                seen.add(before)
                waiting.append((store.read_manifest(manifest.parent)["recipe"], planned.artifacts[after].recipe))
    return sorted(set(lines)) or ["its rows, seeds or settings"]


def _compare(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, after = old.get("code", {}), new["code"]
    lines = [
        f"'{code}': {repr(before[module]) if module in before else 'null'}  # {module}"
        for module, code in after.items()
        if before.get(module) != code
    ]
    lines += [f"module {module} is no longer used" for module in before if module not in after]
    for name, value in new["settings"].items():
        if name not in ("rows", "spec", "command") and old.get("settings", {}).get(name, value) != value:
            lines.append(f"setting {name}: {old['settings'][name]!r} -> {value!r}")
    return lines


def main() -> None:
    """Command line of the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=laptop tables=[...]")
    arguments = parser.parse_args()
    root = Path()
    planned = plan.make(root, plan.parse_overrides(arguments.config))
    states = survey(planned)
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=f"scale {planned.project.settings.scale}", title_justify="left")
    for column in ("", "done", "running", "failed", "left"):
        table.add_column(column, justify="left" if column == "" else "right")
    for folder, state in states.items():
        counts = (len(state.done), len(state.running), len(state.failed), len(state.left))
        table.add_row(folder, *map(str, counts))
    console.print(table)
    for state in states.values():
        for name, done, parts in state.running:
            console.print(f"running  {name}: {done} of at most {parts}")
        for name, log in state.failed:
            console.print(f"failed   {name}: see {log}")
    if cached := planned.cached_elsewhere():
        console.print(f"{len(cached)} artifacts are cached, not pulled: dvc pull")
    seconds = seconds_left(states, planned)
    if seconds:
        console.print(f"about {seconds / 60:.0f} min left")
    outdated = stale(root)
    for scale, tables in outdated.items():
        for name, lines in tables.items():
            console.print(f"older code made results/*/{scale}/{name}; since then:")
            for line in lines:
                console.print(f"    {line}")
    if outdated:
        console.print("If such an edit changes no number, its line belongs into config/equivalent_code.yaml.")
    else:
        console.print("no table was made by older code")


if __name__ == "__main__":
    cli.run(main)
