"""How long does a table of thousands of rows take to plan, before anything runs?

One table whose rows differ in the dropout of the audio encoder, so that each has three jobs of its own: a joint run,
the audio-only run and a probe. In turn are measured

    planned   `snakemake -n -q` where nothing is there yet
    done      `snakemake` where everything is there and nothing has to be done; every artifact has a manifest, which
              holds its recipe and lists no files

after one run of each that does not count.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from measure import Usage, copy_project, print_conditions, print_table, run_command

from avbalance import cli, plan

TABLE = """title: Many rows
paper: none
defaults: {dataset: avmnist}
columns: [accuracy, acc_audio_alone, acc_audio_probe]
rows:
"""
ROW = "  row_{0}: {{encoder: {{visual: conv2net, audio: {{conv1net: {{dropout: {1}}}}}}}}}\n"
SNAKEMAKE = ["snakemake", "--cores", "1", "--config", "scale=miniature", "seeds=[0]"]


def write_table(project: Path, num_rows: int) -> None:
    """Make a table of so many rows the project's only one; other scales name tables, so they go too."""
    tables = project / "config" / "tables"
    for file in [*tables.iterdir(), *(project / "config" / "scales").iterdir()]:
        if file.stem != "miniature":
            file.unlink()
    rows = (ROW.format(row, (row + 1) / (num_rows + 1)) for row in range(num_rows))
    (tables / "many_rows.yaml").write_text(TABLE + "".join(rows), encoding="utf-8")


def write_artifacts(project: Path) -> int:
    """Put a manifest or stamp in place of every artifact; returns how many jobs that spares."""
    artifacts = plan.make(project, {"scale": "miniature", "seeds": [0]}).artifacts.values()
    for artifact in artifacts:
        for product in artifact.products.values():
            (project / product).parent.mkdir(parents=True, exist_ok=True)
            (project / product).write_text(json.dumps({"recipe": artifact.recipe, "files": {}}), encoding="utf-8")
    return len(artifacts)


def measure(project: Path) -> dict[str, Usage]:
    """What both commands take."""
    results, aside = project / "results", project / "aside"
    done = run_command(SNAKEMAKE, project)
    results.rename(aside)
    planned = run_command([*SNAKEMAKE, "-n", "-q"], project)
    aside.rename(results)
    return {"planned": planned, "done": done}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    # Ascending: a command's peak counts what this process held at its start, which is then always less.
    sizes = sorted(arguments.rows)
    print_conditions(rows=sizes, repetitions=arguments.repetitions)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        copy_project(project)
        for size in sizes:
            write_table(project, size)
            num_jobs = write_artifacts(project)
            usages = [measure(project) for _ in range(1 + arguments.repetitions)][1:]
            for state in ("planned", "done"):
                of_state = [usage[state] for usage in usages]
                seconds = median(usage.seconds for usage in of_state)
                user_seconds = median(usage.user_seconds for usage in of_state)
                peak = median(usage.peak_bytes for usage in of_state) / 2**20
                per_job = 1000 * seconds / num_jobs
                figures = (f"{seconds:.1f}", f"{user_seconds:.1f}", f"{per_job:.1f}", f"{peak:,.0f}")
                table.append((state, f"{size:,}", f"{num_jobs:,}", *figures))
    print_table(["state", "rows", "jobs", "seconds", "user seconds", "ms a job", "peak MiB"], table)


if __name__ == "__main__":
    cli.run(main)
