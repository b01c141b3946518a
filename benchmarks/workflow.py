"""How long does `make tables` take from a fresh clone, its environment set up, and how long once all is there?

`snakemake --cores all` on generated data (scale miniature) in a fresh copy of the project, then the same once more.
"busy" is the share of the cores' time that was spent computing. A first run needs a fresh copy, so with more
repetitions every one has a copy of its own; the medians are shown.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from measure import Usage, copy_project, print_conditions, print_table, run_command

from avbalance import cli, plan


def measure(command: list[str], config: dict[str, Any]) -> tuple[int, list[Usage]]:
    """Jobs of the first run; what it and the second took."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_project(project)
        num_jobs = len(plan.make(project, config).artifacts)
        return num_jobs, [run_command(command, project), run_command(command, project)]


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
    rows = []
    for place, (name, num_jobs) in enumerate([("first run", measured[0][0]), ("second run", 0)]):
        usages = [of_both[place] for _, of_both in measured]
        seconds = median(usage.seconds for usage in usages)
        user_seconds = median(usage.user_seconds for usage in usages)
        busy = f"{user_seconds / (num_cores * seconds):.0%}"
        rows.append((name, str(num_jobs), f"{seconds:.1f}", f"{user_seconds:.1f}", busy))
    print_table(["snakemake", "jobs", "seconds", "user seconds", "busy"], rows)


if __name__ == "__main__":
    cli.run(main)
