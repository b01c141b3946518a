"""What the panel of a table's row shows: its runs' curves, confusion, cost and provenance; imbalance, settings, log."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from avbalance import store
from avbalance.cli import UserError
from avbalance.metrics import accuracy
from avbalance.results import formats
from avbalance.results.columns import Column
from avbalance.results.statistics import t_interval

LOGS = Path("results/logs/runs")
LOG_LINES, LOG_BYTES = 20, 10_000
MOST_CLASSES = 60
"""A confusion matrix of more classes is no picture any more."""
COSTS = ("train_seconds", "train_clips_per_second", "num_epochs", "best_epoch", "num_parameters", "flops_per_clip", "peak_memory_mib")
PROVENANCE = ("commit", "device", "threads", "seconds", "finished", "python", "versions")


def describe_row(
    settings: Mapping[str, Any], row: str, records: Sequence[Mapping[str, Any]], columns: Mapping[str, Column]
) -> dict[str, Any]:
    """The panel of one row.

    Args:
        settings: Of the table's recipe: {"spec", "rows", "command", "scale", ...}.
        row: Its name.
        records: Its lines of the table's frame.
        columns: {name: column} of the table.

    Returns:
        {"runs": [see `describe_run`, or {"seed", "artifacts", "problem"}], "note", "dataset", "confusion", "imbalance",
        "config", "command"}; `note` says which seeds are missing and why, and is empty where none is.
    """
    spec, rows = settings["spec"], settings.get("rows", {})
    combined = spec.get("combined", {}).get(row)
    entries = [entry for part in (combined["rows"] if combined else [row]) for entry in rows.get(part, [])]
    runs = [_run_of(entry) for entry in entries]
    there = [run for run in runs if "problem" not in run]
    config = [run.pop("config") for run in there]
    matrices = [run.pop("confusion") for run in there]
    masked = [run.pop("masked") for run in there]
    seeds = {"seeds": [run["seed"] for run in there]}
    told = {"rows": combined["rows"]} if combined else config[0] | seeds if config else spec["rows"][row]
    return {
        "runs": runs,
        "note": _note(runs),
        "dataset": told.get("dataset"),
        "confusion": None if combined or not matrices or None in matrices else np.sum(matrices, axis=0).tolist(),
        "imbalance": None if combined or not config else imbalance(records, columns, list(config[0]["encoder"]), masked),
        "config": yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True, default_flow_style=None, width=80),
        "command": _command(settings, entries),
    }


def _command(settings: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """What makes the row's runs and nothing else; of a computed row, the whole table."""
    runs = " ".join(f"{entry['run']}/{store.MANIFEST}" for entry in entries)
    command = str(settings["command"])
    return command.replace("snakemake ", f"snakemake {runs} ", 1) if runs else command


def _note(runs: Sequence[Mapping[str, Any]]) -> str:
    problems = [f"seed {run['seed']} {run['problem']}" for run in runs if "problem" in run]
    return f"{len(runs) - len(problems)} of {len(runs)} seeds; {'; '.join(problems)}" if problems else ""


def _run_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One seed's run, or why there is none."""
    artifacts: dict[str, str] = {}
    for role, path in entry.items():
        if isinstance(path, str):
            artifacts[role] = path
        elif isinstance(path, dict):
            artifacts |= {f"{role} {name}": each for name, each in path.items() if isinstance(each, str)}
    folder = Path(entry["run"])
    about = {"seed": entry["seed"], "artifacts": artifacts, "log": tail(LOGS / f"{folder.name}.log")}
    if not folder.exists():
        return about | {"problem": why_missing(folder)}
    try:
        described = describe_run(folder)
        if entry.get("probe") and Path(entry["probe"]).exists():
            described["config"] |= _probe_settings(Path(entry["probe"]))
        return about | described
    except UserError as error:
        return about | {"problem": f"cannot be read: {error}"}


def why_missing(folder: Path) -> str:
    """What became of a run that is not there."""
    log = LOGS / f"{folder.name}.log"
    if log.exists():
        return f"failed: see {log}"
    if folder.with_name(f"{folder.name}.dvc").exists():
        return "is cached, not pulled: dvc pull"
    return f"has no run: {folder} is not here"


def tail(log: Path) -> list[str]:
    """The last lines of a log; none where there is no log."""
    if not log.exists():
        return []
    with log.open("rb") as file:
        file.seek(max(log.stat().st_size - LOG_BYTES, 0))
        said = file.read().decode(errors="replace")
    return [line.rsplit("\r", 1)[-1] for line in said.splitlines()[-LOG_LINES:]]


def describe_run(folder: Path) -> dict[str, Any]:
    """Everything that is shown of one run.

    Returns:
        {"history": {column: [epochs]}, "norms": {stream: [epochs]}, "cost": {name: number}, "provenance",
        "config", "confusion": [classes, classes] or None, "masked": {modality: per cent}}.

    Raises:
        UserError: The run is damaged, or another version made it.
    """
    manifest = store.open_artifact(folder)
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        confusion, masked = read_predictions(folder / "predictions.npz")
        return {
            "history": read_history(folder / "history.csv"),
            "norms": read_norms(folder / "weight_norms.npz"),
            "cost": {name: metrics[name] for name in COSTS if name in metrics},
            "provenance": {name: manifest["provenance"][name] for name in PROVENANCE if name in manifest["provenance"]},
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


def _probe_settings(folder: Path) -> dict[str, Any]:
    settings = store.read_manifest(folder)["recipe"]["settings"]
    return {"probe": settings} if settings else {}


def read_history(file: Path) -> dict[str, list[float | None]]:
    """The columns of a run's history but its seconds, short enough for a page; what is no finite number is None."""
    with file.open() as text:
        lines = list(csv.DictReader(text))
    names = [name for name in lines[0] if name != "seconds"] if lines else []
    return {name: [shorten(float(line[name])) for line in lines] for name in names}


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
        masked = {name.removeprefix(start): 100 * accuracy(found[name], labels) for name in found if name.startswith(start)}
        logits: NDArray[np.floating] = found["test_logits"]
    size = logits.shape[1]
    if size > MOST_CLASSES:
        return None, masked
    counts = np.bincount(labels * size + logits.argmax(axis=1), minlength=size * size)
    return counts.reshape(size, size).tolist(), masked


def imbalance(
    records: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Column],
    modalities: Sequence[str],
    masked: Sequence[Mapping[str, float]],
) -> dict[str, Any] | None:
    """Whatever the table says of single modalities, by modality; None where a row has one.

    Returns:
        {"columns": [measure], "rows": [[modality, text of each measure]], "gap": [largest minus smallest, as text]}.
    """
    if len(modalities) < 2:
        return None
    measures: dict[str, dict[str, tuple[str, float | None]]] = {}
    percentages = set()
    for record in records:
        column = columns[record["column"]]
        for modality in modalities:
            if modality in column.name.split("_") and record["num_seeds"]:
                measure = column.heading.replace(modality.capitalize(), "").strip()
                text = formats.cell_text(record, column.digits)
                measures.setdefault(measure, {})[modality] = (text, record["mean"] if record["n"] else None)
                percentages |= {measure} if column.unit in ("%", "points") else set()
    if "masked" not in measures and masked and all(set(modalities) <= set(each) for each in masked):
        percentages.add("masked")
        for modality in modalities:
            mean, half_width, n = t_interval(np.array([each[modality] for each in masked]))
            record = {"mean": mean, "half_width": half_width, "n": n, "num_seeds": n, "exact": False}
            measures.setdefault("masked", {})[modality] = (formats.cell_text(record, 1), mean)
    gaps = []
    for measure, told in measures.items():
        means = [mean for _, mean in told.values() if mean is not None]
        known = measure in percentages and len(means) == len(modalities)
        gaps.append(formats.number(max(means) - min(means), 1) if known else "–")
    rows = [[name, *(told.get(name, ("–", None))[0] for told in measures.values())] for name in modalities]
    return {"columns": list(measures), "rows": rows, "gap": gaps} if measures else None
