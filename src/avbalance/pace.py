"""Time that a workflow still needs, estimated from its finished steps and the cores that it was given."""

import json
import os
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

from avbalance import owners, plan, progress, store
from avbalance.planning.artifacts import Artifact, Plan

WORKFLOW = Path(".snakemake/avbalance.json")
RECENT = 10
"""Number of last steps that tell the pace."""


@dataclass
class Workflow:
    """Run of Snakemake.

    Attributes:
        started: In seconds since 1970.
        cores: Number of cores; of a workflow on a cluster, largest number of jobs that run at once.
    """

    owner: str
    started: float
    cores: int
    on_cluster: bool


def begin(root: Path, cores: int, on_cluster: bool = False) -> None:
    """Record that this process is a workflow with so many cores, or so many jobs on a cluster."""
    workflow = Workflow(owners.this_process(), time.time(), cores, on_cluster)
    store.replace(root / WORKFLOW, json.dumps(asdict(workflow), allow_nan=False) + "\n")


def running_workflow(root: Path) -> Workflow | None:
    """Workflow that runs now."""
    try:
        workflow = Workflow(**json.loads((root / WORKFLOW).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):  # absent, or of another version
        return None
    now = time.time()  # a workflow of another host shows no signs of life, so it counts as running
    return workflow if owners.is_alive(workflow.owner, now) else None


def running_jobs(root: Path) -> set[str]:
    """Files that the running workflow is making, as Snakemake marks them."""
    markers = root / ".snakemake" / "incomplete"
    if running_workflow(root) is None:
        return set()
    names = ["".join(part.lstrip("@") for part in file.relative_to(markers).parts) for file in _files(markers)]
    return {urlsafe_b64decode(name).decode() for name in names}


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "migration_underway"]


class Step(NamedTuple):
    """Step that Snakemake has run here; times are in seconds since 1970."""

    artifact: Artifact
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.end - self.start


def steps_here(planned: Plan) -> list[Step]:
    """Steps of the artifacts that exist and that Snakemake has made here, in the order in which they ended."""
    by_log = {artifact.log: artifact for artifact in planned.artifacts.values()}
    steps = {}  # a run has two records, and a step that failed may have one
    for file in _files(planned.project.root / ".snakemake" / "metadata"):
        record = json.loads(file.read_text(encoding="utf-8"))
        artifact = by_log.get(record["log"][0]) if record["log"] else None
        if artifact is not None and (planned.project.root / artifact.product).exists() and record["endtime"]:
            steps[artifact] = Step(artifact, record["starttime"], record["endtime"])
    return sorted(steps.values(), key=lambda step: step.end)


def finished(planned: Plan, steps: Sequence[Step]) -> dict[str, dict[Artifact, float]]:
    """{folder: {artifact: seconds}} of the plan's artifacts that exist.

    In each folder only the artifacts of the running workflow count, if it has made any; else those made here before;
    else those brought from another machine.
    """
    root, workflow = planned.project.root, running_workflow(planned.project.root)
    best: dict[str, dict[Artifact, float]] = {}
    older: dict[str, dict[Artifact, float]] = {}
    elsewhere: dict[str, dict[Artifact, float]] = {}
    for step in steps:
        is_own = workflow is not None and step.end >= workflow.started
        (best if is_own else older).setdefault(step.artifact.folder, {})[step.artifact] = step.seconds
    recorded = {step.artifact for step in steps}
    for path, artifact in planned.artifacts.items():
        if artifact not in recorded and (root / path / store.MANIFEST).exists():
            seconds = float(store.read_manifest(root / path)["provenance"]["seconds"])
            elsewhere.setdefault(artifact.folder, {})[artifact] = seconds
    return elsewhere | older | best


def slowdown(planned: Plan, steps: Sequence[Step], known: Mapping[str, Mapping[Artifact, float]]) -> float:
    """Factor by which the rest of the running workflow is slower than its steps so far.

    Each of the last steps is compared with the time that the other steps predict for it. The factor is the square root
    of the median ratio, which is half of the correction, so that one slow step does not decide, multiplied by the
    factor of pauses between steps.
    """
    workflow = running_workflow(planned.project.root)
    own = [step for step in steps if workflow is not None and step.end >= workflow.started]
    last = own[-RECENT:]
    if workflow is None or len(last) < RECENT:
        return 1.0
    began = own[-RECENT - 1].end if len(own) > RECENT else workflow.started
    busy = sum(step.seconds / _at_once(planned, step.artifact) for step in last)
    ratios = []
    for step in last:
        same_folder = known[step.artifact.folder].items()
        others = {artifact: seconds for artifact, seconds in same_folder if artifact is not step.artifact}
        if others:
            ratios.append(step.seconds / expected_seconds(step.artifact, others))
    pauses = max((last[-1].end - began) / busy, 1)
    return sqrt(median(ratios)) * pauses if ratios else pauses


def projected(planned: Plan, artifacts: Iterable[Artifact]) -> dict[Artifact, float]:
    """{artifact: seconds} of running steps that have done a part, if their other parts take as long."""
    seconds = {}
    for artifact in artifacts:
        parts = progress.read(artifact.name, planned.project.root)
        if parts is not None and parts.seconds is not None:
            seconds[artifact] = parts.seconds * parts.total
    return seconds


def expected_seconds(artifact: Artifact, known: Mapping[Artifact, float]) -> float:
    """Mean over the artifacts whose slugs share the most words with that of `artifact`: dataset, methods, seed."""
    words = _words(artifact)
    shares = {other: len(words & _words(other)) / len(words | _words(other)) for other in known}
    nearest = [known[other] for other, share in shares.items() if share == max(shares.values())]
    return sum(nearest) / len(nearest)


def _words(artifact: Artifact) -> set[str]:
    return set(artifact.slug.split("-"))


def seconds_left(planned: Plan, waiting: Mapping[Artifact, float]) -> tuple[float, list[str]]:
    """Seconds until `waiting`, {artifact: share that is left}, is done, and the folders of unknown cost.

    As many steps as run at once share the cost of all; the last step ends no sooner than the longest can.
    """
    steps = steps_here(planned)
    known = finished(planned, steps)
    cheapest = min((seconds for folder in known.values() for seconds in folder.values()), default=None)
    folders: dict[str, list[Artifact]] = {}
    for artifact in waiting:
        folders.setdefault(artifact.folder, []).append(artifact)
    total, longest, unknown = 0.0, 0.0, []
    for folder, artifacts in folders.items():
        costs = known.get(folder) or projected(planned, artifacts)
        for artifact in artifacts:
            if costs:
                seconds = waiting[artifact] * expected_seconds(artifact, costs)
            elif cheapest is not None and artifact.is_stamped:
                seconds = waiting[artifact] * cheapest  # a few seconds, as the cheapest step
            else:
                unknown.append(folder)
                break
            total += seconds / _at_once(planned, artifact)
            longest = max(longest, seconds)
    return max(total, longest) * slowdown(planned, steps, known), unknown


def _at_once(planned: Plan, artifact: Artifact) -> int:
    """Number of steps of an artifact's kind that run at the same time."""
    workflow = running_workflow(planned.project.root)
    cores = workflow.cores if workflow is not None else os.cpu_count() or 1
    if workflow is not None and workflow.on_cluster:
        return cores
    gpus = plan.num_gpus(planned.project.settings)
    if artifact.kind == "prep" and not planned.is_generated(artifact):
        return gpus or 1
    if artifact.kind in ("runs", "blends", "probes"):
        return gpus or max(cores // planned.project.scale.threads, 1)
    return cores
