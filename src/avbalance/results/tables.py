"""Step: a table's runs -> Markdown, CSV, LaTeX and JSON, all from one frame."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from avbalance import cli, stamps
from avbalance.registry import locate
from avbalance.results import captions, formats, latex, tuning
from avbalance.results.claims import CAPTION, judge
from avbalance.results.columns.base import Header, artifacts_behind, find_column
from avbalance.results.comparisons import BesideBest, compare_with_best
from avbalance.results.measure import Measured, Values, measure
from avbalance.results.runs import Runs
from avbalance.results.statistics import t_interval
from avbalance.store import finite

COMPUTED = "No runs: the numbers follow from formulas."
EXACT = "Computed, without data. Δ: computed minus paper."


def compute(spec: Mapping[str, Any]) -> tuple[Values, list[Header]]:
    """Values and headers of a computed table; a column of whole numbers has no decimals."""
    place, name = locate("formula", spec["compute"])
    module = import_module(place)
    formula, headings = getattr(module, name), getattr(module, "HEADINGS", {})
    results = {
        row: formula(**{key: arguments[key] for key in arguments if key != "label"})
        for row, arguments in spec["rows"].items()
    }
    values = {
        row: {column: Measured({0: np.array([result[column]])}, num_seeds=1, exact=True) for column in spec["columns"]}
        for row, result in results.items()
    }
    headers = []
    for column in spec["columns"]:
        whole = all(isinstance(result[column], int) for result in results.values())
        headers.append(Header(column, headings.get(column, column), "", 0 if whole else 3, 0))
    return values, headers


def frame_of(spec: Mapping[str, Any], values: Values, columns: Sequence[Header]) -> pd.DataFrame:
    """The long frame from which every format is made: one line for each row and column."""
    beside_best = {
        column.name: compare_with_best({row: cells[column.name] for row, cells in values.items()}, column.better)
        for column in columns
    }
    labels = {**spec["rows"], **spec.get("combined", {})}
    records = []
    for row, cells in values.items():
        for column in columns:
            cell = cells[column.name]
            mean, half_width, n = t_interval(cell.means()) if cell.values else (np.nan, np.nan, 0)
            expected = spec["expected"].get(row, {}).get(column.name, np.nan)
            records.append(
                {
                    "row": row,
                    "label": labels[row].get("label") or row.replace("_", " "),
                    "column": column.name,
                    "mean": mean,
                    "half_width": half_width,
                    "n": n,
                    "num_seeds": cell.num_seeds,
                    "expected": expected,
                    "difference": mean - expected,
                    "unit": column.unit,
                    "exact": cell.exact,
                    **beside_best[column.name].get(row, BesideBest())._asdict(),
                }
            )
    return pd.DataFrame.from_records(records)


def report(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the four files of a table, {suffix: content}."""
    spec, own = settings["spec"], captions.count_own(settings.get("own", {}))
    runs = Runs(artifacts_behind(settings.get("rows", {})))
    exact = "compute" in spec
    if exact:
        values, columns = compute(spec)
        frame, summary, caption = frame_of(spec, values, columns), COMPUTED, EXACT
    else:
        joined = {row: content["rows"] for row, content in spec.get("combined", {}).items()}
        values = measure(settings["rows"], spec["columns"], runs, joined)
        measured = [find_column(name) for name in spec["columns"]]
        columns = [column.header for column in measured]
        frame = frame_of(spec, values, columns)
        summary = captions.summarise_runs(settings, runs.provenance(), own)
        caption = captions.explain_table(frame, measured, values, joined)
    by_name = {column.name: column for column in columns}
    tuned = tuning.read(settings.get("tuned", {}), formats.labels_of(frame))
    results = judge(spec["claims"], values, by_name, spec["expected"], bool(settings["generated"]))
    table = {
        "table": settings["table"],
        "title": spec["title"],
        "paper": spec["paper"],
        "command": settings["command"],
        "scale": settings["scale"],
        "generated": settings["generated"],
        "own": own,
        "summary": summary,
        "caption": caption,
        "tuning": tuned,
        "tuning_caption": tuning.explain(tuned),
        "claims": [finite(asdict(result)) for result in results],
        "claims_caption": "Differences are exact." if exact else CAPTION,
        "columns": [column._asdict() for column in columns],
        "frame": frame.to_dict("records"),
        "provenance": runs.provenance(),
    }
    return {
        ".md": formats.to_markdown(table, frame, columns),
        ".csv": frame.to_csv(index=False),
        ".tex": latex.to_latex(table, frame, columns),
        ".json": json.dumps(finite(table), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    }


def run(recipe: dict[str, Any], out: Path, stamp: Path) -> None:
    """Write the table as OUT.md, OUT.csv, OUT.tex and OUT.json, and the stamp."""
    stamps.write(out, report(recipe["settings"]), stamp, recipe)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
