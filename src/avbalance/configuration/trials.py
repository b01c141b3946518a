"""Trials of rows: changes of options, each resolved to every option that it would be trained with."""

from pathlib import Path
from typing import Any

from avbalance.configuration import signature
from avbalance.configuration.checks import resolve_method, validate
from avbalance.configuration.resolved import Options, ResolvedRow, Scope
from avbalance.configuration.schema import Training
from avbalance.configuration.table_schema import Row, Trial, TrialTraining
from avbalance.errors import UserError
from avbalance.registry import METHODS_OF_ROW, parse

DIGITS = 6
"""Significant digits of a learning rate that follows from a factor, so that 0.3 of 0.03 is 0.009."""


def resolve_trials(row: ResolvedRow, given: Row, scope: Scope, path: Path, where: str) -> list[Options]:
    """Options of each trial of a row; the first are the row's own.

    Args:
        where: Place of the list, for errors.

    Raises:
        UserError: Validation has no accuracy, or a trial changes what it may not, or nothing.
    """
    trials = given.trials or []
    task = scope.datasets[row.dataset].task
    if trials and task != "single_label":
        raise UserError(
            f"{path}: {where}: needs single_label data, for it is chosen by accuracy, found {task} data; leave it out"
        )
    resolved: list[Options] = []
    for number, trial in enumerate(trials):
        options = _resolve(row, given, trial, scope, path, f"{where}.{number}")
        # where a scale's own options, such as a small width, take the place of all others, two trials may be the same
        is_changed = any(scope.methods(kind, row.dataset) for kind in METHODS_OF_ROW)
        if options in resolved and not is_changed:
            raise UserError(f"{path}: {where}.{number}: is the same as trial {resolved.index(options)}; leave one out")
        resolved.append(options)
    return resolved


def _resolve(row: ResolvedRow, given: Row, trial: Trial, scope: Scope, path: Path, where: str) -> Options:
    options = row.options
    (balancer,) = row.methods["balancer"]
    is_blended = signature.describe("balancer", balancer).attributes.get("uses_blend")
    for kind in METHODS_OF_ROW:
        spec = getattr(trial, kind)
        if spec is None:
            continue
        place = f"{path}: {where}.{kind}"
        if is_blended and kind != "balancer":
            raise UserError(
                f"{place}: {balancer!r} needs runs of the row's {kind}; try options of the balancer or of training"
            )
        (name, own), (tried, changes) = parse(getattr(given, kind)), _parse(spec, place)
        if tried != name:
            raise UserError(f"{place}: found {tried!r}; a trial changes options of the row's own method, {name!r}")
        options[kind] = resolve_method(kind, {name: {**own, **changes}}, place, scope.methods(kind, row.dataset))
    if trial.training is not None:
        changes = _training(trial.training, row.training["learning_rate"])
        options["training"] = validate(Training, {**row.training, **changes}, path, f"{where}.training").model_dump()
    return options


def _parse(spec: Any, place: str) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    try:
        return parse(spec)
    except UserError as error:
        raise UserError(f"{place}: {error}") from error


def _training(trial: TrialTraining, learning_rate: float) -> dict[str, Any]:
    """Keys that a trial changes; the factor becomes a learning rate."""
    changes = trial.model_dump(exclude_unset=True)
    if factor := changes.pop("learning_rate_factor", None):
        changes["learning_rate"] = float(f"{learning_rate * factor:.{DIGITS}g}")
    return changes
