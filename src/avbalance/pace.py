"""Time that a workflow still needs: from the pace of the steps it has finished, on the cores that it was given."""

import json
import os
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

from avbalance import plan, progress, store
from avbalance.planning.artifacts import STAMPED, Plan

WORKFLOW = Path(".snakemake/avbalance.json")
RECENT = 10
"""Steps that tell the pace."""


@dataclass
class Workflow:
    """A run of Snakemake; `started` is in seconds since 1970."""

    pid: int
    host: str
    started: float
    cores: int

    @property
    def is_alive(self) -> bool:
        """True while the process runs; a workflow of another host counts as running."""
        return self.host != socket.gethostname() or store.is_alive(self.pid)


def begin(root: Path, cores: int) -> None:
    """Note that this process is a workflow of so many cores."""
    workflow = Workflow(os.getpid(), socket.gethostname(), time.time(), cores)
    store.replace(root / WORKFLOW, json.dumps(asdict(workflow), allow_nan=False) + "\n")


def running_workflow(root: Path) -> Workflow | None:
    """The workflow that runs now."""
    file = root / WORKFLOW
    workflow = Workflow(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None
    return workflow if workflow is not None and workflow.is_alive else None


def running_jobs(root: Path) -> set[str]:
    """Files that the running workflow is at work on, as Snakemake marks them."""
    markers = root / ".snakemake" / "incomplete"
    if running_workflow(root) is None:
        return set()
    names = ["".join(part.lstrip("@") for part in file.relative_to(markers).parts) for file in _files(markers)]
    return {urlsafe_b64decode(name).decode() for name in names}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "migration_underway"]


class Step(NamedTuple):
    """A step that Snakemake has run here; times are in seconds since 1970."""

    folder: str
    name: str
    start: float
    end: float


def steps_here(planned: Plan) -> list[Step]:
    """The artifacts that are there and that Snakemake has made here, in the order in which they were finished."""
    steps = {}  # a run has two records, and a step that failed may have one
    for file in _files(planned.project.root / ".snakemake" / "metadata"):
        record = json.loads(file.read_text(encoding="utf-8"))
        path = record["log"][0].replace("results/logs/", "results/", 1).removesuffix(".log") if record["log"] else ""
        artifact = planned.artifacts.get(path)
        if artifact is not None and (planned.project.root / artifact.products[0]).exists() and record["endtime"]:
            steps[path] = Step(artifact.folder, artifact.name, record["starttime"], record["endtime"])
    return sorted(steps.values(), key=lambda step: step.end)


def finished(planned: Plan, steps: Sequence[Step]) -> dict[str, dict[str, float]]:
    """{folder: {name: seconds}} of the plan's artifacts that are there.

    Those that the running workflow has made count alone where there are any in a folder, else those made here before,
    else those brought from another machine.
    """
    root, workflow = planned.project.root, running_workflow(planned.project.root)
    best: dict[str, dict[str, float]] = {}
    older: dict[str, dict[str, float]] = {}
    elsewhere: dict[str, dict[str, float]] = {}
    for step in steps:
        is_own = workflow is not None and step.end >= workflow.started
        (best if is_own else older).setdefault(step.folder, {})[step.name] = step.end - step.start
    recorded = {step.name for step in steps}
    for path, artifact in planned.artifacts.items():
        if artifact.name not in recorded and (root / path / store.MANIFEST).exists():
            seconds = float(store.read_manifest(root / path)["provenance"]["seconds"])
            elsewhere.setdefault(artifact.folder, {})[artifact.name] = seconds
    return elsewhere | older | best


def slowdown(planned: Plan, steps: Sequence[Step], known: Mapping[str, Mapping[str, float]]) -> float:
    """The factor by which the rest of the running workflow is slower than its steps so far.

    The last steps are compared with the times that the others foretell for them. The factor is the square root of the
    median ratio, half of the correction, so that one slow step does not decide; times that of pauses between steps.
    """
    workflow = running_workflow(planned.project.root)
    own = [step for step in steps if workflow is not None and step.end >= workflow.started]
    last = own[-RECENT:]
    if workflow is None or len(last) < RECENT:
        return 1.0
    began = own[-RECENT - 1].end if len(own) > RECENT else workflow.started
    busy = sum((step.end - step.start) / _at_once(planned, step.folder) for step in last)
    ratios = []
    for step in last:
        others = {name: seconds for name, seconds in known[step.folder].items() if name != step.name}
        if others:
            ratios.append((step.end - step.start) / expected_seconds(step.name, others))
    pauses = max((last[-1].end - began) / busy, 1)
    return sqrt(median(ratios)) * pauses if ratios else pauses


def projected(planned: Plan, names: Iterable[str]) -> dict[str, float]:
    """{name: seconds} of running steps that have done a part, if their other parts take as long."""
    seconds = {}
    for name in names:
        file = planned.project.root / "results" / "resume" / name / progress.FILE
        if file.exists():
            state = json.loads(file.read_text(encoding="utf-8"))
            parts = state["done"] - state["first"]
            if parts:
                seconds[name] = (state["time"] - state["started"]) / parts * state["total"]
    return seconds


def expected_seconds(name: str, known: Mapping[str, float]) -> float:
    """The mean of the artifacts whose names share the most words with `name`: dataset, methods, seed."""
    words = _words(name)
    alike = {other: len(words & _words(other)) / len(words | _words(other)) for other in known}
    nearest = [known[other] for other, share in alike.items() if share == max(alike.values())]
    return sum(nearest) / len(nearest)


def _words(name: str) -> set[str]:
    """`avmnist-film-s0-<key>` -> {avmnist, film, s0}."""
    return set(name.rsplit("-", 1)[0].split("-"))


def seconds_left(planned: Plan, waiting: Mapping[str, Mapping[str, float]]) -> tuple[float, list[str]]:
    """Seconds until `waiting`, {folder: {name: share that is left}}, is done, and the folders of unknown cost.

    As many steps as run at once share the cost of all; the last step ends no sooner than the longest can.
    """
    steps = steps_here(planned)
    known = finished(planned, steps)
    costs_of_all = [seconds for folder in known.values() for seconds in folder.values()]
    total, longest, unknown = 0.0, 0.0, []
    for folder, shares in waiting.items():
        costs = known.get(folder) or projected(planned, shares)
        if not costs and costs_of_all and folder.split("/")[0] in STAMPED:
            costs = {"": min(costs_of_all)}  # a few seconds, as the cheapest step
        if costs:
            seconds = [share * expected_seconds(name, costs) for name, share in shares.items()]
            total += sum(seconds) / _at_once(planned, folder)
            longest = max([longest, *seconds])
        elif shares:
            unknown.append(folder)
    return max(total, longest) * slowdown(planned, steps, known), unknown


def _at_once(planned: Plan, folder: str) -> int:
    """Steps of a folder that run at the same time."""
    workflow = running_workflow(planned.project.root)
    cores = workflow.cores if workflow is not None else os.cpu_count() or 1
    gpus = plan.num_gpus(planned.project.settings.device)
    if folder == "prep":
        return gpus or 1
    if folder in ("runs", "blends", "probes"):
        return gpus or max(cores // planned.project.scale.threads, 1)
    return cores
