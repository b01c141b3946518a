"""Time that a workflow still needs: from the pace of the steps it has finished, on the cores that it was given."""

import json
import os
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from avbalance import plan, progress, store
from avbalance.artifacts import STAMPED, Plan

WORKFLOW = Path("results/logs/workflow.json")


@dataclass
class Workflow:
    """A run of Snakemake; `started` is in seconds since 1970."""

    pid: int
    host: str
    started: float
    cores: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; one of another host counts as running."""
        return self.host != socket.gethostname() or store.is_alive(self.pid)


def begin(root: Path, cores: int) -> None:
    """Note that this process is a workflow of so many cores."""
    file = root / WORKFLOW
    file.parent.mkdir(parents=True, exist_ok=True)
    workflow = Workflow(os.getpid(), socket.gethostname(), time.time(), cores)
    file.write_text(json.dumps(asdict(workflow)) + "\n")


def running_workflow(root: Path) -> Workflow | None:
    """The workflow that runs now."""
    file = root / WORKFLOW
    workflow = Workflow(**json.loads(file.read_text())) if file.exists() else None
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


def finished(planned: Plan) -> dict[str, dict[str, float]]:
    """{folder: {name: seconds}} of the plan's artifacts that are there.

    Those that the running workflow has made count alone where there are any in a folder, else those made here before,
    else those brought from another machine.
    """
    root = planned.project.root
    workflow = running_workflow(root)
    sources: list[dict[str, dict[str, float]]] = [{}, {}, {}]  # best first
    recorded = set()
    for file in _files(root / ".snakemake" / "metadata"):
        record = json.loads(file.read_text())
        path = record["log"][0].replace("results/logs/", "results/", 1).removesuffix(".log") if record["log"] else ""
        if path not in planned.artifacts or record["incomplete"] or record["endtime"] is None:
            continue
        recorded.add(path)
        artifact = planned.artifacts[path]
        older = workflow is None or record["endtime"] < workflow.started
        sources[older].setdefault(artifact.folder, {})[artifact.name] = record["endtime"] - record["starttime"]
    for path, artifact in planned.artifacts.items():
        if path not in recorded and (root / path / store.MANIFEST).exists():
            seconds = float(store.read_manifest(root / path)["provenance"]["seconds"])
            sources[2].setdefault(artifact.folder, {})[artifact.name] = seconds
    best, older_here, elsewhere = sources
    return elsewhere | older_here | best


def projected(planned: Plan, names: Iterable[str]) -> dict[str, float]:
    """{name: seconds} of running steps that have done a part, if their other parts take as long."""
    seconds = {}
    for name in names:
        file = planned.project.root / "results" / "resume" / name / progress.FILE
        if file.exists():
            state = json.loads(file.read_text())
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
    known = finished(planned)
    steps = [seconds for folder in known.values() for seconds in folder.values()]
    total, longest, unknown = 0.0, 0.0, []
    for folder, shares in waiting.items():
        costs = known.get(folder) or projected(planned, shares)
        if not costs and steps and folder.split("/")[0] in STAMPED:
            costs = {"": min(steps)}  # a few seconds, as the cheapest step
        if costs:
            seconds = [share * expected_seconds(name, costs) for name, share in shares.items()]
            total += sum(seconds) / _at_once(planned, folder)
            longest = max([longest, *seconds])
        elif shares:
            unknown.append(folder)
    return max(total, longest), unknown


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
