"""How long does `make tables` take from a fresh clone, its environment set up, and how long once all is there?

`snakemake --cores all` on generated data (scale miniature) in a fresh copy of the project, then the same once more.
CPU seconds are user and system time of all processes; "busy" is their share of the cores' time. A first run needs a
fresh copy, so with more repetitions every one has a copy of its own; the medians are shown. A second table accounts for
the first run: the seconds of its steps by kind, and those in which cores had no step.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from measure import Usage, copy_project, print_conditions, print_table, run_command

from avbalance import cli, pace, plan
from avbalance.pace import Step


def measure(command: list[str], config: dict[str, Any]) -> tuple[list[Step], list[Usage]]:
    """Steps of the first run; resources of the first and the second."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_project(project)
        usages = [run_command(command, project), run_command(command, project)]
        return pace.steps_here(plan.make(project, config)), usages


def idle_seconds(steps: list[Step], num_cores: int) -> float:
    """Seconds of cores without a step between the first start and the last end, if a step has one core."""
    events = sorted([(step.start, 1) for step in steps] + [(step.end, -1) for step in steps])
    idle, running, last = 0.0, 0, events[0][0]
    for moment, change in events:
        idle += (moment - last) * max(num_cores - running, 0)
        running, last = running + change, moment
    return idle


def print_account(steps: list[Step], num_cores: int) -> None:
    """Print the seconds of the steps by kind, the largest sum first."""
    kinds: dict[str, list[float]] = {}
    for step in steps:
        kinds.setdefault(step.artifact.kind, []).append(step.seconds)
    rows = [
        (kind, str(len(seconds)), f"{sum(seconds):.1f}", f"{sum(seconds) / len(seconds):.2f}", f"{max(seconds):.1f}")
        for kind, seconds in sorted(kinds.items(), key=lambda item: -sum(item[1]))
    ]
    rows.append(("cores without a step", "–", f"{idle_seconds(steps, num_cores):.1f}", "–", "–"))
    print_table(["kind", "steps", "seconds", "mean", "longest"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", help="only these (default: all)")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--repetitions", type=int, default=1)
    arguments = parser.parse_args()
    config = {"scale": "miniature", "tables": arguments.tables or "all"}
    tables = f"[{','.join(arguments.tables)}]" if arguments.tables else "all"
    command = ["snakemake", "--cores", arguments.cores, "--config", "scale=miniature", f"tables={tables}"]
    print_conditions(command=" ".join(command), repetitions=arguments.repetitions)
    num_cores = os.cpu_count() or 1 if arguments.cores == "all" else int(arguments.cores)
    measured = [measure(command, config) for _ in range(arguments.repetitions)]
    steps = measured[0][0]
    rows = []
    for place, (name, num_steps) in enumerate([("first run", len(steps)), ("second run", 0)]):
        usages = [of_both[place] for _, of_both in measured]
        seconds = median(usage.seconds for usage in usages)
        user = median(usage.user_seconds for usage in usages)
        system = median(usage.system_seconds for usage in usages)
        busy = f"{(user + system) / (num_cores * seconds):.0%}"
        rows.append((name, str(num_steps), f"{seconds:.1f}", f"{user + system:.1f}", f"{system:.1f}", busy))
    print_table(["snakemake", "steps", "seconds", "CPU seconds", "of these system", "busy"], rows)
    print_account(steps, num_cores)


if __name__ == "__main__":
    cli.run(main)
