"""Recipes of runs, of their ensembles, of the blend weights that they need, and of their probes."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from avbalance import registry
from avbalance.configuration import signature
from avbalance.configuration.resolved import ResolvedProbe, ResolvedRow, default
from avbalance.configuration.table_schema import Combining
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.data import DATA, data_of, model_of
from avbalance.registry import METHODS_OF_ROW, Method

TUNING_SEED = 100
"""Seed of all trials. A table with tuned rows may not have it, so that it shows no run that took part in a choice."""
SEEDS_APART = 1000
"""Distance between the seeds of the members of an ensemble."""


def run_of(plan: Plan, row: ResolvedRow, seed: int) -> Artifact:
    """Run of a row with a seed; of a row with `combine`, the ensemble; of one with trials, with the options chosen."""
    if row.combine is not None:
        return _ensemble(plan, row, row.combine, seed)
    inputs = _inputs(plan, row, seed)
    if not row.trials:
        return _run(plan, row, seed, _settings(row, seed), inputs)
    inputs["tuned"] = tuned_of(plan, row).path
    settings = {"dataset": row.dataset, "encoder": row.encoders, "trials": row.trials, "seed": seed}
    return _run(plan, row, seed, settings, inputs)


def tuned_of(plan: Plan, row: ResolvedRow) -> Artifact:
    """Choice among the trials of a row: runs with a seed of their own, each of which may fail.

    Their starts, teachers and blend weights are those of the row as it is, which is all that other runs know of it.
    """
    inputs = _inputs(plan, row, TUNING_SEED)
    tried = [row.untuned(options) for options in row.trials]
    settings = [{**_settings(each, TUNING_SEED), "is_trial": True} for each in tried]
    runs = [_run(plan, each, TUNING_SEED, own, inputs) for each, own in zip(tried, settings, strict=True)]
    trials = {f"trial_{number}": run.path for number, run in enumerate(runs)}
    return plan.add("tuned", _slug(row, TUNING_SEED), "tune", {"trials": row.trials}, trials, ["avbalance.tune:run"])


def _inputs(plan: Plan, row: ResolvedRow, seed: int) -> dict[str, str]:
    """Data and what other runs give to a run of a row: starts, teachers, blend weights."""
    inputs = data_of(plan, row.dataset, row.modalities)
    for part, start in row.starts.items():
        weights = model_of(plan, start).path if isinstance(start, str) else run_of(plan, start, seed).weights
        inputs[f"pretrained_{part}"] = weights
    (balancer,) = row.methods["balancer"]
    declared = signature.describe("balancer", balancer).attributes
    if declared.get("uses_blend"):
        inputs["blend"] = _blend(plan, row, seed).path
    if declared.get("uses_teachers"):
        alone = {modality: run_of(plan, row.alone(modality), seed) for modality in row.modalities}
        inputs |= {f"teacher_{modality}": run.weights for modality, run in alone.items()}
    return inputs


def _run(plan: Plan, row: ResolvedRow, seed: int, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> Artifact:
    """Run whose code is that of the methods of the row and of its trials."""
    chosen = [("encoder", encoder) for encoder in row.encoders.values()]
    chosen += [(kind, options[kind]) for options in row.trials or [row.methods] for kind in METHODS_OF_ROW]
    if row.training["augment"] is not None:
        chosen.append(("augmentation", row.training["augment"]))
    places = ["avbalance.train:run", *(registry.place(kind, name) for kind, name in registry.methods_of(chosen))]
    return plan.add("runs", _slug(row, seed), "train", settings, inputs, places)


def _settings(row: ResolvedRow, seed: int) -> dict[str, Any]:
    return {
        "dataset": row.dataset,
        "encoder": row.encoders,
        **row.methods,
        "training": row.training,
        "seed": seed,
    }


def _ensemble(plan: Plan, row: ResolvedRow, combine: Combining, seed: int) -> Artifact:
    """Ensemble of the row's uni-modal runs, or of its runs with this seed and further ones.

    The further seeds are seed + 1000 k, which no table uses: the ensembles of two seeds must share no member.
    """
    if combine.members == "alone":
        members = {modality: run_of(plan, row.alone(modality), seed) for modality in row.modalities}
    else:
        seeds = [seed + SEEDS_APART * k for k in range(combine.members)]
        members = {f"seed_{each}": run_of(plan, replace(row, combine=None), each) for each in seeds}
    data = data_of(plan, row.dataset, row.modalities)  # which nothing reads but figures of clips
    settings = {**_settings(row, seed), "combine": combine.model_dump(), "data": data}
    inputs = {name: member.path for name, member in members.items()}
    return plan.add("combined", _slug(row, seed), "combine", settings, inputs, ["avbalance.combine:run"])


def _slug(row: ResolvedRow, seed: int) -> str:
    """Short readable name: the dataset, what distinguishes the row, the seed."""
    names = [name for method in row.methods.values() for name in method]
    parts = row.modalities if len(row.modalities) == 1 else [name for name in names if name != "joint"]
    combined = [] if row.combine is None else [f"ensemble_{row.combine.members}"]
    parts = [row.dataset, *parts, *["pretrained"] * bool(row.starts), *combined, f"s{seed}"]
    return re.sub(r"[^a-z0-9_-]+", "_", "-".join(part.split(":")[-1].lower() for part in parts))


def _blend(plan: Plan, row: ResolvedRow, seed: int) -> Artifact:
    """Blend weights from the joint run of a row and its uni-modal runs, whose heads are those of its loss.

    These runs are trained for all epochs; they are the table's own runs if those neither stop early nor are tuned.
    """
    training = row.training
    if training["select"] == "best":
        training = {**training, "patience": max(training["patience"], training["epochs"])}
    (loss,) = row.methods["loss"].values()
    row = replace(row, training=training, trials=[])
    plain = {kind: default(kind) for kind in ("loss", "balancer")}
    rows = {"joint": replace(row, methods={**row.methods, **plain})}
    rows |= {modality: row.alone(modality, loss.get("head")) for modality in row.modalities}
    runs = {name: run_of(plan, each, seed) for name, each in rows.items()}
    inputs = data_of(plan, row.dataset, row.modalities)
    for name, run in runs.items():  # a run starts where its encoders start
        inputs[f"run_{name}"] = run.path
        starts = {role: path for role, path in run.inputs.items() if role.startswith("pretrained_")}
        inputs |= {f"run_{name}_{role}": path for role, path in starts.items()}
    return plan.add("blends", runs["joint"].slug, "blend", {}, inputs, ["avbalance.blend:run"])


def probe_of(plan: Plan, run: Artifact) -> Artifact:
    """Probes of the outputs of a run's encoders."""
    inputs = {"weights": run.weights, **data_of(plan, run.settings["dataset"], run.settings["encoder"])}
    places = ["avbalance.probe:run", registry.place("feature_reduction", "mean")]
    return plan.add("probes", run.slug, "probe", {"dataset": run.settings["dataset"]}, inputs, places)


@dataclass(frozen=True)
class ProbeGroup:
    """Probes of rows that share one artifact, because only their layers and snapshots differ."""

    run: Artifact
    dataset: str
    modality: str
    reduction: Method = field(hash=False)


def layer_probes(plan: Plan, rows: Mapping[str, ResolvedRow], seed: int) -> dict[str, Artifact]:
    """{row: its probes of layers}."""
    groups: dict[ProbeGroup, dict[str, ResolvedProbe]] = {}
    for name, row in rows.items():
        if row.probe is not None:
            run, probe = run_of(plan, row, seed), row.probe
            group = ProbeGroup(run, probe.dataset, probe.modality, probe.reduction)
            groups.setdefault(group, {})[name] = row.probe
    shared = {group: _probes(plan, group, probes.values()) for group, probes in groups.items()}
    return {name: shared[group] for group, probes in groups.items() for name in probes}


def _probes(plan: Plan, group: ProbeGroup, probes: Collection[ResolvedProbe]) -> Artifact:
    """Probes of one group at all its layers and snapshots; the run's weights, None, come last."""
    snapshots = {probe.snapshot for probe in probes}
    settings = {
        "dataset": group.dataset,
        "modality": group.modality,
        "layers": sorted({layer for probe in probes for layer in probe.layers}),
        "snapshots": sorted(snapshots, key=lambda snapshot: (snapshot is None, snapshot)),
        "reduction": group.reduction,
    }
    inputs = {"weights": group.run.weights, **data_of(plan, group.dataset, [group.modality])}
    trained_on = data_of(plan, group.run.settings["dataset"], group.run.settings["encoder"])
    inputs |= {f"trained_on_{role.removeprefix(DATA)}": path for role, path in trained_on.items()}
    reductions = registry.methods_of([("feature_reduction", group.reduction)])
    places = ["avbalance.probe:run", *(registry.place(kind, name) for kind, name in reductions)]
    return plan.add("probes", group.run.slug, "probe", settings, inputs, places)
