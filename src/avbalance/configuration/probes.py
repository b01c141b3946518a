"""Probes of rows: what they ask for exists, as far as that is known before anything runs."""

from pathlib import Path

from avbalance.configuration import signature
from avbalance.configuration.checks import member, resolve_method
from avbalance.configuration.resolved import ResolvedProbe, ResolvedRow, Scope
from avbalance.configuration.table_schema import Probing
from avbalance.errors import UserError
from avbalance.probing.names import INPUT, OUTPUT, is_pattern, select, spread
from avbalance.registry import Method


def resolve_probe(probe: Probing, row: ResolvedRow, scope: Scope, path: Path, where: str) -> ResolvedProbe:
    """Probe of a row with modality and dataset filled in.

    Raises:
        UserError: The modality, dataset, layer, snapshot or reduction does not exist; the dataset has several labels
            a clip; or the row has several modalities and the probe names none.
    """
    modality, dataset = probe.modality, probe.dataset or row.dataset
    if modality is None:
        if len(row.modalities) > 1:
            raise UserError(f"{path}: {where}.modality: is missing; choose one of {', '.join(row.modalities)}")
        modality = row.modalities[0]
    member(path, f"{where}.modality", "modality of this row", modality, row.modalities)
    member(path, f"{where}.dataset", "dataset", dataset, scope.datasets)
    _check_layers(probe.layers, row.encoders[modality], f"{path}: {where}.layers")
    having = [name for name, each in scope.datasets.items() if modality in each.modalities]
    member(path, f"{where}.dataset", f"dataset with {modality!r}", dataset, having)
    if (task := scope.datasets[dataset].task) != "single_label":
        raise UserError(
            f"{path}: {where}.dataset: a probe of layers predicts the one label of a clip, and {dataset!r} is {task}; "
            "choose a dataset of single labels"
        )
    return ResolvedProbe(
        modality,
        dataset,
        probe.layers,
        _snapshot(probe.snapshot, row, scope, f"{path}: {where}.snapshot"),
        resolve_method(
            "feature_reduction",
            probe.reduction,
            f"{path}: {where}.reduction",
            scope.methods("feature_reduction", dataset),
        ),
    )


def _snapshot(snapshot: int | None, row: ResolvedRow, scope: Scope, where: str) -> int | None:
    """Snapshot that stands for one at a scale; the row's training keeps it."""
    if snapshot is None:
        return None
    step = scope.snapshot(row.dataset, snapshot)
    kept: list[int] = row.training["snapshots"]
    if step not in kept:
        steps = f"keeps {', '.join(map(str, kept))}" if kept else "keeps none"
        raise UserError(f"{where}: the training {steps}, found {step}; add it to training.snapshots")
    return step


def check_single_layer(probe: ResolvedProbe, where: str) -> None:
    """Refuse several layers in a row of a table, whose line shows one."""
    if len(probe.layers) > 1 or is_pattern(probe.layers[0]):
        raise UserError(
            f"{where}: a line of a table shows one layer, found {', '.join(probe.layers)}; give each a row, or make a "
            "figure"
        )


def _check_layers(layers: list[str], encoder: Method, where: str) -> None:
    """The encoder has the layers; one from outside has any, for it may inherit the names and add modules."""
    (name,) = encoder
    templates = () if ":" in name else signature.describe("encoder", name).attributes["layer_names"]
    known = {INPUT, OUTPUT, *spread(templates)}
    for layer in layers if templates else ():
        if layer not in known:
            try:
                select([layer], sorted(known))
            except UserError as error:
                raise UserError(f"{where}: {str(error).removeprefix('probe.layers: ')}") from error
