"""What the page shows of tables, figures, claims and prepared data sets."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from avbalance.errors import UserError
from avbalance.results import claims, formats, tables
from avbalance.results.columns.base import Header
from avbalance.results.relations import RELATIONS
from avbalance.results.web import one_run, panels
from avbalance.store import load_recipe, read_manifest

MEDIA = {".csv": "text/csv", ".tex": "text/plain", ".md": "text/markdown", ".svg": "image/svg+xml"}
BASES: tuple[claims.Basis, ...] = get_args(claims.Basis)
DOWNLOADS = (".csv", ".tex", ".md")


def data_uri(suffix: str, content: bytes) -> str:
    """A file's content as an address that needs no network."""
    return f"data:{MEDIA[suffix]};base64,{base64.b64encode(content).decode()}"


def interval_bar(claim: Mapping[str, Any]) -> dict[str, float] | None:
    """Where a claim's difference and interval lie in a picture whose middle is 0, in per cent of its width.

    None where there is no interval to draw.
    """
    low, high = claim["low"], claim["high"]
    if low is None or high is None or low == high:
        return None
    extent = 1.15 * max(abs(low), abs(high))
    place = {key: 50 + 50 * claim[key] / extent for key in ("low", "high", "difference")}
    return {key: round(value, 2) for key, value in place.items()}


def describe_item(path: Path) -> dict[str, Any]:
    """What the template shows of one table or figure, `results/<tables or figures>/<scale>/<name>.<key>`.

    One whose stamp is not there is "stale": older code or settings made the files that are. A table that could not be
    finished, as a run failed, is "unfinished" and made here of the runs that are there.

    Raises:
        UserError: It is not there, or has another form than this version's.
    """
    file = path.with_name(f"{path.name.rsplit('.', 1)[0]}.json")
    planned = Path("results/recipes", f"{path.name}.json")
    stale = not path.with_name(f"{path.name}.key").exists()
    try:
        if stale and planned.exists() and file.parts[-3] == "tables":
            settings = load_recipe(planned)["settings"]
            made = {suffix: text.encode() for suffix, text in tables.report(settings).items()}
            return describe_table(made, settings) | {"stale": False, "unfinished": True}
        if not file.exists():
            raise UserError(f"{path}: was not made; make it with 'snakemake --cores all', its log is in results/logs")
        recipe = _recipe(file)
        if file.parts[-3] == "figures":
            shown = describe_figure(file, recipe["settings"])
        else:
            made = {suffix: file.with_suffix(suffix).read_bytes() for suffix in (".json", *DOWNLOADS)}
            shown = describe_table(made, recipe["settings"])
        return shown | {"stale": stale, "unfinished": False}
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise UserError(
            f"{file}: has another form than this version's ({error!r}); make it anew: remove {file.parent}/"
            f"{file.stem}.*.key and run 'snakemake --cores all'"
        ) from error


def _recipe(file: Path) -> dict[str, Any]:
    """The recipe that made a table or figure."""
    stamps = list(file.parent.glob(f"{file.stem}.*.key"))
    if len(stamps) != 1:
        raise UserError(
            f"{file}: has {len(stamps)} stamps {file.stem}.*.key beside it instead of one, so that nobody knows its "
            "runs; make it anew with 'snakemake --cores all'"
        )
    return load_recipe(stamps[0])


def describe_figure(file: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one figure; "methods" are those of its runs that are there."""
    runs = [Path(entry["run"]) for entries in settings["rows"].values() for entry in entries]
    methods = [one_run.methods_of(read_manifest(run)["recipe"]["settings"]) for run in runs if run.exists()]
    image = data_uri(".svg", file.with_suffix(".svg").read_bytes())
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return about | {"image": image, "methods": set().union(*methods)}


def describe_table(made: Mapping[str, bytes], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one table.

    Args:
        made: {suffix: content} of its files.
        settings: Of its recipe: which runs are behind which row.
    """
    table: dict[str, Any] = json.loads(made[".json"])
    frame = pd.DataFrame.from_records(table["frame"])
    columns = [Header(**column) for column in table["columns"]]
    labels = formats.labels_of(frame)
    for claim in table["claims"]:
        if "basis" not in claim:  # in a table that older code made
            exact = all(record["exact"] for record in table["frame"] if record["column"] == claim["metric"])
            claim["basis"] = "formula" if exact else "experiment"
        claim["numbers"] = formats.interval(claim)
        claim["p_value"] = formats.p_value(claim)
        claim["comparison"] = formats.comparison(claim, labels, columns)
        claim["bar"] = interval_bar(claim)
        claim["claimed"] = {1: "right", -1: "left", 0: ""}[RELATIONS[claim["relation"]].sign]
    records: dict[str, list[dict[str, Any]]] = {}
    for record in table["frame"]:
        records.setdefault(record["row"], []).append(record)
    by_name = {column.name: column for column in columns}
    shown = {row: panels.describe_row(settings, row, of_row, by_name) for row, of_row in records.items()}
    methods = [panel.pop("methods") for panel in shown.values()]
    return table | {
        "headings": list(zip(map(formats.heading, columns), formats.has_paper(frame, columns), strict=True)),
        "lines": dict(zip(records, formats.lines(frame, columns), strict=True)),
        "panels": shown,
        "notes": {row: panel["note"] for row, panel in shown.items() if panel["note"]},
        "verdicts": {
            basis: Counter(claim["verdict"] for claim in table["claims"] if claim["basis"] == basis) for basis in BASES
        },
        "methods": set().union(*methods),
        "downloads": {suffix[1:]: data_uri(suffix, made[suffix]) for suffix in DOWNLOADS},
    }


def describe_audit(path: str) -> dict[str, Any]:
    """What the template shows of a data set's audit, `results/audit/<scale>/<data set>.<key>`.

    Its link starts at the page's own folder. An audit that older code made has no summary.
    """
    file = Path(path).with_name(Path(path).name.rsplit(".", 1)[0] + ".json")
    link = f"../{'/'.join(file.with_suffix('.html').parts[-3:])}"
    summary = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    return {"name": file.stem, "link": link, "exists": file.with_suffix(".html").exists(), "summary": summary}
