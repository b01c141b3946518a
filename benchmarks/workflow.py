"""How long does `make tables` take from a fresh clone, its environment set up, and how long once all is there?

`snakemake --cores all` on generated data (scale miniature) in a fresh copy of the project, then the same once more.
"busy" is the share of the cores' time that was spent computing. The first run is by its nature measured once a copy;
with more repetitions every one has a copy of its own, and the medians are shown.
"""

import argparse
import os
import tempfile
from pathlib import Path
from statistics import median

from measure import Usage, copy_project, print_conditions, print_table, run_command

from avbalance import cli

MADE = ("*/*/manifest.json", "*/*.key", "*/*/*.key")
"""What says below `results/` that an artifact is there; runs and their weights are one job."""


def measure(command: list[str]) -> tuple[int, list[Usage]]:
    """Jobs of the first run; what it and the second took."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_project(project)
        first = run_command(command, project)
        made = [path for pattern in MADE for path in (project / "results").glob(pattern)]
        num_jobs = sum(path.parent.parent.name != "weights" for path in made)
        return num_jobs, [first, run_command(command, project)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", help="only these (default: all)")
    parser.add_argument("--cores", default="all")
    parser.add_argument("--repetitions", type=int, default=1)
    arguments = parser.parse_args()
    command = ["snakemake", "--cores", arguments.cores, "--config", "scale=miniature"]
    if arguments.tables:
        command.append(f"tables=[{','.join(arguments.tables)}]")
    print_conditions(command=" ".join(command), repetitions=arguments.repetitions)
    num_cores = os.cpu_count() or 1 if arguments.cores == "all" else int(arguments.cores)
    measured = [measure(command) for _ in range(arguments.repetitions)]
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
