"""What the measurements share: repetitions in turn, medians, resources of a command, Markdown tables.

Imports no torch: the peak memory of a child would count what its parent held when it started.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypeVar

from avbalance.provenance import processor

ROOT = Path(__file__).parents[1]
Name = TypeVar("Name")


@dataclass
class Usage:
    """What a command took, its children included; `peak_bytes` is that of the largest process."""

    seconds: float
    user_seconds: float
    system_seconds: float
    peak_bytes: int


def alternate(variants: Mapping[Name, Callable[[], int]], repetitions: int) -> dict[Name, list[float]]:
    """{variant: clips per second of each repetition}; variants take turns, and the first round does not count.

    Args:
        variants: {name: function that handles clips and returns how many}.
        repetitions: Rounds that count.
    """
    rates: dict[Name, list[float]] = {name: [] for name in variants}
    for _ in range(1 + repetitions):
        for name, work in variants.items():
            start = time.perf_counter()
            num_clips = work()
            rates[name].append(num_clips / (time.perf_counter() - start))
    return {name: of_each[1:] for name, of_each in rates.items()}


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the ratios within a round, so that what slows a whole round down cancels."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))


def run_command(command: Sequence[str], folder: Path) -> Usage:
    """Run a command in a folder, this interpreter's programs first; an error ends the measurement."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read()[-4000:]}")
    return Usage(seconds, used.ru_utime, used.ru_stime, used.ru_maxrss * 1024)


def copy_project(folder: Path) -> None:
    """A copy of this checkout, without results, in which Snakemake runs."""
    for name in ("config", "src", "workflow"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "profiles"):
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)


def print_conditions(**sizes: object) -> None:
    """Device, threads, load before the measurement, sizes."""
    torch = sys.modules.get("torch")
    threads = f"threads {torch.get_num_threads()}, " if torch is not None else ""
    stated = ", ".join(f"{name} {value}" for name, value in sizes.items())
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {threads}{stated}\n", flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A Markdown table; numbers, that is all columns but the first, to the right."""
    for cells in (columns, ["---", *["---:"] * (len(columns) - 1)], *rows):
        print(f"| {' | '.join(cells)} |", flush=True)
    print()
