"""Step: all tables and figures of a scale -> one HTML file that needs nothing else, and an index.html beside it."""

import html
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup, escape

from avbalance import cli, stamps, store
from avbalance.errors import UserError
from avbalance.results import captions, citations, claims, findings, formats
from avbalance.results.web import one_run, overview

WEB = Path(__file__).with_name("web")
SCRIPTS = ("page.js", "contents.js", "charts.js", "panel.js")
SYMBOLS = {"holds": "✓", "fails": "✗", "undecided": "?"}


def gather(scale: str, paths: Sequence[str], order: Sequence[str] = (), template: str = "") -> dict[str, Any]:
    """Return everything that the template of the page shows, grouped by paper.

    Args:
        paths: Paths of tables, figures and audits, `results/<tables, figures or audit>/<scale>/<name>.<key>`, and of
            runs. Each one that cannot be shown is a line in "problems".
        order: Patterns of tables and figures, the most interesting first; others follow by name.
        template: That of the findings (`findings.py`).
    """
    papers: dict[str, dict[str, list[dict[str, Any]]]] = {}
    shown: list[dict[str, Any]] = []
    problems = list_missing([path for path in paths if path.startswith(("results/runs/", "results/combined/"))])
    by_kind = {
        kind: [path for path in sorted(map(Path, paths), key=_natural) if path.parts[1] == kind]
        for kind in ("tables", "figures", "audit")
    }
    for path in sorted([*by_kind["tables"], *by_kind["figures"]], key=lambda path: _interest(path, order)):
        try:
            item = overview.describe_item(path)
        except UserError as error:
            problems.append(str(error))
            continue
        paper, _, item["place"] = item["paper"].partition(": ")
        papers.setdefault(paper, {"tables": [], "figures": []})[path.parts[1]].append(item)
        shown.append(item)
    audits = [overview.describe_audit(str(path)) for path in by_kind["audit"]]
    origins = [item["provenance"] for item in shown]
    tables = [item for item in shown if "verdicts" in item]
    return {
        "papers": papers,
        "findings": findings.in_short(template, scale, [item["table"] for item in shown if not item["unfinished"]]),
        "gains": next((item for item in shown if item.get("gains")), None),
        "claims": [(table, claim) for table in tables for claim in table["claims"]],
        "problems": problems,
        "generated": captions.warn(
            sorted({title for item in shown for title in item.get("generated", [])}),
            {title: counts for item in shown for title, counts in item.get("own", {}).items()},
        ),
        "incomplete": [table for table in tables if table["notes"]],
        "stale": [item for item in shown if item["stale"]],
        "unfinished": [item for item in shown if item["unfinished"]],
        "num_tables": len(tables),
        "num_figures": len(shown) - len(tables),
        "devices": sorted({device for each in origins for device in each["devices"]}),
        "commits": sorted({commit for each in origins for commit in each["commits"]}),
        "audits": audits,
        "classes": {audit["name"]: audit["summary"]["classes"] for audit in audits if audit["summary"]},
        "citations": cite(shown, audits),
        "symbols": SYMBOLS,
        "rules": formats.RULES,
        "claims_caption": claims.CAPTION,
    }


def _interest(path: Path, order: Sequence[str]) -> tuple[int, bool]:
    """Sort key: place of the first pattern that the name matches, tables before figures."""
    name = path.name.rsplit(".", 1)[0]
    place = next((place for place, pattern in enumerate(order) if fnmatchcase(name, pattern)), len(order))
    return place, path.parts[1] == "figures"


def list_missing(runs: Sequence[str]) -> list[str]:
    """A line for each missing run, at most a hundred."""
    lines = [f"{Path(run).name} {one_run.why_missing(Path(run))}" for run in runs if not Path(run).exists()]
    return lines[:100] + [f"and {len(lines) - 100} more runs"] * (len(lines) > 100)


def cite(shown: Sequence[Mapping[str, Any]], audits: Sequence[Mapping[str, Any]]) -> list[citations.Entry]:
    """Works behind exactly the tables, figures, methods and datasets that the page shows."""
    methods = set().union(*(item["methods"] for item in shown))
    data = [audit["summary"].get("citation", "") for audit in audits if audit["summary"]]
    return citations.of(sorted(methods), [item["paper"] for item in shown] + data)


def _natural(path: Path) -> tuple[str, int]:
    """Sort key that puts figure 10 after figure 9."""
    name = path.name.rsplit(".", 1)[0]
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)


def render(scale: str, paths: Sequence[str], order: Sequence[str] = (), template: str = "") -> str:
    """Gather the contents and fill the page."""
    return fill(scale, gather(scale, paths, order, template))


def fill(scale: str, contents: Mapping[str, Any]) -> str:
    """Fill the template with the contents that `gather` returns."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["inline"] = _inline
    environment.policies["json.dumps_kwargs"] = {
        "separators": (",", ":"),
        "allow_nan": False,
    }  # short, and in the order of the files
    return environment.get_template("page.html.j2").render(
        scale=scale,
        style=Markup((WEB / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup((WEB / name).read_text(encoding="utf-8")) for name in SCRIPTS],
        vega=Markup(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", r"<\/script")),
        **contents,
    )


def _inline(text: str) -> Markup:
    """A sentence in Markdown as HTML, with bold words."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", str(escape(text))))


def forward(page: Path) -> str:
    """The folder's index.html, which leads to the page that was made last."""
    name = html.escape(page.name)
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>avbalance</title>'
        f'<meta http-equiv="refresh" content="0; url={name}"><a href="{name}">Results: {name}</a></html>\n'
    )


def run(recipe: dict[str, Any], out: Path, stamp: Path | None = None) -> None:
    """Write the page `out`, which ends in .html, and the stamp; an incomplete page gets no stamp.

    Raises:
        UserError: A stamp is wanted, but the page is incomplete.
    """
    settings = recipe["settings"]
    inputs = list(dict.fromkeys(recipe["inputs"].values()))
    contents = gather(settings["scale"], inputs, settings["order"], settings["findings"])
    page = fill(settings["scale"], contents)
    missing = [*contents["problems"], *(f"rows of {table['table']} lack runs" for table in contents["incomplete"])]
    store.replace(out.with_name("index.html"), forward(out))
    if stamp is None or missing:
        for older in out.parent.glob(f"{out.stem}.*.key"):
            older.unlink()  # it belongs to an older recipe
        store.replace(out, page)
        if stamp is not None:
            more = f", and {len(missing) - 1} more, which the page lists" if len(missing) > 1 else ""
            raise UserError(f"{out}: the page is incomplete, so the next run makes it again: {missing[0]}{more}")
    else:
        stamps.write(out.with_suffix(""), {".html": page}, stamp, recipe)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
