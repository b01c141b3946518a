"""Recipes of runs, of the blend weights and starts that they need, and of their probes."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from avbalance import registry
from avbalance.configuration import rows, signature
from avbalance.configuration.table_schema import HEAD, Row
from avbalance.planning.artifacts import Plan, weights
from avbalance.planning.data import methods_of, model_of, prepared_of
from avbalance.registry import Spec


def run_of(plan: Plan, row: Row, seed: int) -> str:
    """A row trained with a seed."""
    project = plan.project
    methods = {kind: signature.resolve(kind, getattr(row, kind)) for kind in ("fusion", "head", "loss", "balancer")}
    encoders = {modality: signature.resolve("encoder", spec) for modality, spec in rows.encoders(row).items()}
    training = rows.training(row, project.scale)
    chosen = [("encoder", list(encoders.values())), *((kind, [method]) for kind, method in methods.items())]
    if "augment" in training:
        training["augment"] = signature.resolve("augmentation", training["augment"])
        chosen.append(("augmentation", [training["augment"]]))
    settings = {
        "dataset": row.dataset,
        "encoder": encoders,
        **methods,
        "training": training,
        "seed": seed,
    }
    inputs = {"data": prepared_of(plan, row.dataset)}
    for modality in encoders if row.pretrained is True else row.pretrained or {}:
        inputs[f"pretrained_{modality}"] = _pretrained(plan, row, modality, seed)
    if signature.describe("balancer", next(iter(methods["balancer"]))).attributes.get("uses_blend"):
        inputs["blend"] = _blend(plan, row, seed)
    places = ["avbalance.train"] + [
        registry.place(each, name) for kind, specs in chosen for each, name, _ in methods_of(kind, specs)
    ]
    return plan.add("runs", _slug(row, methods, encoders, seed), "train", settings, inputs, places)


def _slug(row: Row, methods: Mapping[str, Mapping[str, Any]], encoders: Iterable[str], seed: int) -> str:
    """A short readable name: the data set, then what distinguishes the row, then the seed."""
    names = [next(iter(methods[kind])) for kind in ("fusion", "head", "loss", "balancer")]
    parts = list(encoders) if len(list(encoders)) == 1 else [name for name in names if name != "joint"]
    parts = [row.dataset, *parts, *["pretrained"] * bool(row.pretrained), f"s{seed}"]
    return re.sub(r"[^a-z0-9_-]+", "_", "-".join(part.split(":")[-1].lower() for part in parts))


def alone(row: Row, modality: str, head: Spec = "linear") -> Row:
    """The uni-modal row of one of a row's modalities: same data, encoder, start and budget."""
    pretrained = row.pretrained if isinstance(row.pretrained, dict) else {}
    return Row(
        dataset=row.dataset,
        modalities=[modality],
        encoder={modality: rows.encoders(row)[modality]},
        head=head,
        pretrained={modality: pretrained[modality]} if modality in pretrained else False,
        training=row.training,
    )


def _pretrained(plan: Plan, row: Row, modality: str, seed: int) -> str:
    """Trained weights that an encoder starts from: of a uni-modal run, on the row's own or other data, or a model's.

    So does the head of a row of one modality.
    """
    of_head = (row.modalities or [])[:1] if modality == HEAD else []
    start = alone(row.model_copy(update={"pretrained": False}), *(of_head or [modality]))
    start.training = {
        key: value for key, value in row.training.items() if key != "moments" and (key, value) != ("epochs", 0)
    }
    if isinstance(row.pretrained, dict):
        if row.pretrained[modality] not in plan.project.datasets:
            return model_of(plan, row.pretrained[modality])
        start.dataset = row.pretrained[modality]
    return weights(run_of(plan, start, seed))


def _blend(plan: Plan, row: Row, seed: int) -> str:
    """Blend weights from the joint run of a row and the uni-modal ones, whose heads are those of its loss.

    All are trained for all epochs: those that the table trains anyway, where they do not stop early.
    """
    ((_, loss),) = signature.resolve("loss", row.loss).items()
    row = row.model_copy(update={"training": _whole_training(plan, row)})
    joint = row.model_copy(update={"loss": "joint", "balancer": "joint"})
    heads = {modality: alone(row, modality, loss.get("head", "linear")) for modality in rows.encoders(row)}
    runs = {f"run_{name}": run_of(plan, each, seed) for name, each in {"joint": joint, **heads}.items()}
    inputs = {"data": prepared_of(plan, row.dataset), **runs}
    for name, run in runs.items():  # the start of a run is that of its encoders
        started = plan.artifacts[run].recipe["inputs"].items()
        inputs |= {f"{name}_{role}": path for role, path in started if role.startswith("pretrained_")}
    recipe = plan.artifacts[runs["run_joint"]].recipe
    return plan.add("blends", recipe["name"].rsplit("-", 1)[0], "blend", {}, inputs, ["avbalance.blend"])


def _whole_training(plan: Plan, row: Row) -> dict[str, Any]:
    """A row's training without early stopping; the row's own where that has none."""
    resolved = rows.training(row, plan.project.scale)
    if resolved.get("select") == "last" or resolved["patience"] >= resolved["epochs"]:
        return row.training
    return {**row.training, "patience": resolved["epochs"]}


def probe_of(plan: Plan, run: str) -> str:
    """Probes of the outputs of a run's encoders."""
    recipe = plan.artifacts[run].recipe
    inputs = {"weights": weights(run), "data": recipe["inputs"]["data"]}
    places = ["avbalance.probe", registry.place("feature_reduction", "mean")]
    return plan.add("probes", recipe["name"].rsplit("-", 1)[0], "probe", {}, inputs, places)


def layer_probes(plan: Plan, table: Mapping[str, Row], seed: int) -> dict[str, str]:
    """{row: its probes of layers}; rows of a table that differ in layers and moment alone share one artifact."""
    shared: dict[tuple[str, str, str, str], list[str]] = {}
    for name, row in table.items():
        if row.probe is not None:
            run, data = run_of(plan, row, seed), prepared_of(plan, row.probe.dataset or row.dataset)
            reduction = signature.resolve("feature_reduction", row.probe.reduction)
            shared.setdefault((run, data, json.dumps(reduction, allow_nan=False), row.probe.modality or ""), []).append(
                name
            )
    paths: dict[str, str] = {}
    for (run, data, resolved, modality), names in shared.items():
        probes = [probe for name in names if (probe := table[name].probe) is not None]
        moments = {probe.moment for probe in probes}
        settings = {
            "modality": modality,
            "layers": sorted({layer for probe in probes for layer in probe.layers}),
            "moments": [*sorted(step for step in moments if step is not None), *[None] * (None in moments)],
            "reduction": json.loads(resolved),
        }
        trained = plan.artifacts[run].recipe
        inputs = {"weights": weights(run), "data": data}
        if data != trained["inputs"]["data"]:
            inputs["trained_on"] = trained["inputs"]["data"]
        reductions = methods_of("feature_reduction", [json.loads(resolved)])
        places = ["avbalance.probe", *(registry.place(kind, method) for kind, method, _ in reductions)]
        path = plan.add("probes", trained["name"].rsplit("-", 1)[0], "probe", settings, inputs, places)
        paths |= dict.fromkeys(names, path)
    return paths
