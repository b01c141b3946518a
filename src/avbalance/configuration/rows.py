"""Rows of tables, read from their YAML and resolved, each once."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from avbalance.configuration import signature
from avbalance.configuration.checks import member, resolve_method, validate
from avbalance.configuration.probes import check_single_layer, resolve_probe
from avbalance.configuration.resolved import ResolvedRow, Scope, default
from avbalance.configuration.schema import Dataset, RowTraining
from avbalance.configuration.table_schema import HEAD, Combining, Row, Table, merge
from avbalance.configuration.trials import resolve_trials
from avbalance.errors import UserError
from avbalance.registry import METHODS_OF_ROW, Method, Spec
from avbalance.requirements import Combination, Encoder, check


def read_rows(table: Table, path: Path, scope: Scope) -> dict[str, ResolvedRow]:
    """Rows of a table, checked and resolved.

    Raises:
        UserError: Names file, key, what was found and what is allowed.
    """
    _check_defaults(table, path, scope)
    return {name: _resolve(table, name, path, scope) for name in table.rows}


def _check_defaults(table: Table, path: Path, scope: Scope) -> None:
    """Check a table's defaults, also those that every row overrides."""
    row = validate(Row, {"dataset": "", "encoder": "", **table.defaults}, path, "defaults")
    if row.dataset:
        member(path, "defaults.dataset", "dataset", row.dataset, scope.datasets)
    if row.encoder:
        _encoders(row.encoder, [], row.dataset, scope, path, "defaults.encoder")
    validate(RowTraining, _given_training(row.training, row.dataset, scope), path, "defaults.training")
    for kind in METHODS_OF_ROW:
        resolve_method(kind, getattr(row, kind), f"{path}: defaults.{kind}")


def _resolve(table: Table, name: str, path: Path, scope: Scope) -> ResolvedRow:
    """Row of a table; rows of other tables that are equal but for their labels are resolved once."""
    own = table.rows[name]
    fields = merge(table.defaults, own)
    row = validate(Row, fields, path, f"rows.{name}")
    names_optimizer = "optimizer" in own.get("training", {})
    key = repr([{**fields, "label": None}, names_optimizer, table.figure is None])
    if key not in scope.resolved:
        scope.resolved[key] = _resolve_given(table, name, row, names_optimizer, path, scope)
    return replace(scope.resolved[key], label=row.label or name.replace("_", " "))


def _resolve_given(table: Table, name: str, row: Row, names_optimizer: bool, path: Path, scope: Scope) -> ResolvedRow:
    """The row without its label."""
    where = f"rows.{name}"
    member(path, f"{where}.dataset", "dataset", row.dataset, scope.datasets)
    dataset = scope.datasets[row.dataset]
    for modality in row.modalities or []:
        member(path, f"{where}.modalities", "modality", modality, dataset.modalities)
    training = _training(row.training, row.dataset, scope, path, f"{where}.training")
    resolved = ResolvedRow(
        label="",
        dataset=row.dataset,
        encoders=_encoders(
            row.encoder, row.modalities or dataset.modalities, row.dataset, scope, path, f"{where}.encoder"
        ),
        methods={
            kind: resolve_method(kind, getattr(row, kind), f"{path}: {where}.{kind}", scope.methods(kind, row.dataset))
            for kind in METHODS_OF_ROW
        },
        starts={},
        training=training,
        probe=None,
    )
    resolved = replace(resolved, starts=_starts(resolved, row, scope, path, f"{where}.pretrained"))
    is_probed = row.probe is not None
    combination = _combination(resolved, dataset, names_optimizer, is_probed)
    _check_methods(resolved, combination, f"{path}: {where}")
    trials = resolve_trials(resolved, row, scope, path, f"{where}.trials")
    for number, options in enumerate(trials):
        tried = resolved.untuned(options)
        if tried.methods != resolved.methods:
            facts = replace(combination, loss_weight=_loss_weight(tried))
            _check_methods(tried, facts, f"{path}: {where}.trials.{number}")
    if scope.scale.trials > 1:
        resolved = replace(resolved, trials=trials[: scope.scale.trials])
    if row.combine is not None:
        return _combined(resolved, row.combine, dataset, f"{path}: {where}.combine")
    if row.probe is None:
        return resolved
    probe = resolve_probe(row.probe, resolved, scope, path, f"{where}.probe")
    if table.figure is None:
        check_single_layer(probe, f"{path}: {where}.probe.layers")
    return replace(resolved, probe=probe)


def _check_methods(row: ResolvedRow, combination: Combination, place: str) -> None:
    """Refuse methods that lack what they need of each other."""
    encoders = [("encoder", encoder) for encoder in row.encoders.values()]
    for kind, method in [*encoders, *row.methods.items()]:
        ((chosen, options),) = method.items()
        try:
            declared = signature.describe(kind, chosen).attributes
            asked = replace(combination, options=options) if declared.get("by_modality") else combination
            check(kind, chosen, declared, asked)
        except UserError as error:
            raise UserError(f"{place}.{error}") from error


def _combined(row: ResolvedRow, combine: Combining, dataset: Dataset, where: str) -> ResolvedRow:
    """The row as an ensemble; that of uni-modal runs has no other methods than encoders."""
    if dataset.task != "single_label":
        raise UserError(f"{where}: needs single_label data, found {dataset.task} data; leave it out")
    if combine.members != "alone":
        return replace(row, combine=combine)
    if len(row.modalities) == 1:
        raise UserError(
            f"{where}.members: alone needs two modalities or more, found {row.modalities[0]}; give a number of seeds"
        )
    return replace(row, methods={kind: default(kind) for kind in METHODS_OF_ROW}, combine=combine)


def _encoders(
    encoder: Spec | Mapping[str, Spec], modalities: list[str], dataset: str, scope: Scope, path: Path, where: str
) -> dict[str, Method]:
    """{modality: encoder} from such a mapping, whose other encoders are checked too, or from one encoder for all."""
    options = scope.methods("encoder", dataset)
    if not (isinstance(encoder, Mapping) and set(encoder) & scope.modalities):
        return dict.fromkeys(modalities, resolve_method("encoder", cast(Spec, encoder), f"{path}: {where}", options))
    resolved = {}
    for modality, spec in encoder.items():
        member(path, where, "modality", modality, scope.modalities)
        resolved[modality] = resolve_method("encoder", cast(Spec, spec), f"{path}: {where}.{modality}", options)
    for modality in modalities:
        if modality not in resolved:
            raise UserError(f"{path}: {where}: no encoder for {modality!r}; write {{{modality}: <encoder>, ...}}")
    return {modality: resolved[modality] for modality in modalities}


def _given_training(own: Mapping[str, Any], dataset: str, scope: Scope) -> dict[str, Any]:
    """Settings of training from the scale, then from the scale for the dataset, then from the row."""
    changed = scope.scale.datasets[dataset].training if dataset in scope.scale.datasets else {}
    return {**scope.training, **changed, **own}


def _training(own: Mapping[str, Any], dataset: str, scope: Scope, path: Path, where: str) -> dict[str, Any]:
    given = _given_training(own, dataset, scope)
    training = resolve_training(given, scope.datasets[dataset], path, where)
    return {**training, "snapshots": [scope.snapshot(dataset, step) for step in training["snapshots"]]}


def resolve_training(given: Mapping[str, Any], dataset: Dataset, path: Path, where: str) -> dict[str, Any]:
    """Every key of training; augmentation needs pictures to cut."""
    training = validate(RowTraining, given, path, where).stretched()
    if training.augment is None:
        return training.model_dump()
    augment = resolve_method("augmentation", training.augment, f"{path}: {where}.augment")
    if dataset.prepare is None:
        raise UserError(
            f"{path}: {where}.augment: found {training.augment!r}, but the reader of this dataset makes arrays itself, "
            "which are not stored as pictures; leave it out"
        )
    return {**training.model_dump(), "augment": augment}


def _starts(row: ResolvedRow, given: Row, scope: Scope, path: Path, where: str) -> dict[str, ResolvedRow | str]:
    """Starts of encoders; each start has the encoder's modality. In a uni-modal row the head may have one too."""
    named = given.pretrained
    if not isinstance(named, dict):
        named = dict.fromkeys(row.modalities, row.dataset) if named else {}
    own = {key: value for key, value in given.training.items() if key != "snapshots" and (key, value) != ("epochs", 0)}
    starts: dict[str, ResolvedRow | str] = {}
    for part, name in named.items():
        heads = [HEAD] if len(row.encoders) == 1 else []
        member(path, where, "modality of this row", part, [*row.modalities, *heads])
        start = scope.scale.starts.get(name, name)
        member(path, f"{where}.{part}", "dataset or model", start, [*scope.datasets, *scope.models])
        starts[part] = start
        if start in scope.datasets:
            modality = row.modalities[0] if part == HEAD else part
            having = [each for each, dataset in scope.datasets.items() if modality in dataset.modalities]
            member(path, f"{where}.{part}", f"dataset with {modality!r}", start, having)
            training = _training(own, start, scope, path, f"{where}.{part}")
            starts[part] = replace(row.alone(modality), dataset=start, training=training)
    return starts


def _combination(row: ResolvedRow, dataset: Dataset, names_optimizer: bool, is_probed: bool) -> Combination:
    """Facts about a row by which its methods are checked."""
    encoders = {}
    for modality, spec in row.encoders.items():
        ((name, options),) = spec.items()
        has_maps = bool(signature.describe("encoder", name).attributes.get("has_maps"))
        encoders[modality] = Encoder(name, signature.feature_dim(spec), has_maps, bool(options.get("branch")))
    (head,), (fusion,), (loss,) = (row.methods[kind] for kind in ("head", "fusion", "loss"))
    of_fusion = signature.describe("fusion", fusion).attributes
    return Combination(
        encoders,
        task=dataset.task,
        fusion=fusion,
        mixes=bool(of_fusion["mixes"]),
        joins_stages=bool(of_fusion["joins_stages"]),
        head=head,
        loss=loss,
        loss_weight=_loss_weight(row),
        is_pretrained=bool(row.starts),
        is_probed=is_probed,
        optimizer=None if names_optimizer else row.training["optimizer"],
    )


def _loss_weight(row: ResolvedRow) -> float:
    (options,) = row.methods["loss"].values()
    return float(options.get("weight", 1))
