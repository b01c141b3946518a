"""Step: all tables and figures of a scale -> one HTML file that needs nothing else."""

import argparse
import base64
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from avbalance.cli import UserError, run
from avbalance.results import claims, files, formats
from avbalance.results.columns import Column
from avbalance.store import load_recipe

TEMPLATE = Path(__file__).with_name("page.html.j2")
MEDIA = {
    ".csv": "text/csv",
    ".tex": "text/plain",
    ".md": "text/markdown",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
SYMBOLS = {"holds": "✓", "fails": "✗", "undecided": "?"}


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


def describe_table(file: Path) -> dict[str, Any]:
    """What the template shows of one table."""
    table: dict[str, Any] = json.loads(file.read_text())
    frame = pd.DataFrame.from_records(table["frame"])
    columns = [Column(**column) for column in table["columns"]]
    labels = formats.labels_of(frame)
    for claim in table["claims"]:
        claim["numbers"] = formats.interval(claim)
        claim["p_value"] = formats.p_value(claim)
        claim["comparison"] = formats.comparison(claim, labels, columns)
        claim["bar"] = interval_bar(claim)
        claim["claimed"] = {">": "right", "<": "left", "falls": "right"}.get(claim["relation"], "")
    return table | {
        "headings": list(zip(map(formats.heading, columns), formats.has_paper(frame, columns), strict=True)),
        "lines": formats.lines(frame, columns),
        "verdicts": Counter(claim["verdict"] for claim in table["claims"]),
        "downloads": {suffix[1:]: data_uri(file.with_suffix(suffix)) for suffix in (".csv", ".tex", ".md", ".json")},
    }


def describe_figure(file: Path) -> dict[str, Any]:
    """What the template shows of one figure."""
    figure: dict[str, Any] = json.loads(file.read_text())
    return figure | {"image": data_uri(file.with_suffix(".svg"))}


def gather(paths: list[str]) -> dict[str, Any]:
    """Everything the template shows, grouped by paper.

    Args:
        paths: Of tables and figures, `results/<tables or figures>/<scale>/<name>.<key>`. One whose stamp is not
            there was made by older code or settings and is marked.
    """
    papers: dict[str, dict[str, list[dict[str, Any]]]] = {}
    shown = []
    for path in sorted(map(Path, paths), key=_natural):
        name = path.name.rsplit(".", 1)[0]
        file = path.with_name(f"{name}.json")
        if not file.exists():
            raise UserError(f"{file}: is not there; make it with 'snakemake --cores'")
        kind = "figures" if path.parts[-3] == "figures" else "tables"
        item = describe_figure(file) if kind == "figures" else describe_table(file)
        item["stale"] = not path.with_name(f"{path.name}.key").exists()
        paper, _, item["place"] = item["paper"].partition(": ")
        papers.setdefault(paper, {"tables": [], "figures": []})[kind].append(item)
        shown.append(item)
    made = [item["provenance"] for item in shown]
    return {
        "papers": dict(sorted(papers.items())),
        "verdicts": sum((item["verdicts"] for item in shown if "verdicts" in item), Counter()),
        "stale_titles": [item["title"] for item in shown if item["stale"]],
        "num_tables": sum("verdicts" in item for item in shown),
        "num_figures": sum("verdicts" not in item for item in shown),
        "devices": sorted({device for each in made for device in each["devices"]}),
        "commits": sorted({commit for each in made for commit in each["commits"]}),
        "symbols": SYMBOLS,
        "claims_caption": claims.CAPTION,
    }


def _natural(path: Path) -> tuple[str, int]:
    """Order in which figure 10 comes after figure 9."""
    name = path.name.rsplit(".", 1)[0]
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def render(scale: str, paths: list[str]) -> str:
    """The page."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text()).render(scale=scale, **gather(paths))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="JSON: the scale, and what is shown")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, ending in .html")
    parser.add_argument("--stamp", type=Path, required=True, help="written last: the recipe, under a name with its key")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    page = render(recipe["settings"]["scale"], list(recipe["inputs"].values()))
    files.write(arguments.out.with_suffix(""), {".html": page}, arguments.stamp, recipe)


if __name__ == "__main__":
    run(main)
