"""Run a workflow on a real Slurm, and count its jobs.

The script starts a controller and two nodes on this machine, as the tests do (tests/workflow/slurm.py; Debian:
slurm-wlm, munge), runs `snakemake --profile workflow/profiles/slurm` in a copy of this project or in --project, and
ends the cluster. What it is given after `--` goes to Snakemake. Both nodes share this machine's cores, so `--jobs`
should be near their number.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from measure import ROOT, copy_project, print_conditions

sys.path.insert(0, str(ROOT / "tests" / "workflow"))

import slurm


def seconds_of(job: slurm.Job) -> float:
    """From start to end of a job."""
    start, end = (datetime.fromisoformat(job.fields[name]) for name in ("StartTime", "EndTime"))
    return (end - start).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", type=Path, help="folder with a project; without it, a new copy of this one")
    parser.add_argument("arguments", nargs="*", help="arguments of Snakemake, after `--`")
    given = parser.parse_args()
    if (why := slurm.missing()) is not None:
        sys.exit(why)
    print_conditions()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project = given.project or folder / "project"
        if given.project is None:
            copy_project(project)
        (folder / "slurm").mkdir()
        cluster = slurm.Slurm(folder / "slurm")
        path = f"{cluster.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin"
        command = ["snakemake", "--profile", "workflow/profiles/slurm", "--latency-wait", "10", *given.arguments]
        try:
            cluster.start()
            start = time.perf_counter()
            ended = subprocess.run(
                command, cwd=project, env={**os.environ, **cluster.environment, "PATH": path}, check=False
            )
            seconds = time.perf_counter() - start
            jobs = cluster.jobs()
        finally:
            cluster.stop()
    if not jobs:
        sys.exit("no job was submitted; Snakemake says why above")
    states = Counter(job.fields["JobState"] for job in jobs)
    print(f"{len(jobs)} jobs ({', '.join(f'{number} {state}' for state, number in states.items())}) in {seconds:.0f} s")
    took = statistics.median(map(seconds_of, jobs))
    print(f"{len(jobs) / seconds:.2f} jobs a second; a job took {took:.0f} s (median)")
    sys.exit(ended.returncode)


if __name__ == "__main__":
    main()
