"""Step: a figure's runs -> PNG, SVG, JSON with title and caption, and CSV if its numbers are worth a table."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from avbalance import cli, registry, stamps
from avbalance.errors import UserError
from avbalance.results import captions, tuning
from avbalance.results.columns.base import artifacts_behind
from avbalance.results.plots.base import FigureRow, Plot
from avbalance.results.plots.style import STYLE
from avbalance.results.runs import Runs
from avbalance.store import finite

LETTERS_AN_INCH = 13
"""Letters of a title on an inch of a figure's width."""


def report(settings: Mapping[str, Any]) -> dict[str, str | bytes]:
    """Return the files of a figure, {suffix: content}."""
    spec, own = settings["spec"], captions.count_own(settings.get("own", {}))
    runs = Runs(artifacts_behind(settings.get("rows", {})))
    rows = {row: FigureRow(spec["rows"][row]["label"], entries) for row, entries in settings["rows"].items()}
    plot: Plot = registry.load("figure", spec["figure"])
    drawn = {name: row for name, row in rows.items() if row.runs}
    if not drawn:
        raise UserError(f"figure {settings['table']}: every run of {_named(rows)} failed; see results/logs")
    if len({row.label for row in rows.values()}) < len(rows):
        raise UserError(f"figure {settings['table']}: two of {_named(rows)} have the same label; give each its own")
    with mpl.rc_context(STYLE):
        try:
            figure, caption, *numbers = plot.draw(drawn, runs)
        except UserError as error:
            raise UserError(f"figure {settings['table']}: {error}") from error
        images: dict[str, str | bytes] = {
            ".svg": _save(figure, "svg", dpi=150, metadata={"Date": None, "Creator": None})
        }
        _add_title(figure, spec["title"], [row.label for row in rows.values()])
        images[".png"] = _save(figure, "png", dpi=150, metadata={"Software": None})
    tuned = tuning.read(settings.get("tuned", {}), {name: row.label for name, row in rows.items()})
    about = {
        "table": settings["table"],
        "title": spec["title"],
        "paper": spec["paper"],
        "command": settings["command"],
        "scale": settings["scale"],
        "generated": settings["generated"],
        "own": own,
        "has_pictures": plot.has_pictures,
        "caption": captions.warn(settings["generated"], own)
        + caption
        + _failures(rows)
        + f" {tuning.explain(tuned)}" * bool(tuned),
        "provenance": runs.provenance(),
    }
    if numbers:
        images[".csv"] = numbers[0].frame.to_csv(index=False)
        columns = [column._asdict() for column in numbers[0].columns]
        about["numbers"] = finite({"columns": columns, "lines": numbers[0].frame.to_dict("records")})
        about["correlations"] = numbers[0].correlations
    return {**images, ".json": json.dumps(about, indent=1, ensure_ascii=False, allow_nan=False) + "\n"}


def _named(rows: Mapping[str, FigureRow]) -> str:
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(repr, rows))}"


def _failures(rows: Mapping[str, FigureRow]) -> str:
    """A sentence that names the missing runs; empty without any."""
    failures = [
        f"{len(row.entries) - len(row.runs)} of {len(row.entries)}" + f" of {row.label}" * (len(rows) > 1)
        for row in rows.values()
        if len(row.runs) < len(row.entries)
    ]
    return f" Runs that failed: {', '.join(failures)}." if failures else ""


def _add_title(figure: Figure, title: str, labels: Sequence[str]) -> None:
    """Write the title, and the row of a figure of one, over all panels: a PNG is often shown without its caption."""
    lines = [title, *labels] if len(labels) == 1 else [title]
    letters = int(figure.get_figwidth() * LETTERS_AN_INCH)
    figure.suptitle("\n".join(fill(line, letters) for line in lines), x=0.01, ha="left", fontsize=10)


def _save(figure: Figure, file_format: str, **options: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format, **options)
    return buffer.getvalue()


def run(recipe: dict[str, Any], out: Path, stamp: Path) -> None:
    """Write the figure as OUT.png, OUT.svg, OUT.json and, if its numbers are worth a table, OUT.csv, and the stamp."""
    stamps.write(out, report(recipe["settings"]), stamp, recipe)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
