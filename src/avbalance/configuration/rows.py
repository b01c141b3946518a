"""The rows of tables: what each trains, on what and how, and whether that fits together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from avbalance import registry
from avbalance.configuration import probes as probing
from avbalance.configuration import scaling, signature
from avbalance.configuration.checks import check_method, member, validate
from avbalance.configuration.schema import Dataset, Scale, Training, Weights
from avbalance.configuration.table_schema import HEAD, Row, Table
from avbalance.errors import UserError
from avbalance.registry import Spec


def read(
    table: Table, path: Path, datasets: dict[str, Dataset], models: Mapping[str, Weights], scale: Scale
) -> dict[str, Row]:
    """A table's rows, checked, with its defaults and at a scale."""
    _check_defaults(table, path, datasets, scale)
    rows = {}
    for name, own in table.rows.items():
        where = f"rows.{name}"
        row = validate(Row, {**table.defaults, **own}, path, where)
        member(path, f"{where}.dataset", "dataset", row.dataset, datasets)
        dataset = datasets[row.dataset]
        for modality in row.modalities or []:
            member(path, f"{where}.modalities", "modality", modality, dataset.modalities)
        row.modalities = row.modalities or dataset.modalities
        scaling.scale(row, scale)
        check_training(_training(row, scale), dataset, path, f"{where}.training")
        _check_encoders(row, datasets, path, where)
        _check_methods(row, dataset, path, where)
        if "optimizer" not in own.get("training", {}):
            _check_optimizer(row, training(row, scale), path, where)
        _check_pretrained(row, datasets, models, path, where)
        probing.check(table, row, encoders(row), training(row, scale), datasets, path, where)
        changed = scale.methods
        row.encoder = {m: _scaled_method(spec, changed.get("encoder", {})) for m, spec in encoders(row).items()}
        for kind in ("fusion", "head", "loss", "balancer"):
            setattr(row, kind, _scaled_method(getattr(row, kind), changed.get(kind, {})))
        if row.probe is not None:
            row.probe.reduction = _scaled_method(row.probe.reduction, changed.get("feature_reduction", {}))
        rows[name] = row
    return rows


def _check_defaults(table: Table, path: Path, datasets: Mapping[str, Dataset], scale: Scale) -> None:
    """Check a table's defaults, also those that every row overrides."""
    row = validate(Row, {"dataset": "", "encoder": "", **table.defaults}, path, "defaults")
    if row.dataset:
        member(path, "defaults.dataset", "dataset", row.dataset, datasets)
    if row.encoder:
        _check_encoders(row, datasets, path, "defaults")
    validate(Training, _training(row, scale), path, "defaults.training")
    for kind in ("fusion", "head", "loss", "balancer"):
        check_method(kind, getattr(row, kind), f"{path}: defaults.{kind}")


def _check_encoders(row: Row, datasets: Mapping[str, Dataset], path: Path, where: str) -> None:
    """Encoders exist and take their options, those of modalities too that the row leaves out."""
    modalities = {modality for dataset in datasets.values() for modality in dataset.modalities}
    if not (isinstance(row.encoder, Mapping) and set(row.encoder) & modalities):
        check_method("encoder", cast(Spec, row.encoder), f"{path}: {where}.encoder")
        return
    for modality, spec in row.encoder.items():
        member(path, f"{where}.encoder", "modality", modality, modalities)
        check_method("encoder", cast(Spec, spec), f"{path}: {where}.encoder.{modality}")


def _scaled_method(spec: Spec, changed: Mapping[str, Mapping[str, Any]]) -> Spec:
    """A specification with a scale's options in the place of its own."""
    name, options = registry.parse(spec)
    return {name: {**options, **changed[name]}} if name in changed else spec


def training(row: Row, scale: Scale) -> dict[str, Any]:
    """How a row is trained: as the scale says, as it says for the dataset, as the row says; without defaults."""
    return Training.model_validate(_training(row, scale)).model_dump(exclude_defaults=True)


def _training(row: Row, scale: Scale) -> dict[str, Any]:
    own = scale.datasets[row.dataset].training if row.dataset in scale.datasets else {}
    return {**scale.training.model_dump(exclude_unset=True), **own, **row.training}


def check_training(training: Mapping[str, Any], dataset: Dataset, path: Path, where: str) -> None:
    """Settings of training are allowed, and augmentation has pictures to cut."""
    augment = validate(Training, training, path, where).augment
    if augment is not None:
        check_method("augmentation", augment, f"{path}: {where}.augment")
        if dataset.prepare is None:
            raise UserError(
                f"{path}: {where}.augment: found {augment!r}, but the reader of this dataset makes arrays itself, "
                "which are not stored as pictures; leave it out"
            )


def encoders(row: Row) -> dict[str, Spec]:
    """{modality: encoder} of a row, from `{modality: encoder}` or one encoder for all."""
    modalities = row.modalities or []
    if isinstance(row.encoder, Mapping) and set(row.encoder) & set(modalities):
        per_modality = dict(row.encoder)
        missing = [modality for modality in modalities if modality not in per_modality]
        if missing:
            raise UserError(f"no encoder for {missing[0]!r}; write {{{missing[0]}: <encoder>, ...}}")
        return {modality: cast(Spec, per_modality[modality]) for modality in modalities}
    return dict.fromkeys(modalities, cast(Spec, row.encoder))


def _check_methods(row: Row, dataset: Dataset, path: Path, where: str) -> None:
    """Every method exists, its options fit its signature, and the methods fit each other and the data."""
    try:
        chosen = encoders(row)
    except UserError as error:
        raise UserError(f"{path}: {where}.encoder: {error}") from error
    for kind in ("fusion", "head", "loss", "balancer"):
        check_method(kind, getattr(row, kind), f"{path}: {where}.{kind}")
    try:
        _check_pairing(row, chosen, dataset.task)
    except UserError as error:
        raise UserError(f"{path}: {where}.{error}") from error


def _check_pairing(row: Row, chosen: Mapping[str, Spec], task: str) -> None:
    """What methods need of the encoders, of each other and of the data, by what their classes declare."""
    names = {kind: registry.parse(getattr(row, kind))[0] for kind in ("fusion", "head", "loss", "balancer")}
    declared = {kind: signature.describe(kind, name).attributes for kind, name in names.items()}
    for kind, name in names.items():
        if declared[kind].get("two_modalities") and len(chosen) != 2:
            raise UserError(
                f"{kind}: {name!r} is defined for exactly two modalities, found {', '.join(chosen)}; "
                f"choose two modalities or another {kind}"
            )
        if task not in declared[kind].get("tasks", (task,)):
            raise UserError(
                f"{kind}: {name!r} is defined for {' and '.join(declared[kind]['tasks'])} data, and {row.dataset!r} is "
                f"{task}; choose another {kind}"
            )
    fusion = names["fusion"]
    dims = {modality: signature.feature_dim(spec) for modality, spec in chosen.items()}
    if declared["fusion"].get("equal_dims") and len(set(dims.values()) - {None}) > 1:
        lengths = ", ".join(f"{modality} {dim}" for modality, dim in dims.items())
        raise UserError(
            f"fusion: {fusion!r} needs features of equal length, found {lengths}; "
            f"choose encoders of one feature_dim or another fusion"
        )
    if declared["fusion"].get("reads_maps"):
        for modality, spec in chosen.items():
            encoder = registry.parse(spec)[0]
            if not signature.describe("encoder", encoder).attributes.get("has_maps"):
                raise UserError(
                    f"fusion: {fusion!r} reads feature maps, and encoder {encoder!r} of {modality!r} has none; choose "
                    "an encoder of the ResNet families or another fusion"
                )
        if row.pretrained:
            raise UserError(f"pretrained: fusion {fusion!r} cuts its encoders, so whole ones do not fit; leave it out")
    required = declared["balancer"].get("requires_loss", ())
    if required and names["loss"] not in required:
        raise UserError(
            f"balancer: {names['balancer']!r} needs loss {' or '.join(map(repr, required))}, found {names['loss']!r}"
        )
    if declared["balancer"].get("several_modalities") and len(chosen) < 2:
        raise UserError(f"balancer: {names['balancer']!r} balances modalities, found {', '.join(chosen)} alone")
    options = [options for spec in chosen.values() for options in signature.resolve("encoder", spec).values()]
    if declared["balancer"].get("needs_branch") and not any(given.get("branch") for given in options):
        raise UserError(
            f"balancer: {names['balancer']!r} needs an encoder with an auxiliary branch; choose one whose option "
            "branch is true, or another balancer"
        )
    weight = signature.resolve("loss", row.loss)[names["loss"]].get("weight", 1)
    if declared["balancer"].get("weighs_heads") and weight != 1:
        raise UserError(
            f"balancer: {names['balancer']!r} weighs the heads itself; leave the weight of {names['loss']!r} at 1, "
            f"found {weight}"
        )


def _check_optimizer(row: Row, training: Mapping[str, Any], path: Path, where: str) -> None:
    """A balancer that scales gradients is trained with SGD; a row that names its optimiser itself may show why."""
    name, optimizer = registry.parse(row.balancer)[0], training.get("optimizer", "adam")
    if optimizer != "sgd" and signature.describe("balancer", name).attributes.get("scales_gradients"):
        raise UserError(
            f"{path}: {where}.balancer: {name!r} scales gradients, which optimizer {optimizer!r} undoes; train the "
            f"table with optimizer: sgd, or, to show this, give the row its own training: {{optimizer: {optimizer}}}"
        )


def _check_pretrained(
    row: Row, datasets: Mapping[str, Dataset], models: Mapping[str, Weights], path: Path, where: str
) -> None:
    """Every encoder starts from something that has its modality; the head too, where there is one modality."""
    for modality, start in row.pretrained.items() if isinstance(row.pretrained, dict) else ():
        modalities = row.modalities or []
        heads = [HEAD] if len(modalities) == 1 else []
        member(path, f"{where}.pretrained", "modality of this row", modality, [*modalities, *heads])
        key = f"{where}.pretrained.{modality}"
        member(path, key, "data set or model", start, [*datasets, *models])
        if start in datasets and modality != HEAD:
            member(
                path,
                key,
                f"data set with {modality!r}",
                start,
                [name for name, dataset in datasets.items() if modality in dataset.modalities],
            )
