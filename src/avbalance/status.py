"""What is done, running, failed and left, how long the rest may take, and which tables older code made.

python -m avbalance.status
python -m avbalance.status --watch
python -m avbalance.status scale=laptop tables=[avmnist_table1]
"""

import argparse
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from avbalance import cli, pace, plan, progress, store
from avbalance.planning.artifacts import Artifact, Plan

SILENT_SECONDS = 3600
"""A step on another host that has said nothing for so long counts as failed."""
WATCH_SECONDS = 2


@dataclass
class State:
    """The states of one folder's artifacts.

    Attributes:
        not_needed: Neither here nor needed: whatever was made from them is here.
        running: (name, parts done, parts in all).
        failed: (name, log).
    """

    done: list[Artifact] = field(default_factory=list)
    not_needed: list[Artifact] = field(default_factory=list)
    running: list[tuple[str, int, int]] = field(default_factory=list)
    failed: list[tuple[str, Path]] = field(default_factory=list)
    left: list[Artifact] = field(default_factory=list)


def survey(planned: Plan) -> dict[str, State]:
    """{folder: State} of a plan's artifacts, from what lies on disk."""
    root = planned.project.root
    states: dict[str, State] = {}
    wanted, jobs = planned.wanted(), pace.running_jobs(root)
    for path, artifact in planned.artifacts.items():
        state = states.setdefault(artifact.folder, State())
        log = root / "results" / "logs" / artifact.folder / f"{artifact.name}.log"
        steps = _running(root / "results" / "resume" / artifact.name / progress.FILE)
        if steps is None and (store.is_being_made(root / path) or not jobs.isdisjoint(artifact.products)):
            steps = (0, 1)
        if planned.is_there(artifact) or (path not in wanted and planned.exists(artifact.products[0])):
            state.done.append(artifact)
        elif path not in wanted:
            state.not_needed.append(artifact)
        elif steps is not None:
            state.running.append((artifact.name, *steps))
        elif log.exists() and planned.broken.isdisjoint(artifact.products):
            state.failed.append((artifact.name, log.relative_to(root)))
        else:
            state.left.append(artifact)
    return states


def _running(file: Path) -> tuple[int, int] | None:
    """(parts done, parts in all) of a step that is alive; None where there is no such file, or a damaged one."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["host"] == socket.gethostname():
            alive = store.is_alive(state["pid"])
        else:
            alive = time.time() - state["time"] < SILENT_SECONDS
        return (state["done"], state["total"]) if alive else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def waiting(planned: Plan, states: Mapping[str, State]) -> dict[str, dict[str, float]]:
    """{folder: {name: share that is left}} of what the workflow that runs, or the next one, will do."""
    retried = pace.running_workflow(planned.project.root) is None  # a workflow tries nothing twice
    return {
        folder: {artifact.name: 1.0 for artifact in state.left}
        | {name: 1 - done / parts for name, done, parts in state.running}
        | {name: 1.0 for name, _ in state.failed if retried}
        for folder, state in states.items()
    }


def time_left(planned: Plan, states: Mapping[str, State]) -> str:
    """One line; empty where nothing is left."""
    seconds, unknown = pace.seconds_left(planned, waiting(planned, states))
    apart = f"not counting {', '.join(unknown)}, of which none has finished yet" if unknown else ""
    if not seconds:
        return f"time left: unknown, {apart}" if unknown else ""
    return f"about {max(seconds / 60, 1):.0f} min left" + f", {apart}" * bool(unknown)


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
    """One line for each step whose code differs and each setting that differs, of the table and of its inputs."""
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
    lines = [f"the code of step {new['step']}"] if old.get("code") != new["code"] else []
    for name, value in new["settings"].items():
        if name not in ("rows", "spec", "command") and old.get("settings", {}).get(name, value) != value:
            lines.append(f"setting {name}: {old['settings'][name]!r} -> {value!r}")
    return lines


def draw(planned: Plan, states: Mapping[str, State]) -> Group:
    """The report as `main` prints it."""
    table = Table(title=f"scale {planned.project.settings.scale}", title_justify="left")
    for column in ("", "done", "not needed", "running", "failed", "left"):
        table.add_column(column, justify="left" if column == "" else "right")
    lines = []
    for folder, state in states.items():
        counts = (state.done, state.not_needed, state.running, state.failed, state.left)
        table.add_row(folder, *(str(len(each)) for each in counts))
        for name, done, parts in state.running:
            lines.append(f"running  {name}" + f": {done} of at most {parts}" * (parts > 1))
        lines += [f"failed   {name}: see {log}" for name, log in state.failed]
    lines += [*planned.notes(), *filter(None, [time_left(planned, states)])]
    return Group(table, *(Text(line, no_wrap=True, overflow="ignore") for line in lines))


def watch(planned: Plan, console: Console) -> None:
    """Draw it anew until nothing is left, or the workflow that ran has ended."""
    was_running = False
    with Live(console=console, auto_refresh=False) as live:
        while True:
            states = survey(planned)
            live.update(draw(planned, states), refresh=True)
            is_running = pace.running_workflow(planned.project.root) is not None
            if (was_running and not is_running) or not any(state.running or state.left for state in states.values()):
                return
            was_running |= is_running
            time.sleep(WATCH_SECONDS)


def main() -> None:
    """Command line of the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--watch", action="store_true", help="draw it anew until nothing is left; Ctrl-C ends it")
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=laptop tables=[...]")
    arguments = parser.parse_args()
    root = Path()
    planned = plan.make(root, plan.parse_overrides(arguments.config))
    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    if arguments.watch:
        with suppress(KeyboardInterrupt):
            watch(planned, console)
        return
    console.print(draw(planned, survey(planned)))
    outdated = stale(root)
    for scale, tables in outdated.items():
        for name, lines in tables.items():
            console.print(f"results/*/{scale}/{name} is older than:")
            for line in lines:
                console.print(f"    {line}")
    if outdated:
        console.print("'snakemake --cores all' makes them anew")
    else:
        console.print("all tables and figures are up to date")


if __name__ == "__main__":
    cli.run(main)
