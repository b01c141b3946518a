import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avbalance.cli import UserError
from avbalance.results import figures, files, page, tables

TABLE, FIGURE = Path("results/tables/laptop/demo_table1"), Path("results/figures/laptop/demo_fig1")
PATHS = [f"{TABLE}.0123456789ab", f"{FIGURE}.0123456789ab"]


@pytest.fixture
def made(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    """One table and one figure with their stamps."""
    settings["spec"]["title"] = "Better <b>and</b> worse"
    files.write(TABLE, tables.report(settings), Path(f"{PATHS[0]}.key"), {})
    spec = settings["spec"] | {"figure": {"curves": {}}, "paper": "Demo (Doe, 2020): Figure 1"}
    figure = settings | {"table": "demo_fig1", "spec": spec, "rows": {"better": settings["rows"]["better"]}}
    files.write(FIGURE, figures.report(figure), Path(f"{PATHS[1]}.key"), {})


def test_the_page_needs_no_network(made: None) -> None:
    shown = page.render("laptop", PATHS)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', shown)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in shown
    assert "url(" not in shown
    assert "<script" not in shown


def test_the_page_shows_every_number_of_the_table(made: None) -> None:
    shown = page.render("laptop", PATHS)
    markdown = TABLE.with_suffix(".md").read_text()
    table = [line for line in markdown.splitlines() if line.startswith(("| Better_row", "| Worse row"))]
    numbers = re.findall(r"[+−]?\d+\.\d+", " ".join(table))
    assert numbers
    assert all(f"{number}" in shown for number in numbers)
    assert '<td class="best">93.8 ± 79.4</td>' in shown


def test_claims_are_counted_and_shown_with_their_interval(made: None) -> None:
    shown = page.render("laptop", PATHS)
    assert '<span class="holds"><b>1</b>✓ holds</span>' in shown
    assert '<span class="fails"><b>0</b>✗ fails</span>' in shown
    (claim,) = json.loads(TABLE.with_suffix(".json").read_text())["claims"]
    assert f"Test accuracy: Better_row − Worse row = +{claim['difference']:.2f} points, +{claim['low']:.2f} to" in shown
    assert "adjusted p &lt; 0.001" in shown


def test_a_table_of_older_code_without_p_is_shown(made: None) -> None:
    older = json.loads(TABLE.with_suffix(".json").read_text())
    for key in ("p", "adjusted_p"):
        del older["claims"][0][key]
    TABLE.with_suffix(".json").write_text(json.dumps(older))
    shown = page.render("laptop", PATHS)
    assert "; adjusted p" not in shown
    assert "Test accuracy: Better_row − Worse row = +75.00 points" in shown


def test_tables_and_figures_of_one_paper_stand_together(made: None) -> None:
    shown = page.render("laptop", PATHS)
    assert re.findall(r"<h2>(.*?)</h2>", shown) == ["Demo (Doe, 2020)"]
    assert shown.index('id="demo_table1"') < shown.index('id="demo_fig1"')


def test_text_is_escaped(made: None) -> None:
    shown = page.render("laptop", PATHS)
    assert "Better &lt;b&gt;and&lt;/b&gt; worse" in shown
    assert "<b>and</b>" not in shown


def test_what_older_code_made_is_marked(made: None) -> None:
    assert "Made by older code" not in page.render("laptop", PATHS)
    shown = page.render("laptop", [f"{TABLE}.ba9876543210", PATHS[1]])
    assert shown.count("Made by older code") == 1


def test_a_table_that_is_not_there_is_an_error(made: None) -> None:
    with pytest.raises(UserError, match=r"demo_table2\.json: is not there"):
        page.render("laptop", ["results/tables/laptop/demo_table2.0123456789ab"])


def test_figure_10_comes_after_figure_9(made: None) -> None:
    paths = [Path(f"results/figures/laptop/demo_fig{number}.0123456789ab") for number in (10, 9, 1)]
    assert [path.name[:10] for path in sorted(paths, key=page._natural)] == ["demo_fig1.", "demo_fig9.", "demo_fig10"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-1.0, 1.0, {"low": 6.52, "high": 93.48, "difference": 50.0}),  # extent 1.15: 50 -+ 50 / 1.15
        (2.0, 2.0, None),
        (None, None, None),
    ],
)
def test_an_interval_is_drawn_around_zero(
    low: float | None, high: float | None, expected: dict[str, float] | None
) -> None:
    assert page.interval_bar({"low": low, "high": high, "difference": 0.0}) == expected


def test_step_writes_the_page_and_its_stamp(made: None, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"settings": {"scale": "laptop"}, "inputs": {Path(path).name: path for path in PATHS}}
    Path("recipe.json").write_text(json.dumps(recipe))
    out, stamp = "results/page/laptop.html", "results/page/laptop.0123456789ab.key"
    monkeypatch.setattr("sys.argv", ["page", "--recipe", "recipe.json", "--out", out, "--stamp", stamp])
    page.main()
    assert Path(out).read_text() == page.render("laptop", PATHS)
    assert Path(stamp).exists()


def test_the_head_of_the_page_says_what_older_code_made(made: None) -> None:
    assert "none of them made by older code" in page.render("laptop", PATHS)
    Path(f"{PATHS[0]}.key").unlink()
    title = html.escape(json.loads(TABLE.with_suffix(".json").read_text())["title"])
    assert f"of which older code or settings made: {title}." in page.render("laptop", PATHS)
