"""Accuracy of the time left that `avbalance status` prints.

Runs tables at scale miniature in a fresh copy of the project and asks every few seconds how long it will take still.
"ratio" is the time foretold over the time that it took; samples of the last minute count no more.
"""

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

from measure import copy_project, print_conditions, print_table

from avbalance import cli, pace, plan, status

LAST_SECONDS = 60


def measure(
    command: list[str], config: dict[str, object], every: float
) -> tuple[float, list[tuple[float, float, str]]]:
    """Seconds of the workflow, and (seconds since its start, seconds foretold, kinds not counted) of each sample."""
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_project(project)
        planned = plan.make(project, config)
        start = time.monotonic()
        with (project / "snakemake.log").open("w", encoding="utf-8") as log:
            process = subprocess.Popen(command, cwd=project, stdout=log, stderr=log)
            while process.poll() is None:
                time.sleep(every)
                seconds, unknown = pace.seconds_left(planned, status.waiting(planned, status.survey(planned)))
                samples.append((time.monotonic() - start, seconds, ", ".join(unknown)))
            total = time.monotonic() - start
            if process.returncode != 0:
                raise SystemExit((project / "snakemake.log").read_text(encoding="utf-8")[-2000:])
    return total, samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--every", type=float, default=15, help="seconds between samples")
    arguments = parser.parse_args()
    command = ["snakemake", "--cores", str(arguments.cores), "--config", "scale=miniature"]
    command.append(f"tables=[{','.join(arguments.tables)}]")
    print_conditions(command=" ".join(command), every=arguments.every)
    total, samples = measure(command, {"scale": "miniature", "tables": arguments.tables}, arguments.every)
    rows = [
        (f"{at:.0f}", f"{seconds:.0f}", f"{total - at:.0f}", f"{seconds / (total - at):.2f}", unknown)
        for at, seconds, unknown in samples
        if at < total - LAST_SECONDS
    ]
    print_table(["after, s", "foretold, s", "took, s", "ratio", "not counted"], rows)


if __name__ == "__main__":
    cli.run(main)
