"""One run on the results page: history, norms, confusion, cost, provenance, settings, log."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance import bundles, registry
from avbalance.errors import UserError
from avbalance.metrics import accuracy
from avbalance.provenance import peak_memory_mib
from avbalance.results.runs import Predictions, Run

LOGS = Path("results/logs")
NOT_PULLED = "is cached but not pulled: dvc pull"
LOG_LINES, LOG_BYTES = 20, 10_000
MOST_CLASSES = 60
"""Largest number of classes whose confusion matrix is drawn."""
COSTS = (
    "train_seconds",
    "train_clips_per_second",
    "num_epochs",
    "best_epoch",
    "num_parameters",
    "multiply_adds_per_clip",
)
PER_CENT = re.compile(r"_(accuracy|top5|map|mauc|acc_masked_.+|eer_.+)$")
"""Columns of a history that hold fractions."""
PROVENANCE = ("commit", "device", "threads", "seconds", "finished", "python", "versions")


def describe_run(folder: Path) -> dict[str, Any]:
    """Return everything that the page shows of one run.

    Returns:
        {"history": {column: [epochs]}, "norms": {stream: [epochs]}, "cost": {name: number}, "provenance", "inputs",
        "config", "confusion": [classes, classes] or None, "masked": {modality: per cent}}.

    Raises:
        UserError: The run is damaged, or another version made it.
    """
    run = Run(folder)
    provenance = run.manifest["provenance"]
    try:
        confusion, masked = confusion_of(run.predictions)
        return {
            "history": shorten_history(run.history),
            "norms": {stream: list(map(shorten, norms.mean(axis=1))) for stream, norms in run.weight_norms.items()},
            "cost": {name: run.metrics[name] for name in COSTS if name in run.metrics}
            | ({"peak_memory_mib": peak_memory_mib(provenance)} if run.manifest["recipe"]["step"] == "train" else {}),
            "provenance": {name: provenance[name] for name in PROVENANCE if name in provenance},
            "inputs": run.manifest["recipe"]["inputs"],
            "config": _settings(run),
            "confusion": confusion,
            "masked": masked,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: was made by another version ({error!r}); remove it and make it again with "
            "'snakemake --cores all'"
        ) from error


def _settings(run: Run) -> dict[str, Any]:
    """A run's settings without the seed, in which the runs of a row differ, and without the options not chosen."""
    settings = {key: value for key, value in run.settings.items() if key not in ("seed", "trials")}
    settings["encoder"] = dict(settings["encoder"])
    return settings


def methods_of(settings: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(kind, name) of a run's methods, and of those among their options."""
    of_row = [(kind, settings[kind]) for kind in registry.METHODS_OF_ROW if kind in settings]
    return set(registry.methods_of([*(("encoder", each) for each in settings["encoder"].values()), *of_row]))


def shorten_history(history: Mapping[str, NDArray[np.float64]]) -> dict[str, list[float | None]]:
    """Columns of a history except seconds, short enough for a page; None for a number that is not finite.

    Accuracies and similar shares are in per cent, as everywhere on the page.
    """
    factors = {name: 100 if PER_CENT.search(name) else 1 for name in history if name != "seconds"}
    if not all(map(len, history.values())):
        return {}
    return {name: [shorten(factor * value) for value in history[name]] for name, factor in factors.items()}


def shorten(value: float) -> float | None:
    """Round to four significant digits; None for a number that is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def confusion_of(predictions: Predictions) -> tuple[list[list[int]] | None, dict[str, float]]:
    """Confusion of test clips, [true, predicted], and each modality's masked accuracy in per cent.

    Both need clips with one class each; a confusion needs at most 60 classes.
    """
    if "test_logits" not in predictions or predictions["test_label"].ndim != 1:
        return None, {}
    labels, logits, start = predictions["test_label"], predictions["test_logits"], "test_masked_"
    masked = {
        name.removeprefix(start): 100 * accuracy(predictions[name], labels)
        for name in predictions
        if name.startswith(start)
    }
    size = logits.shape[1]
    if size > MOST_CLASSES:
        return None, masked
    counts = np.bincount(labels * size + logits.argmax(axis=1), minlength=size * size)
    return counts.reshape(size, size).tolist(), masked


def why_missing(folder: Path) -> str:
    """Reason why a run or another artifact is missing."""
    log = LOGS / folder.parent.name / f"{folder.name}.log"
    if log.exists():
        return f"failed: see {log}"
    if any(str(folder) in folders for folders in bundles.listed(Path()).values()):
        return NOT_PULLED
    return f"is missing: {folder}"


def tail(log: Path) -> list[str]:
    """Last lines of a log; none without a log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - LOG_BYTES, 0))
        text = file.read().decode(errors="replace")
    return [line.rsplit("\r", 1)[-1] for line in text.rstrip("\n").split("\n")[-LOG_LINES:]]
