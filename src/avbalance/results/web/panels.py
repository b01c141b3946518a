"""What the panel of a table's row shows: its runs, what is missing of them, imbalance, settings and command."""

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
    """The panel of one row.

    Args:
        settings: Of the table's recipe: {"spec", "rows", "command", "scale", ...}.
        row: Its name.
        records: Its lines of the table's frame.
        columns: {name: column} of the table.

    Returns:
        {"runs": [see `one_run.describe_run`, or {"seed", "artifacts", "problem"}], "note", "dataset", "confusion",
        "imbalance", "config", "command", "methods": {(kind, name)}}; `note` says which seeds are missing and why, and
        is empty where none is.
    """
    spec, rows = settings["spec"], settings.get("rows", {})
    combined = spec.get("combined", {}).get(row)
    entries = [entry for part in (combined["rows"] if combined else [row]) for entry in rows.get(part, [])]
    runs = [_run_of(entry) for entry in entries]
    there = [run for run in runs if "problem" not in run]
    config = [run.pop("config") for run in there]
    matrices = [run.pop("confusion") for run in there]
    masked = [run.pop("masked") for run in there]
    modalities = [] if combined or not config else list(config[0]["encoder"])
    methods = set().union(*map(one_run.methods_of, config))
    seeds = {"seeds": [run["seed"] for run in there]}
    told = {"rows": combined["rows"]} if combined else config[0] | seeds if config else spec["rows"][row]
    return {
        "runs": runs,
        "note": _note(runs),
        "dataset": told.get("dataset"),
        "methods": methods,
        "confusion": None if combined or not matrices or None in matrices else np.sum(matrices, axis=0).tolist(),
        "imbalance": imbalance(records, columns, modalities, masked),
        "config": yaml.safe_dump(dict(told), sort_keys=False, allow_unicode=True, default_flow_style=None, width=80),
        "command": _command(settings, entries),
    }


def _command(settings: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> str:
    """What makes the row's runs and nothing else; of a computed row, the whole table."""
    runs = " ".join(f"{entry['run']}/{store.MANIFEST}" for entry in entries)
    command = str(settings["command"])
    return command.replace("snakemake ", f"snakemake {runs} ", 1) if runs else command


def _note(runs: Sequence[Mapping[str, Any]]) -> str:
    """Which seeds lack their run, and which another artifact of theirs, and why."""
    problems = [f"seed {run['seed']} {run['problem']}" for run in runs if "problem" in run]
    num_seeds = [f"{len(runs) - len(problems)} of {len(runs)} seeds"] if problems else []
    others = [
        f"{role} of seed {run['seed']} {one_run.why_missing(Path(path))}"
        for run in runs
        for role, path in run["artifacts"].items()
        if role != "run" and not Path(path).exists()
    ]
    return "; ".join([*num_seeds, *problems, *others])


def _run_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One seed's run, or why there is none."""
    artifacts: dict[str, str] = {}
    for role, path in entry.items():
        if isinstance(path, str):
            artifacts[role] = path
        elif isinstance(path, dict):
            artifacts |= {f"{role} {name}": each for name, each in path.items() if isinstance(each, str)}
    folder = Path(entry["run"])
    log = one_run.tail(one_run.LOGS / "runs" / f"{folder.name}.log")
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
    """How layers were probed, with the layers of this row; nothing of the usual probe, which has no options."""
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
    """Whatever the table says of single modalities, by modality; None where a row has one.

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
    for measure, told in measures.items():
        means = [mean for _, mean in told.values() if mean is not None]
        known = measure in percentages and len(means) == len(modalities)
        gaps.append(formats.number(max(means) - min(means), 1) if known else "–")
    rows = [[name, *(told.get(name, ("–", None))[0] for told in measures.values())] for name in modalities]
    return {"columns": list(measures), "rows": rows, "gap": gaps} if measures else None
