"""Step: a table's runs -> Markdown, CSV, LaTeX and JSON, all from one frame."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from avbalance.cli import run
from avbalance.registry import locate
from avbalance.results import columns as known
from avbalance.results import files, formats, latex
from avbalance.results.claims import CAPTION, compare, judge
from avbalance.results.columns import Column, Measured, Values
from avbalance.results.runs import Runs
from avbalance.results.statistics import t_interval
from avbalance.store import load_recipe

KINDS = {
    "alone": "Alone: a model trained on that modality only.",
    "masked": "Masked: the joint model's share of the logits that is this modality's.",
    "probe": "Probe: a linear probe on the joint model's frozen encoder.",
    "video": "Video accuracy: class probabilities averaged over a video's clips.",
    "map": "mAP: mean over classes of the average precision.",
    "mauc": "mAUC: mean over classes of the area under the ROC curve.",
    "eer": "EER: the error rate at which as many targets are missed as others are let in.",
    "dcf": "minDCF: least cost of detection, normalised, both errors costing 1.",
}
GENERATED = "Generated data: these numbers show that everything runs, and nothing else. "


def compute(spec: Mapping[str, Any]) -> Values:
    """The values of a computed table."""
    module, name = locate("formula", spec["compute"])
    formula = getattr(import_module(module), name)
    values: Values = {}
    for row, arguments in spec["rows"].items():
        found = formula(**{key: arguments[key] for key in arguments if key != "label"})
        values[row] = {
            column: Measured({0: np.array([found[column]])}, num_seeds=1, exact=True) for column in spec["columns"]
        }
    return values


def frame_of(spec: Mapping[str, Any], values: Values, columns: Sequence[Column]) -> pd.DataFrame:
    """The long frame from which every format comes: one line a row and column."""
    marks = {column.name: mark(values, column) for column in columns}
    records = []
    for row, cells in values.items():
        for column in columns:
            cell = cells[column.name]
            mean, half_width, n = t_interval(cell.means()) if cell.values else (np.nan, np.nan, 0)
            expected = spec["expected"].get(row, {}).get(column.name, np.nan)
            records.append(
                {
                    "row": row,
                    "label": spec["rows"][row].get("label") or row.replace("_", " "),
                    "column": column.name,
                    "mean": mean,
                    "half_width": half_width,
                    "n": n,
                    "num_seeds": cell.num_seeds,
                    "expected": expected,
                    "difference": mean - expected,
                    "unit": column.unit,
                    "exact": cell.exact,
                    "mark": marks[column.name].get(row, ""),
                }
            )
    return pd.DataFrame.from_records(records)


def mark(values: Values, column: Column) -> dict[str, str]:
    """Which rows are the best of a column on their data, and which cannot be told from it: {row: best or tied}."""
    cells = {row: cells[column.name] for row, cells in values.items() if cells[column.name].values}
    means = {row: column.better * cell.means().mean() for row, cell in cells.items()}
    marks = {}
    for data in {cell.data for cell in cells.values()}:
        rows = [row for row, cell in cells.items() if cell.data == data]
        if column.better == 0 or len({means[row] for row in rows}) < 2:
            continue
        best = max(rows, key=lambda row: means[row])
        for row in rows:
            found = compare(cells[best], cells[row])
            if means[row] == means[best]:
                marks[row] = "best"
            elif found is not None and found.low <= 0 <= found.high:
                marks[row] = "tied"
    return marks


def duration(seconds: float) -> str:
    """Seconds in the largest sensible unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def summarise(settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """One line: scale, seeds, clips, runs, time, device."""
    seeds = sorted({entry["seed"] for entries in settings["rows"].values() for entry in entries})
    clips = "no" if provenance["num_clips"] is None else f"{provenance['num_clips']:,}"
    gradient = provenance["probe_gradient"]
    solved = "" if gradient is None else f" Probes are solved until no entry of the gradient exceeds {gradient:.0e}."
    warning = GENERATED if settings["scale"] == "miniature" else ""
    return (
        f"{warning}Scale {settings['scale']}; seeds {', '.join(map(str, seeds))}; {clips} test clips; "
        f"{provenance['num_runs']} runs, {duration(provenance['seconds'])} of training on "
        f"{' and '.join(provenance['devices']) or 'no device'}.{solved}"
    )


def caption_of(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """What the numbers and marks mean."""
    if frame["exact"].all():
        return "Computed by automatic differentiation, without data. Δ: computed minus paper."
    num_seeds = int(frame["num_seeds"].max())
    meaning = (
        f"Mean over n = {num_seeds} seeds ± half width of the 95 % t-interval of that mean; where n differs, "
        "the cell says so, and a run that failed is counted as missing."
        if num_seeds > 1
        else "One seed (n=1), so no interval; claims and marks rest on the spread of the clips alone."
    )
    if frame["expected"].notna().any():
        meaning += " Δ: obtained minus paper."
    meaning += "".join(
        f" {text}" for kind, text in KINDS.items() if any(_speaks_of(column, kind) for column in columns)
    )
    if any(column.name == "probe_gap" for column in columns):
        meaning += " Probe gap: the better probe's accuracy minus the worse one's."
    if (frame["mark"] != "").any():
        meaning += (
            " Bold: best of its column on its data; underlined: not distinguishable from the best (the 95 % interval "
            "of the difference paired by seed and, where a clip has a value of its own, by clip contains 0)."
        )
    return meaning


def _speaks_of(column: Column, kind: str) -> bool:
    return any(word.startswith(kind) for word in column.name.split("_"))


def report(settings: Mapping[str, Any]) -> dict[str, str]:
    """The four files of a table, {suffix: content}."""
    spec, runs = settings["spec"], Runs()
    exact = "compute" in spec
    columns = [(known.computed if exact else known.describe)(name) for name in spec["columns"]]
    values = compute(spec) if exact else known.measure(settings["rows"], spec["columns"], runs)
    frame = frame_of(spec, values, columns)
    by_name = {column.name: column for column in columns}
    claims = [
        finite(asdict(judge(name, claim, values, by_name, spec["expected"]))) for name, claim in spec["claims"].items()
    ]
    provenance = runs.provenance()
    table = {
        "table": settings["table"],
        "title": spec["title"],
        "paper": spec["paper"],
        "command": settings["command"],
        "scale": settings["scale"],
        "summary": "No runs: the numbers follow from formulas." if exact else summarise(settings, provenance),
        "caption": caption_of(frame, columns),
        "claims": claims,
        "claims_caption": "Differences are exact." if exact else CAPTION,
        "columns": [column._asdict() for column in columns],
        "frame": frame.to_dict("records"),
        "provenance": provenance,
    }
    return {
        ".md": formats.to_markdown(table, frame, columns),
        ".csv": frame.to_csv(index=False),
        ".tex": latex.to_latex(table, frame, columns),
        ".json": json.dumps(finite(table), indent=1, ensure_ascii=False) + "\n",
    }


def finite(value: Any) -> Any:  # noqa: ANN401
    """The value with None in place of every number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="JSON: which runs make which row")
    parser.add_argument("--out", type=Path, required=True, help="files written: OUT.md .csv .tex .json")
    parser.add_argument("--stamp", type=Path, required=True, help="written last: the recipe, under a name with its key")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    files.write(arguments.out, report(recipe["settings"]), arguments.stamp, recipe)


if __name__ == "__main__":
    run(main)
