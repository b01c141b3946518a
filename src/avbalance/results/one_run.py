"""What the results page says of one run, from its files: history, norms, confusion, cost, provenance, settings, log."""

import csv
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance import registry, store
from avbalance.errors import UserError
from avbalance.metrics import accuracy
from avbalance.provenance import peak_memory_mib

LOGS = Path("results/logs")
LOG_LINES, LOG_BYTES = 20, 10_000
MOST_CLASSES = 60
"""A confusion matrix of more classes is no picture any more."""
COSTS = (
    "train_seconds",
    "train_clips_per_second",
    "num_epochs",
    "best_epoch",
    "num_parameters",
    "multiply_adds_per_clip",
)
PER_CENT = re.compile(r"_(accuracy|top5|map|mauc|acc_masked_.+|eer_.+)$")
"""Columns of a history that are fractions there."""
PROVENANCE = ("commit", "device", "threads", "seconds", "finished", "python", "versions")


def describe_run(folder: Path) -> dict[str, Any]:
    """Everything that is shown of one run.

    Returns:
        {"history": {column: [epochs]}, "norms": {stream: [epochs]}, "cost": {name: number}, "provenance", "inputs",
        "config", "confusion": [classes, classes] or None, "masked": {modality: per cent}}.

    Raises:
        UserError: The run is damaged, or another version made it.
    """
    manifest = store.open_artifact(folder)
    made = manifest["provenance"]
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        confusion, masked = read_predictions(folder / "predictions.npz")
        return {
            "history": read_history(folder / "history.csv"),
            "norms": read_norms(folder / "weight_norms.npz"),
            "cost": {name: metrics[name] for name in COSTS if name in metrics}
            | {"peak_memory_mib": peak_memory_mib(made)},
            "provenance": {name: made[name] for name in PROVENANCE if name in made},
            "inputs": manifest["recipe"]["inputs"],
            "config": _settings(manifest),
            "confusion": confusion,
            "masked": masked,
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder}: has another form than this version's runs ({error!r}); remove it and make it again with "
            "'snakemake --cores all'"
        ) from error


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings, without its seed, in which the runs of a row differ."""
    settings = dict(manifest["recipe"]["settings"])
    settings.pop("seed", None)
    settings["encoder"] = dict(settings["encoder"])
    return settings


def methods_of(settings: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(kind, name) of a run's methods, and of those among their options."""
    found: set[tuple[str, str]] = set()
    waiting = [("encoder", spec) for spec in settings["encoder"].values()]
    waiting += [(kind, settings[kind]) for kind in registry.METHODS_OF_ROW if kind in settings]
    while waiting:
        kind, spec = waiting.pop()
        for name, options in spec.items():
            found.add((kind, name))
            waiting += [(option, value) for option, value in options.items() if option in registry.KINDS and value]
    return found


def read_history(file: Path) -> dict[str, list[float | None]]:
    """The columns of a run's history but its seconds, short enough for a page; what is no finite number is None.

    Accuracies and the like are in per cent, as everywhere on the page.
    """
    with file.open(encoding="utf-8") as text:
        lines = list(csv.DictReader(text))
    names = [name for name in lines[0] if name != "seconds"] if lines else []
    factors = {name: 100 if PER_CENT.search(name) else 1 for name in names}
    return {name: [shorten(factors[name] * float(line[name])) for line in lines] for name in names}


def read_norms(file: Path) -> dict[str, list[float | None]]:
    """{stream: [epochs]}: lengths of a head's weights, the mean over classes."""
    if not file.exists():
        return {}
    with np.load(file, allow_pickle=False) as norms:
        return {
            name.removeprefix("weight_norm_"): [shorten(value) for value in norms[name].mean(axis=1)] for name in norms
        }


def shorten(value: float) -> float | None:
    """Four digits that count."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


def read_predictions(file: Path) -> tuple[list[list[int]] | None, dict[str, float]]:
    """Confusion of test clips, true class by what was said, and each modality's masked accuracy in per cent.

    Both are of data whose clips have one class each; there are no more than 60 for a confusion.
    """
    with np.load(file, allow_pickle=False) as found:
        if "test_logits" not in found or found["test_label"].ndim != 1:
            return None, {}
        labels, start = found["test_label"], "test_masked_"
        masked = {
            name.removeprefix(start): 100 * accuracy(found[name], labels) for name in found if name.startswith(start)
        }
        logits: NDArray[np.floating] = found["test_logits"]
    size = logits.shape[1]
    if size > MOST_CLASSES:
        return None, masked
    counts = np.bincount(labels * size + logits.argmax(axis=1), minlength=size * size)
    return counts.reshape(size, size).tolist(), masked


def why_missing(folder: Path) -> str:
    """What became of a run, or of another artifact, that is not there."""
    log = LOGS / folder.parent.name / f"{folder.name}.log"
    if log.exists():
        return f"failed: see {log}"
    if folder.with_name(f"{folder.name}.dvc").exists():
        return "is cached, not pulled: dvc pull"
    return f"is not here: {folder}"


def tail(log: Path) -> list[str]:
    """The last lines of a log; none where there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - LOG_BYTES, 0))
        said = file.read().decode(errors="replace")
    return [line.rsplit("\r", 1)[-1] for line in said.rstrip("\n").split("\n")[-LOG_LINES:]]
