"""Estimate of GPU hours, disk and core hours of preparing, by table, before anything runs.

avbalance estimate scale=paper
avbalance estimate scale=paper tables=[mmcosine_table2] --tflops 30

Operations are counted with the project's own models, for all epochs, two a multiply-add. With F for the forward pass of
a clip, a run takes

    F (epochs (3 train + val + monitor (test + val)) + 2 (train + val) + test)

for training (backward takes twice as much as forward), validation, `monitor`, and the evaluation at the end; test
counts windows. Blend weights take F (train + val) of each of their runs, probes F (train + val + test) a snapshot.
Further passes of some balancing methods, and of online blending, are not counted. Only what does not exist counts.
"""

import argparse
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from avbalance import cli, plan, registry
from avbalance.configuration import signature
from avbalance.configuration.project import Project, read_project, sources_of
from avbalance.errors import UserError
from avbalance.model import build_model
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.tables import seeds_of, table_of
from avbalance.prepare.views.base import VisualView

JPEG_SAVES = 10
"""Factor by which JPEG pictures are smaller than their arrays: 9.7 on GRID (benchmarks/stores.py)."""
Modality = tuple[str, str]
"""(dataset, modality)."""


@dataclass
class Bill:
    """Cost of some artifacts.

    Attributes:
        num_runs: Runs to train.
        operations: FLOP of all of them.
        gigabytes: {dataset and modality: size of its arrays}.
        windows: {dataset: number of windows that are prepared}.
        raw: {owner of raw files: their size in GB; None if unknown}.
        unknown: Datasets whose clips or shapes nobody declares; they count nothing.
    """

    num_runs: int = 0
    operations: float = 0.0
    gigabytes: dict[Modality, float] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    raw: dict[str, float | None] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


def windows_of(project: Project, dataset: str) -> dict[str, int]:
    """{split: number of windows} of a dataset at a scale; empty if unknown."""
    spec = project.datasets[dataset]
    ((_, options),) = signature.resolve("data", spec.reader).items()
    clips: dict[str, int] = {str(split): number for split, number in spec.num_clips.items()}
    if not clips:
        return {}
    clips |= {split: options[f"num_{split}"] for split in ("train", "test") if f"num_{split}" in options}
    if "val" not in clips:
        share = options.get("val_fraction", 0.0) if spec.prepare is None else spec.prepare.val_fraction
        clips["val"] = round(share * clips["train"])
        clips["train"] -= clips["val"]
    windows = spec.prepare.windows if spec.prepare is not None else {}
    return {split: number * windows.get(split, 1) for split, number in clips.items()}  # type: ignore[call-overload]


def arrays_of(project: Project, dataset: str) -> dict[str, tuple[tuple[int, ...], int]]:
    """{modality: (shape of a clip as encoders see it, bytes of a stored clip)}; empty if unknown."""
    spec = project.datasets[dataset]
    if spec.prepare is None:
        return {name: (tuple(shape), 2 * math.prod(shape)) for name, shape in spec.shapes.items()}
    arrays = {}
    for modality, view_spec in spec.prepare.views.items():
        ((name, options),) = signature.resolve("view", view_spec).items()
        if "detector" in options:  # needs weights, and changes no shape
            options = {**options, "detector": None}
        view = registry.find("view", name)(**options)
        size = math.prod(view.stored_shape) if isinstance(view, VisualView) else 2 * math.prod(view.shape)
        is_jpeg = isinstance(view, VisualView) and view.store == "jpeg"
        arrays[modality] = (view.shape, size // JPEG_SAVES if is_jpeg else size)
    return arrays


def forward_operations(settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], num_classes: int) -> int:
    """FLOP of the forward pass of one clip, counted without data and without memory for weights.

    Args:
        settings: {"encoder", "fusion", "head"} of a run.
        shapes: {modality: shape of a clip}.
    """
    wanted = {name: settings[name] for name in ("encoder", "fusion", "head")}
    return _count(json.dumps(wanted, allow_nan=False), json.dumps(shapes, allow_nan=False), num_classes)


@cache
def _count(settings: str, shapes: str, num_classes: int) -> int:
    wanted, sizes = json.loads(settings), json.loads(shapes)
    description = {"num_classes": num_classes, "modalities": {name: {"shape": shape} for name, shape in sizes.items()}}
    with FakeTensorMode(), torch.no_grad():  # tensors without bytes; autocast knows no device meta
        model = build_model(wanted, description).eval()
        with FlopCounterMode(display=False) as counter:
            model({name: torch.empty(1, *sizes[name]) for name in wanted["encoder"]})
    return int(counter.get_total_flops())


def training_passes(training: Mapping[str, Any], windows: Mapping[str, int]) -> int:
    """Forward passes of a clip that a run takes, a backward pass as two."""
    train, val, test = windows["train"], windows["val"], windows["test"]
    epoch = 3 * train + val + (test + val) * bool(training["monitor"])
    return int(training["epochs"]) * epoch + 2 * (train + val) + test


def bill_of(planned: Plan, artifacts: Collection[Artifact]) -> Bill:
    """Cost of artifacts, each once."""
    project, bill = planned.project, Bill()
    for artifact in artifacts:
        runs, kind = _runs_behind(planned, artifact), artifact.kind
        bill.num_runs += kind == "runs"
        for run in runs:
            settings = {**run.settings, **(run.settings["trials"][0] if "trials" in run.settings else {})}
            dataset = settings["dataset"]
            windows, arrays = windows_of(project, dataset), arrays_of(project, dataset)
            if not windows or not set(settings["encoder"]) <= set(arrays):
                bill.unknown.add(project.datasets[dataset].title)
                continue
            _note_data(bill, project, dataset, settings["encoder"], windows, arrays)
            shapes = {name: arrays[name][0] for name in settings["encoder"]}
            forward = forward_operations(settings, shapes, project.datasets[dataset].num_classes)
            if kind == "runs":
                passes = training_passes(settings["training"], windows)
            elif kind == "blends":
                passes = windows["train"] + windows["val"]
            else:
                passes = sum(windows.values()) * len(artifact.settings.get("snapshots", [None]))
            bill.operations += float(forward) * passes
    return bill


def _runs_behind(planned: Plan, artifact: Artifact) -> list[Artifact]:
    """Runs whose models an artifact computes with."""
    if artifact.kind == "runs":
        return [artifact]
    if artifact.kind not in ("blends", "probes"):
        return []
    return list(dict.fromkeys(each for each in planned.inputs_of(artifact) if each.kind == "runs"))


def _note_data(
    bill: Bill,
    project: Project,
    dataset: str,
    modalities: Iterable[str],
    windows: Mapping[str, int],
    arrays: Mapping[str, tuple[tuple[int, ...], int]],
) -> None:
    for modality in modalities:
        bill.gigabytes[dataset, modality] = arrays[modality][1] * sum(windows.values()) / 1e9
    if project.datasets[dataset].prepare is not None:
        bill.windows[dataset] = sum(windows.values())
    shared = project.datasets[dataset].sources
    owner = shared if isinstance(shared, str) else dataset
    chosen = project.scale.datasets.get(dataset)
    sources = sources_of(project.datasets, owner)
    source = sources[chosen.source] if chosen else next(iter(sources.values()))
    if source.files:
        bill.raw[owner] = source.gigabytes


def estimate(project: Project) -> tuple[dict[str, Bill], Bill]:
    """{table: its cost} of the tables that were asked for, and the cost of all, which counts shared artifacts once."""
    planned, everything = Plan(project), set[Artifact]()
    bills = {}
    for name in plan.asked(project):
        needed = planned.wanted_by([table_of(planned, name)])
        bills[name] = bill_of(planned, needed)
        everything |= needed
    return bills, bill_of(planned, everything)


def _cells(bill: Bill, tflops: float, windows_per_second: float) -> list[str]:
    raw = sum(gigabytes or 0 for gigabytes in bill.raw.values())
    more = " + ?" if None in bill.raw.values() else ""
    hours = bill.operations / (tflops * 1e12) / 3600
    return [
        f"{bill.num_runs:,}",
        f"{hours:,.1f}",
        f"{sum(bill.gigabytes.values()):,.0f}",
        f"{raw:,.0f}{more}",
        f"{sum(bill.windows.values()) / windows_per_second / 3600:,.1f}",
    ]


def draw(bills: Mapping[str, Bill], total: Bill, tflops: float, windows_per_second: float) -> Table:
    """Table of all costs, the largest first."""
    table = Table()
    table.add_column("table", no_wrap=True, overflow="fold")
    for heading in ("runs", "GPU h", "arrays, GB", "raw files, GB", "preparing, core h"):
        table.add_column(heading, justify="right")
    for name, bill in sorted(bills.items(), key=lambda item: -item[1].operations):
        if bill.num_runs or bill.operations:
            table.add_row(name, *_cells(bill, tflops, windows_per_second))
    table.add_section()
    table.add_row("all, shared runs once", *_cells(total, tflops, windows_per_second))
    return table


def main() -> None:
    """Command line of the estimate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, help="10^12 operations that a GPU does in a second of training")
    parser.add_argument("--windows-per-second", type=float, help="windows of clips that a core prepares in a second")
    parser.add_argument("config", nargs="*", help="as after snakemake --config: scale=paper tables=[...]")
    arguments = parser.parse_args()
    overrides = plan.parse_overrides(arguments.config)
    project = read_project(Path(), overrides)
    declared = project.scale.rates
    tflops = arguments.tflops or (declared and declared.tflops)
    windows = arguments.windows_per_second or (declared and declared.windows_per_second)
    if not tflops or not windows:
        raise UserError(f"scale {project.settings.scale} declares no rates; give --tflops and --windows-per-second")
    bills, total = estimate(project)
    console = Console(highlight=False, markup=False, emoji=False)
    console.print(draw(bills, total, tflops, windows))
    console.print(
        f"GPU hours at {tflops:g} TFLOP/s (--tflops; benchmarks/rate.py measures yours), at the largest number of "
        f"epochs; preparing at {windows:g} windows a second and core (--windows-per-second)."
    )
    if total.unknown:
        console.print(f"Not counted, for their clips or shapes are not declared: {', '.join(sorted(total.unknown))}.")
    several = [0, 1, 2, 3, 4]
    if "seeds" not in overrides and any(len(seeds_of(project, name)) == 1 for name in bills):
        _, more = estimate(read_project(Path(), {**overrides, "seeds": several}))
        hours = more.operations / (tflops * 1e12) / 3600
        console.print(f"With five seeds for every table, seeds={several}: {more.num_runs:,} runs, {hours:,.1f} GPU h.")


if __name__ == "__main__":
    cli.run(main)
