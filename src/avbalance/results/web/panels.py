"""Panel of a table's row: runs, missing artifacts, imbalance, settings and command."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from avbalance import store
from avbalance.errors import UserError
from avbalance.results import formats
from avbalance.results.columns.base import Header, match_column
from avbalance.results.statistics import t_interval
from avbalance.results.web import one_run


def describe_row(
    settings: Mapping[str, Any], row: str, records: Sequence[Mapping[str, Any]], columns: Mapping[str, Header]
) -> dict[str, Any]:
    """Return the panel of one row.

    Args:
        settings: Settings of the table's recipe: {"spec", "rows", "command", "scale", ...}.
        row: Name of the row.
        records: The row's lines of the table's frame.
        columns: {name: header} of the table.

    Returns:
        {"runs": [see `one_run.describe_run`, or {"seed", "artifacts", "problem"}], "note", "dataset", "confusion",
        "imbalance", "config", "command", "methods": {(kind, name)}}; `note` names the missing seeds with the reason
        and is empty without any.
    """
    spec, rows = settings["spec"], settings.get("rows", {})
    combined = spec.get("combined", {}).get(row)
    entries = [entry for part in (combined["rows"] if combined else [row]) for entry in rows.get(part, [])]
    runs = [_run_of(entry) for entry in entries]
    present = [run for run in runs if "problem" not in run]
    config = [run.pop("config") for run in present]
    matrices = [run.pop("confusion") for run in present]
    masked = [run.pop("masked") for run in present]
    modalities = [] if combined or not config else list(config[0]["encoder"])
    methods = set().union(*map(one_run.methods_of, config))
    seeds = {"seeds": [run["seed"] for run in present]}
    content = {"rows": combined["rows"]} if combined else config[0] | seeds if config else spec["rows"][row]
    return {
        "runs": runs,
        "note": _note(runs),
        "dataset": content.get("dataset"),
        "methods": methods,
        "confusion": None if combined or not matrices or None in matrices else np.sum(matrices, axis=0).tolist(),
        "imbalance": imbalance(records, columns, modalities, masked),
        "config": yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, default_flow_style=None, width=80),
        "command": _command(settings, entries),
    }


def _command(settings: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """Command that makes the row's runs and nothing else; for a computed row, the whole table."""
    runs = " ".join(f"{entry['run']}/{store.MANIFEST}" for entry in entries)
    command = str(settings["command"])
    return command.replace("snakemake ", f"snakemake {runs} ", 1) if runs else command


def _note(runs: Sequence[Mapping[str, Any]]) -> str:
    """Missing runs and other missing artifacts of all seeds, each with the reason."""
    problems = [f"seed {run['seed']} {run['problem']}" for run in runs if "problem" in run]
    num_seeds = [f"{len(runs) - len(problems)} of {len(runs)} seeds"] if problems else []
    others = [
        f"{role} of seed {run['seed']} {one_run.why_missing(Path(path))}"
        for run in runs
        for role, path in run["artifacts"].items()
        if role != "run" and not Path(path).exists()
    ]
    if any(each.endswith(one_run.NOT_PULLED) for each in problems + others):
        return "; ".join([*num_seeds, f"the row {one_run.NOT_PULLED}"])
    return "; ".join([*num_seeds, *problems, *others])


def _run_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One seed's run, or the reason why it is missing."""
    artifacts: dict[str, str] = {}
    for role, path in entry.items():
        if isinstance(path, str):
            artifacts[role] = path
        elif isinstance(path, dict):
            artifacts |= {f"{role} {name}": each for name, each in path.items() if isinstance(each, str)}
    folder = Path(entry["run"])
    log = one_run.tail(one_run.LOGS / folder.parent.name / f"{folder.name}.log")
    about = {"seed": entry["seed"], "artifacts": artifacts, "log": log}
    if not folder.exists():
        return about | {"problem": one_run.why_missing(folder)}
    try:
        described = one_run.describe_run(folder)
        described["config"] |= _probing(entry)
        return about | described
    except UserError as error:
        return about | {"problem": f"cannot be read: {error}"}


def _probing(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the row's probes of layers; empty for the usual probe, which has no options."""
    own = dict(entry.get("layers", {}))
    probe = Path(own.pop("probe", ""))
    settings = store.read_manifest(probe)["recipe"]["settings"] if own and probe.exists() else {}
    return {"probe": settings | own} if own else {}


def imbalance(
    records: Sequence[Mapping[str, Any]],
    columns: Mapping[str, Header],
    modalities: Sequence[str],
    masked: Sequence[Mapping[str, float]],
) -> dict[str, Any] | None:
    """Return the row's values of single modalities; None for a row of one modality.

    Returns:
        {"columns": [measure], "rows": [[modality, text of each measure]], "gap": [largest minus smallest, as text]}.
    """
    if len(modalities) < 2:
        return None
    measures: dict[str, dict[str, tuple[str, float | None]]] = {}
    percentages = set()
    for record in records:
        header, column = columns[record["column"]], match_column(record["column"])
        modality = column.modality if column is not None else ""
        if column is not None and modality in modalities and record["num_seeds"]:
            text = formats.cell_text(record, header.digits)
            measures.setdefault(column.kind, {})[modality] = (text, record["mean"] if record["n"] else None)
            percentages |= {column.kind} if header.unit in ("%", "points") else set()
    if "masked" not in measures and masked and all(set(modalities) <= set(each) for each in masked):
        percentages.add("masked")
        for modality in modalities:
            mean, half_width, n = t_interval(np.array([each[modality] for each in masked]))
            record = {"mean": mean, "half_width": half_width, "n": n, "num_seeds": n, "exact": False}
            measures.setdefault("masked", {})[modality] = (formats.cell_text(record, 1), mean)
    gaps = []
    for measure, by_modality in measures.items():
        means = [mean for _, mean in by_modality.values() if mean is not None]
        known = measure in percentages and len(means) == len(modalities)
        gaps.append(formats.number(max(means) - min(means), 1) if known else "–")
    rows = [
        [name, *(by_modality.get(name, ("–", None))[0] for by_modality in measures.values())] for name in modalities
    ]
    return {"columns": list(measures), "rows": rows, "gap": gaps} if measures else None
