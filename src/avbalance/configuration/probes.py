"""What a row asks of its probes is there, as far as that is known before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance import registry
from avbalance.configuration import signature
from avbalance.configuration.checks import check_method, member
from avbalance.configuration.schema import Dataset
from avbalance.configuration.table_schema import Row, Table
from avbalance.errors import UserError
from avbalance.probing.names import INPUT, OUTPUT, is_pattern, select, spread
from avbalance.registry import Spec


def check(
    table: Table,
    row: Row,
    encoders: Mapping[str, Spec],
    training: Mapping[str, Any],
    datasets: Mapping[str, Dataset],
    path: Path,
    where: str,
) -> None:
    """Modality, data set, layers, moment and reduction exist, and a line of a table shows one layer.

    Args:
        table: That has the row.
        row: With its modalities; a modality that is left out is filled in.
        encoders: The row's, by modality.
        training: The row's, at its scale.
        datasets: By name.
        path, where: Named in errors.
    """
    probe = row.probe
    if probe is None:
        return
    where = f"{where}.probe"
    modalities = row.modalities or []
    if probe.modality is None and len(modalities) > 1:
        raise UserError(f"{path}: {where}.modality: is missing; choose one of {', '.join(modalities)}")
    probe.modality = probe.modality or modalities[0]
    member(path, f"{where}.modality", "modality of this row", probe.modality, modalities)
    probe.dataset = probe.dataset or row.dataset
    member(path, f"{where}.dataset", "dataset", probe.dataset, datasets)
    _check_layers(probe.layers, encoders[probe.modality], f"{path}: {where}.layers")
    having = [name for name, dataset in datasets.items() if probe.modality in dataset.modalities]
    member(path, f"{where}.dataset", f"data set with {probe.modality!r}", probe.dataset, having)
    if (task := datasets[probe.dataset].task) != "single_label":
        raise UserError(
            f"{path}: {where}.dataset: a layer's probe tells the one label of a clip, and {probe.dataset!r} is {task}; "
            "give a data set of single labels"
        )
    moments = training.get("moments", [])
    if probe.moment is not None and probe.moment not in moments:
        kept = f"keeps {', '.join(map(str, moments))}" if moments else "keeps none"
        raise UserError(
            f"{path}: {where}.moment: the training {kept}, found {probe.moment}; add it to training.moments"
        )
    check_method("feature_reduction", probe.reduction, f"{path}: {where}.reduction")
    if table.figure is None and (len(probe.layers) > 1 or is_pattern(probe.layers[0])):
        raise UserError(
            f"{path}: {where}.layers: a line of a table shows one layer, found {', '.join(probe.layers)}; give each "
            "a row, or make a figure"
        )


def _check_layers(layers: list[str], encoder: Spec, where: str) -> None:
    """The encoder has the layers; one from outside has any, for it may inherit the names and add modules."""
    name, _ = registry.parse(encoder)
    templates = () if ":" in name else signature.describe("encoder", name).attributes["layer_names"]
    known = {INPUT, OUTPUT, *spread(templates)}
    for layer in layers if templates else ():
        if layer not in known:
            try:
                select([layer], sorted(known))
            except UserError as error:
                raise UserError(f"{where}: {str(error).removeprefix('probe.layers: ')}") from error
