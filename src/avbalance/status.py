"""Progress of the workflow: artifacts done, running, failed and left, time left, and outdated tables.

avbalance status
avbalance status --watch
avbalance status scale=laptop tables=[avmnist_table1]
"""

import argparse
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from avbalance import cli, pace, plan, progress, store
from avbalance.planning import outdated
from avbalance.planning.artifacts import Artifact, Plan

SILENT_SECONDS = 3600
"""A step on another host counts as failed if it has reported nothing for so long."""
WATCH_SECONDS = 2


@dataclass
class State:
    """States of one folder's artifacts.

    Attributes:
        not_needed: Absent, but everything that is made from them exists.
        running: (artifact, parts done, parts in all).
    """

    done: list[Artifact] = field(default_factory=list)
    not_needed: list[Artifact] = field(default_factory=list)
    running: list[tuple[Artifact, int, int]] = field(default_factory=list)
    failed: list[Artifact] = field(default_factory=list)
    left: list[Artifact] = field(default_factory=list)


def survey(planned: Plan) -> dict[str, State]:
    """{folder: State} of a plan's artifacts, read from the disk."""
    root = planned.project.root
    states: dict[str, State] = {}
    wanted, jobs = planned.wanted(), pace.running_jobs(root)
    for path, artifact in planned.artifacts.items():
        state = states.setdefault(artifact.folder, State())
        steps = _running(root / "results" / "resume" / artifact.name / progress.FILE)
        if steps is None and (store.is_being_made(root / path) or not jobs.isdisjoint(artifact.products.values())):
            steps = (0, 1)
        if planned.is_there(artifact) or (path not in wanted and planned.exists(artifact.product)):
            state.done.append(artifact)
        elif path not in wanted:
            state.not_needed.append(artifact)
        elif steps is not None:
            state.running.append((artifact, *steps))
        elif (root / artifact.log).exists() and planned.broken.isdisjoint(artifact.products.values()):
            state.failed.append(artifact)
        else:
            state.left.append(artifact)
    return states


def _running(file: Path) -> tuple[int, int] | None:
    """(parts done, parts in all) of a step that is alive; None without a file or with a damaged one."""
    try:
        state = json.loads(file.read_text(encoding="utf-8"))
        if state["host"] == socket.gethostname():
            alive = store.is_alive(state["pid"])
        else:
            alive = time.time() - state["time"] < SILENT_SECONDS
        return (state["done"], state["total"]) if alive else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def waiting(planned: Plan, states: Mapping[str, State]) -> dict[Artifact, float]:
    """{artifact: share that is left} of the work of the running workflow, or of the next one."""
    is_retried = pace.running_workflow(planned.project.root) is None  # a workflow tries nothing twice
    shares: dict[Artifact, float] = {}
    for state in states.values():
        shares |= dict.fromkeys(state.left, 1.0)
        shares |= {artifact: 1 - done / parts for artifact, done, parts in state.running}
        shares |= dict.fromkeys(state.failed if is_retried else (), 1.0)
    return shares


def time_left(planned: Plan, states: Mapping[str, State]) -> str:
    """One line about the time left; empty if nothing is left."""
    seconds, unknown = pace.seconds_left(planned, waiting(planned, states))
    apart = f"not counting {', '.join(unknown)}, of which none has finished yet" if unknown else ""
    if not seconds:
        return f"time left: unknown, {apart}" if unknown else ""
    return ", ".join(filter(None, [f"about {max(seconds / 60, 1):.0f} min left", apart]))


def stale(root: Path) -> dict[str, dict[str, list[str]]]:
    """{scale: {table: a line for each difference}} of the tables and figures that today's code would rebuild."""
    outdated_tables = {}
    for scale in sorted(path.stem for path in (root / "config" / "scales").glob("*.yaml")):
        stamps = outdated.stamps_of(root, scale)
        tables = [table for table in stamps if (root / "config" / "tables" / f"{table}.yaml").exists()]
        planned = plan.make(root, {"scale": scale, "tables": tables}) if tables else None
        if planned and (differences := outdated.differences(planned, stamps)):
            outdated_tables[scale] = differences
    return outdated_tables


def draw(planned: Plan, states: Mapping[str, State]) -> Group:
    """Draw the report as `main` prints it."""
    table = Table(title=f"scale {planned.project.settings.scale}", title_justify="left")
    for column in ("", "done", "not needed", "running", "failed", "left"):
        table.add_column(column, justify="left" if column == "" else "right")
    lines = []
    for folder, state in states.items():
        counts = (state.done, state.not_needed, state.running, state.failed, state.left)
        table.add_row(folder, *(str(len(each)) for each in counts))
        for artifact, done, parts in state.running:
            lines.append(f"running  {artifact.name}" + (f": {done} of at most {parts}" if parts > 1 else ""))
        lines += [f"failed   {artifact.name}: see {artifact.log}" for artifact in state.failed]
    lines += [*planned.notes(), *filter(None, [time_left(planned, states)])]
    return Group(table, *(Text(line, no_wrap=True, overflow="ignore") for line in lines))


def watch(planned: Plan, console: Console) -> None:
    """Redraw the report until nothing is left or the running workflow has ended."""
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
    parser.add_argument("--watch", action="store_true", help="redraw until nothing is left; Ctrl-C ends it")
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
    stale_tables = stale(root)
    for scale, tables in stale_tables.items():
        for name, lines in tables.items():
            console.print(f"results/*/{scale}/{name} is older than:")
            for line in lines:
                console.print(f"    {line}")
    if stale_tables:
        console.print("'snakemake --cores all' rebuilds them")
    else:
        console.print("all tables and figures are up to date")


if __name__ == "__main__":
    cli.run(main)
