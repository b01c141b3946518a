"""What the page shows of tables, figures, claims and prepared data sets."""

import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from avbalance.cli import UserError
from avbalance.results import formats, panels
from avbalance.results.columns import Column

MEDIA = {".csv": "text/csv", ".tex": "text/plain", ".md": "text/markdown", ".svg": "image/svg+xml"}
DOWNLOADS = (".csv", ".tex", ".md")


def data_uri(file: Path) -> str:
    """A file's content as an address that needs no network."""
    return f"data:{MEDIA[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}"


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


def describe(file: Path) -> dict[str, Any]:
    """What the template shows of one table or figure, from its JSON and what lies beside it.

    Raises:
        UserError: It is not there, or has another form than this version's.
    """
    log = Path("results/logs", *file.parts[-3:-1])
    if not file.exists():
        raise UserError(f"{file}: is not there; make it with 'snakemake --cores all', or see why it failed in {log}")
    stamps = list(file.parent.glob(f"{file.stem}.*.key"))
    try:
        content = json.loads(file.read_text())
        if file.parts[-3] == "figures":
            return content | {"image": data_uri(file.with_suffix(".svg"))}
        settings = json.loads(stamps[0].read_text())["settings"] if len(stamps) == 1 else None
        return describe_table(content, file, settings)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{file}: has another form than this version's ({error!r}); make it anew: remove {file.parent}/"
            f"{file.stem}.*.key and run 'snakemake --cores all'"
        ) from error


def describe_table(table: dict[str, Any], file: Path, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the template shows of one table; `settings`, those of its recipe, say which runs are behind its rows."""
    frame = pd.DataFrame.from_records(table["frame"])
    columns = [Column(**column) for column in table["columns"]]
    labels = formats.labels_of(frame)
    for claim in table["claims"]:
        claim["numbers"] = formats.interval(claim)
        claim["p_value"] = formats.p_value(claim)
        claim["comparison"] = formats.comparison(claim, labels, columns)
        claim["bar"] = interval_bar(claim)
        claim["claimed"] = {">": "right", "<": "left"}.get(claim["relation"], "")
    records: dict[str, list[dict[str, Any]]] = {}
    for record in table["frame"]:
        records.setdefault(record["row"], []).append(record)
    by_name = {column.name: column for column in columns}
    shown = {} if settings is None else {
        row: panels.describe_row(settings, row, of_row, by_name) for row, of_row in records.items()
    }
    return table | {
        "headings": list(zip(map(formats.heading, columns), formats.has_paper(frame, columns), strict=True)),
        "lines": dict(zip(records, formats.lines(frame, columns), strict=True)),
        "panels": shown,
        "notes": {row: panel["note"] for row, panel in shown.items() if panel["note"]},
        "verdicts": Counter(claim["verdict"] for claim in table["claims"]),
        "downloads": {suffix[1:]: data_uri(file.with_suffix(suffix)) for suffix in DOWNLOADS},
    }


def describe_audit(path: str) -> dict[str, Any]:
    """What the template shows of a data set's audit, `results/audit/<scale>/<data set>.<key>`.

    Its link starts at the page's own folder. An audit that older code made has no summary.
    """
    file = Path(path).with_name(Path(path).name.rsplit(".", 1)[0] + ".json")
    link = f"../{'/'.join(file.with_suffix('.html').parts[-3:])}"
    summary = json.loads(file.read_text()) if file.exists() else None
    return {"name": file.stem, "link": link, "exists": file.with_suffix(".html").exists(), "summary": summary}
