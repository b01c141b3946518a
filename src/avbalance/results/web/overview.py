"""Tables, figures, claims and prepared datasets on the page."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from avbalance import registry
from avbalance.errors import UserError
from avbalance.results import claims, formats, tables
from avbalance.results.columns.base import Header
from avbalance.results.relations import RELATIONS
from avbalance.results.web import cells, gains, one_run, panels
from avbalance.store import load_recipe, read_manifest

MEDIA = {".csv": "text/csv", ".tex": "text/plain", ".md": "text/markdown", ".svg": "image/svg+xml"}
BASES: tuple[claims.Basis, ...] = get_args(claims.Basis)
DOWNLOADS = (".csv", ".tex", ".md")


def data_uri(suffix: str, content: bytes) -> str:
    """Content of a file as an address that needs no network."""
    return f"data:{MEDIA[suffix]};base64,{base64.b64encode(content).decode()}"


def interval_bar(claim: Mapping[str, Any]) -> dict[str, float] | None:
    """Places of a claim's difference and interval in a picture with 0 in its middle, in per cent of its width.

    None without an interval.
    """
    low, high = claim["low"], claim["high"]
    if low is None or high is None or low == high:
        return None
    extent = 1.15 * max(abs(low), abs(high))
    place = {key: 50 + 50 * claim[key] / extent for key in ("low", "high", "difference")}
    return {key: round(value, 2) for key, value in place.items()}


def describe_item(path: Path) -> dict[str, Any]:
    """Return what the template shows of one table or figure, `results/<tables or figures>/<scale>/<name>.<key>`.

    An item without its stamp is "stale": older code or settings made its files. A table that waits for a failed run is
    "unfinished" and is built here from the runs that exist.

    Raises:
        UserError: The item is missing, or another version made it.
    """
    file = path.with_name(f"{path.name.rsplit('.', 1)[0]}.json")
    planned = Path("results/recipes", f"{path.name}.json")
    stale = not path.with_name(f"{path.name}.key").exists()
    try:
        if stale and planned.exists() and file.parts[-3] == "tables":
            settings = load_recipe(planned)["settings"]
            contents = {suffix: text.encode() for suffix, text in tables.report(settings).items()}
            return describe_table(contents, settings) | {"stale": False, "unfinished": True}
        if not file.exists():
            raise UserError(f"{path}: is missing; make it with 'snakemake --cores all'; its log is in results/logs")
        recipe = _recipe(file)
        if file.parts[-3] == "figures":
            item = describe_figure(file, recipe["settings"])
        else:
            contents = {suffix: file.with_suffix(suffix).read_bytes() for suffix in (".json", *DOWNLOADS)}
            item = describe_table(contents, recipe["settings"])
        return item | {"stale": stale, "unfinished": False}
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(
            f"{file}: has another form than this version's ({error!r}); to make it again, remove {file.parent}/"
            f"{file.stem}.*.key and run 'snakemake --cores all'"
        ) from error


def _recipe(file: Path) -> dict[str, Any]:
    """Recipe that made a table or figure."""
    stamps = list(file.parent.glob(f"{file.stem}.*.key"))
    if len(stamps) != 1:
        raise UserError(
            f"{file}: has {len(stamps)} stamps {file.stem}.*.key beside it instead of one, so its runs are "
            "unknown; make it again with 'snakemake --cores all'"
        )
    return load_recipe(stamps[0])


def describe_figure(file: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows of one figure; "methods" are those of the runs that exist."""
    runs = [Path(entry["run"]) for entries in settings["rows"].values() for entry in entries]
    methods = [one_run.methods_of(read_manifest(run)["recipe"]["settings"]) for run in runs if run.exists()]
    image = data_uri(".svg", file.with_suffix(".svg").read_bytes())
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    is_leaderboard = registry.parse(settings["spec"]["figure"])[0] == "leaderboard"
    numbers = describe_numbers(file, about["numbers"]) if "numbers" in about else None
    return about | {
        "image": image,
        "has_pictures": about.get("has_pictures", False),
        "methods": set().union(*methods),
        "numbers": numbers,
        "gains": gains.picture(about["numbers"]["lines"]) if is_leaderboard else None,
    }


def describe_numbers(file: Path, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows of a figure's numbers: headings, printed lines, and its CSV file as an address."""
    columns = [Header(**column) for column in numbers["columns"]]
    lines = [[formats.plain_cell(line[column.name], column.digits) for column in columns] for line in numbers["lines"]]
    csv = data_uri(".csv", file.with_suffix(".csv").read_bytes())
    return {"headings": [formats.heading(column) for column in columns], "lines": lines, "csv": csv}


def describe_table(contents: Mapping[str, bytes], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the template shows of one table.

    Args:
        contents: {suffix: content} of its files.
        settings: Settings of its recipe, which name the runs of each row.
    """
    table: dict[str, Any] = json.loads(contents[".json"])
    frame = pd.DataFrame.from_records(table["frame"])
    columns = [Header(**column) for column in table["columns"]]
    labels = formats.labels_of(frame)
    for claim in table["claims"]:
        if "basis" not in claim:  # a table of older code
            exact = all(record["exact"] for record in table["frame"] if record["column"] == claim["metric"])
            claim["basis"] = "formula" if exact else "experiment"
        claim["numbers"] = formats.interval(claim)
        claim["p_value"] = formats.p_value(claim)
        claim["comparison"] = formats.comparison(claim, labels, columns)
        claim["bar"] = interval_bar(claim)
        has_parts = "verdict" in claim["pairs"][0]  # tables of older code have none
        claim["parts"] = formats.each_part(claim, labels, columns) if has_parts else []
        claim["claimed"] = {1: "right", -1: "left", 0: ""}[RELATIONS[claim["relation"]].sign]
    for row in table.get("tuning", []):
        row["texts"] = list(map(formats.trial, row["trials"]))
    records: dict[str, list[dict[str, Any]]] = {}
    for record in table["frame"]:
        records.setdefault(record["row"], []).append(record)
    by_name = {column.name: column for column in columns}
    for record in table["frame"]:
        record.setdefault("expected", None)
    panel_of = {row: panels.describe_row(settings, row, of_row, by_name) for row, of_row in records.items()}
    methods = [panel.pop("methods") for panel in panel_of.values()]
    datasets = {row: panel["dataset"] for row, panel in panel_of.items()}
    shared, table["shared"] = cells.find_shared(records, columns, datasets)
    table["headings"] = list(zip(map(formats.heading, columns), formats.has_paper(frame, columns), strict=True))
    table["places"] = [place for place, column in enumerate(columns) if column.name not in shared]
    return table | {
        "lines": dict(zip(records, formats.lines(frame, columns), strict=True)),
        "spans": cells.spans(records),
        "p_values": cells.p_values(records),
        "tests": cells.TESTS if "welch_p" in table["frame"][0] else {},
        "panels": panel_of,
        "notes": {row: panel["note"] for row, panel in panel_of.items() if panel["note"]},
        "verdicts": {
            basis: Counter(claim["verdict"] for claim in table["claims"] if claim["basis"] == basis) for basis in BASES
        },
        "methods": set().union(*methods),
        "downloads": {suffix[1:]: data_uri(suffix, contents[suffix]) for suffix in DOWNLOADS},
    }


def describe_audit(path: str) -> dict[str, Any]:
    """Return what the template shows of a dataset's audit, `results/audit/<scale>/<dataset>.<key>`.

    The link starts at the page's own folder. Audits of older code have no summary.
    """
    file = Path(path).with_name(Path(path).name.rsplit(".", 1)[0] + ".json")
    link = f"../{'/'.join(file.with_suffix('.html').parts[-3:])}"
    summary = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return {"name": file.stem, "link": link, "exists": file.with_suffix(".html").exists(), "summary": summary}
