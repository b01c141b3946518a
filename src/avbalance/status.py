"""Progress of the workflow: artifacts done, running, failed and left, time left, and outdated tables.

avbalance status
avbalance status --watch
avbalance status scale=laptop tables=[avmnist_table1]
"""

import argparse
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console, Group, OverflowMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from avbalance import cli, owners, pace, plan, progress
from avbalance.planning import outdated
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.progress import Parts

WATCH_SECONDS = 2


@dataclass
class State:
    """States of one folder's artifacts.

    Attributes:
        not_needed: Absent, but everything that is made from them exists.
        running: (artifact, its parts that are done); None for a step that has not counted any yet.
    """

    done: list[Artifact] = field(default_factory=list)
    not_needed: list[Artifact] = field(default_factory=list)
    running: list[tuple[Artifact, Parts | None]] = field(default_factory=list)
    failed: list[Artifact] = field(default_factory=list)
    left: list[Artifact] = field(default_factory=list)


def survey(planned: Plan) -> dict[str, State]:
    """{folder: State} of a plan's artifacts, read from the disk."""
    root = planned.project.root
    states: dict[str, State] = {}
    wanted, jobs, workflow = planned.wanted(), pace.running_jobs(root), pace.running_workflow(root)
    for path, artifact in planned.artifacts.items():
        state = states.setdefault(artifact.folder, State())
        if planned.is_there(artifact) or (path not in wanted and planned.exists(artifact.product)):
            state.done.append(artifact)
        elif path not in wanted:
            state.not_needed.append(artifact)
        elif (parts := progress.read(artifact.name, root)) is not None and owners.is_alive(parts.owner, parts.time):
            state.running.append((artifact, parts))
        elif owners.is_being_filled(root / path) or not jobs.isdisjoint(artifact.products.values()):
            state.running.append((artifact, None))
        elif _has_failed(root / artifact.log, workflow) and planned.broken.isdisjoint(artifact.products.values()):
            state.failed.append(artifact)
        else:
            state.left.append(artifact)
    return states


def _has_failed(log: Path, workflow: pace.Workflow | None) -> bool:
    """True if an absent artifact has a log; one that is older than the running workflow is left to do."""
    return log.exists() and (workflow is None or log.stat().st_mtime >= workflow.started)


def waiting(planned: Plan, states: Mapping[str, State]) -> dict[Artifact, float]:
    """{artifact: share that is left} of the work of the running workflow, or of the next one."""
    is_retried = pace.running_workflow(planned.project.root) is None  # a workflow tries nothing twice
    shares: dict[Artifact, float] = {}
    for state in states.values():
        shares |= dict.fromkeys(state.left, 1.0)
        shares |= {artifact: 1 - parts.done / parts.total if parts else 1.0 for artifact, parts in state.running}
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


def draw(planned: Plan, states: Mapping[str, State], overflow: OverflowMethod = "ignore") -> Group:
    """Draw the report: counts, time left, running steps with their pace, failures.

    Args:
        overflow: `ellipsis` to cut lines that are longer than the terminal is wide.
    """
    table = Table(title=f"scale {planned.project.settings.scale}", title_justify="left")
    for column in ("", "done", "not needed", "running", "failed", "left"):
        table.add_column(column, justify="left" if column == "" else "right")
    running, failed, num_done, num_all = [], [], 0, 0
    for folder, state in states.items():
        counts = [len(each) for each in (state.done, state.not_needed, state.running, state.failed, state.left)]
        table.add_row(folder, *map(str, counts))
        num_done, num_all = num_done + counts[0], num_all + sum(counts) - counts[1]
        running += [f"running  {folder}/{artifact.name}{_pace(parts)}" for artifact, parts in state.running]
        failed += [f"failed   {folder}/{artifact.name}: see {artifact.log}" for artifact in state.failed]
    total = ", ".join(filter(None, [f"{num_done} of {num_all} done", time_left(planned, states)]))
    notes = [note.partition("\n")[0] for note in planned.notes()]  # the whole of each was printed at the start
    lines = [Text(line, no_wrap=True, overflow=overflow) for line in (total, *running, *failed, *notes)]
    return Group(table, *lines)


def _pace(parts: Parts | None) -> str:
    if parts is None:
        return ""
    seconds = f", {parts.seconds:.1f} s each" if parts.seconds is not None else ""
    return f": {parts.unit} {parts.done} of at most {parts.total}{seconds}"


def watch(planned: Plan, console: Console) -> None:
    """Redraw the report until nothing is left or the running workflow has ended."""
    was_running = False
    with Live(console=console, auto_refresh=False) as live:
        while True:
            states = survey(planned)
            live.update(draw(planned, states, "ellipsis"), refresh=True)
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
