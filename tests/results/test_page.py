import base64
import html
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avbalance import plan, stamps
from avbalance.errors import UserError
from avbalance.results import figures, page, tables
from avbalance.results.web import overview

TABLE, FIGURE = Path("results/tables/laptop/demo_table1"), Path("results/figures/laptop/demo_fig1")
PATHS = [f"{TABLE}.0123456789ab", f"{FIGURE}.0123456789ab"]
SETTINGS: dict[str, Any] = {"scale": "laptop", "order": [], "findings": ""}
SUMMARY = {
    "title": "Demonstration",
    "licence": "CC BY 4.0",
    "citation": "Doe, 2020",
    "faces": {"visual": "yunet (YuNet 2023mar)"},
    "task": "single_label",
    "num_classes": 3,
    "classes": ["one", "two", "three"],
    "clips": {"train": 1234, "test": 8},
    "dropped": 5,
    "repaired": 0,
}


def test_the_page_needs_no_network(made: list[str]) -> None:
    shown = re.sub(r'<script type="text/plain".*?</script>', "", page.render("laptop", PATHS), flags=re.DOTALL)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', shown)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in shown
    assert "url(" not in shown
    assert "http" not in shown


def test_the_page_shows_every_number_of_the_table(made: list[str]) -> None:
    shown = page.render("laptop", PATHS)
    markdown = TABLE.with_suffix(".md").read_text(encoding="utf-8")
    table = [line for line in markdown.splitlines() if line.startswith(("| Better_row", "| Worse row"))]
    numbers = re.findall(r"[+−]?\d+\.\d+", " ".join(table))
    assert numbers
    assert all(f"{number}" in shown for number in numbers)
    assert re.search(r'<td class="best" style="--l:\d+;--m:\d+;--h:\d+"[^>]*>93.8 ± 79.4</td>', shown)


def test_claims_are_counted_and_shown_with_their_interval(made: list[str]) -> None:
    shown = page.render("laptop", PATHS)
    assert '<a href="#claims" class="holds"><b>1</b>✓ holds</a>' in shown
    assert '<a href="#claims" class="fails"><b>0</b>✗ fails</a>' in shown
    (claim,) = json.loads(TABLE.with_suffix(".json").read_text(encoding="utf-8"))["claims"]
    assert f"Test accuracy: Better_row − Worse row = +{claim['difference']:.2f} points, +{claim['low']:.2f} to" in shown
    assert "adjusted p &lt; 0.001" in shown


def test_verdicts_on_generated_data_and_formulas_are_counted_apart(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    spec = settings["spec"]
    spec["columns"] += ["parameters"]
    equal = {"text": "As many.", "metric": "parameters", "relation": "times", "factor": 1.0, "tolerance": 0.0}
    spec["claims"]["as_many"] = equal | {"left": "better", "right": "worse"}
    for name, generated in (("demo_table1", []), ("demo_table2", ["GRID"])):
        table = Path("results/tables/laptop", name)
        about = settings | {"table": name, "generated": generated}
        stamps.write(table, tables.report(about), Path(f"{table}.0123456789ab.key"), {"settings": about})
    shown = page.render("laptop", [PATHS[0], "results/tables/laptop/demo_table2.0123456789ab"])
    assert '<a href="#claims" class="holds"><b>1</b>✓ holds</a>' in shown
    assert "1 of 1 hold." in shown
    assert "2 claims were evaluated on generated data alone" in shown
    first, second = shown.split('<details class="card table"')[1:]
    assert (first.count("✓ holds"), second.count("✓ holds")) == (2, 0)
    assert second.count('<span class="verdict generated">evaluated on generated data</span>') == 2


def test_a_table_of_older_code_without_p_is_shown(made: list[str]) -> None:
    older = json.loads(TABLE.with_suffix(".json").read_text(encoding="utf-8"))
    for key in ("p", "adjusted_p", "condition", "basis", "less"):
        del older["claims"][0][key]
    TABLE.with_suffix(".json").write_text(json.dumps(older), encoding="utf-8")
    shown = page.render("laptop", PATHS)
    assert "; adjusted p" not in shown
    assert "Test accuracy: Better_row − Worse row = +75.00 points" in shown


def test_tables_and_figures_of_one_paper_stand_together(made: list[str]) -> None:
    shown = page.render("laptop", PATHS)
    assert re.findall(r'<h2 class="paper-title" id="paper-1">(.*?)</h2>', shown) == ["Demo (Doe, 2020)"]
    assert shown.index('id="demo_table1"') < shown.index('id="demo_fig1"')


def test_text_is_escaped(made: list[str]) -> None:
    shown = page.render("laptop", PATHS)
    assert "Better &lt;b&gt;and&lt;/b&gt; worse" in shown
    assert "<b>and</b>" not in shown


def test_what_older_code_made_is_marked(made: list[str]) -> None:
    assert "Made by older code or settings; run" not in page.render("laptop", PATHS)
    shown = page.render("laptop", [f"{TABLE}.ba9876543210", PATHS[1]])
    assert shown.count("Made by older code or settings; run") == 1


def test_a_table_that_is_not_there_is_named_and_the_others_are_shown(made: list[str]) -> None:
    shown = page.render("laptop", [*PATHS, "results/tables/laptop/demo_table2.0123456789ab"])
    assert "<li>results/tables/laptop/demo_table2.0123456789ab: is missing; make it with" in shown
    assert 'id="demo_table1"' in shown


@pytest.mark.parametrize("content", ["{", "[]", '{"frame": 1}', '{"columns": [{"name": "accuracy"}]}'])
def test_a_table_of_unknown_form_is_one_line(made: list[str], content: str) -> None:
    TABLE.with_suffix(".json").write_text(content, encoding="utf-8")
    shown = page.render("laptop", PATHS)
    assert shown.count("demo_table1.json: has another form than this version&#39;s") == 1
    assert 'id="demo_fig1"' in shown


def test_a_table_without_its_stamp_is_one_line(made: list[str]) -> None:
    Path(f"{PATHS[0]}.key").unlink()
    assert "demo_table1.json: has 0 stamps demo_table1.*.key beside it instead of one" in page.render("laptop", PATHS)


def test_runs_that_are_not_there_are_named_with_their_log(made: list[str], settings: dict[str, Any]) -> None:
    runs = [entry["run"] for entries in settings["rows"].values() for entry in entries]
    assert "<h2>Incomplete</h2>" not in page.render("laptop", [*PATHS, *runs])
    shutil.rmtree("results/runs/better-s1")
    Path("results/logs/runs").mkdir(parents=True)
    Path("results/logs/runs/better-s1.log").write_text("error: the loss term 'joint' is nan\n", encoding="utf-8")
    shown = page.render("laptop", [*PATHS, *runs])
    assert "<li>better-s1 failed: see results/logs/runs/better-s1.log</li>" in shown
    assert '<span class="warning">1 of 2 seeds; seed 1 failed: see results/logs/runs/better-s1.log</span>' in shown


def test_a_table_that_a_failed_run_kept_from_being_made_is_shown_with_what_is_there(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    shutil.rmtree("results/runs/worse-s0")
    Path("results/recipes").mkdir()
    Path("results/recipes/demo_table1.0123456789ab.json").write_text(
        json.dumps({"settings": settings}), encoding="utf-8"
    )
    shown = page.render("laptop", PATHS[:1])
    assert "Unfinished:" in shown
    assert "12.5 (n=1/2)" in shown  # worse-s1: 1 of 8 clips
    assert not TABLE.with_suffix(".json").exists()


def test_data_sets_are_summarised_and_linked(made: list[str]) -> None:
    audit = Path("results/audit/laptop/demo.json")
    audit.parent.mkdir(parents=True)
    audit.write_text(json.dumps(SUMMARY), encoding="utf-8")
    audit.with_suffix(".html").write_text("", encoding="utf-8")
    shown = page.render("laptop", [*PATHS, "results/audit/laptop/demo.0123456789ab"])
    assert '<a href="../audit/laptop/demo.html">Demonstration</a>' in shown
    assert "train 1,234, test 8" in shown
    assert "faces found by yunet (YuNet 2023mar)" in shown
    audit.write_text(json.dumps({key: value for key, value in SUMMARY.items() if key != "faces"}), encoding="utf-8")
    assert "faces found by" not in page.render("laptop", ["results/audit/laptop/demo.0123456789ab"])  # of older code
    audit.unlink()
    shown = page.render("laptop", [*PATHS, "results/audit/laptop/demo.0123456789ab"])
    assert "no summary: made by older code" in shown


def test_works_of_the_shown_methods_are_cited_and_no_others(
    publish_run: Callable[..., str], made: list[str], settings: dict[str, Any]
) -> None:
    assert "peng2022balanced" not in page.render("laptop", PATHS)
    manifest = Path("results/runs/better-s0/manifest.json")
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["recipe"]["settings"]["balancer"] = {"ogm_ge": {}}
    manifest.write_text(json.dumps(content), encoding="utf-8")
    shown = page.render("laptop", PATHS)
    assert "@inproceedings{peng2022balanced," in shown
    assert shown.count("@inproceedings{") == 1


def test_the_recipe_of_the_page_lists_all_that_it_reads() -> None:
    planned = plan.make(Path(__file__).parents[2], {"scale": "laptop"})
    (shown,) = (artifact for artifact in planned.artifacts.values() if artifact.folder == "page")
    inputs = set(shown.recipe["inputs"].values())
    made = {artifact.folder: set() for artifact in planned.artifacts.values()}
    for path, artifact in planned.artifacts.items():
        made[artifact.folder].add(path)
    assert made["tables/laptop"] | made["figures/laptop"] | made["audit/laptop"] <= inputs
    cells = [planned.artifacts[table].recipe["settings"].get("rows", {}) for table in made["tables/laptop"]]
    runs = {entry["run"] for rows in cells for entries in rows.values() for entry in entries}
    assert runs
    assert runs == inputs & (made["runs"] | made["combined"])
    assert not inputs & made["probes"]  # what the tables make of them is in the tables


def test_the_numbers_of_a_figure_are_a_table_below_it(made: list[str]) -> None:
    settings = json.loads(Path(f"{PATHS[0]}.key").read_text(encoding="utf-8"))["settings"]
    spec = settings["spec"] | {"figure": {"leaderboard": {"baselines": ["worse"]}}}
    about = settings | {"table": "demo_fig1", "spec": spec}
    stamps.write(FIGURE, figures.report(about), Path(f"{PATHS[1]}.key"), {"settings": about})
    shown = page.render("laptop", PATHS)
    (card,) = re.findall(r'<figure class="card wide" id="demo_fig1">.*?</figure>', shown, flags=re.DOTALL)
    cells = re.findall(r"<(?:th|td)\b[^>]*>(?:<button[^>]*>)?([^<]*)", card)
    assert cells[:14] == [
        "Row", "Dataset", "Gain, points", "from, points", "to, points", "Compared with", "Hardest reference",
        "Lead over it, points", "from, points", "to, points", "Average rank", "Passes, times", "Seconds, times",
        "Datasets",
    ]  # fmt: skip
    assert cells[14:17] == ["Better_row", "all", "75.00"]
    assert cells[19:] == [
        "Worse row",
        "",
        "–",
        "–",
        "–",
        "1.0",
        "–",
        "1.00",
        "1",
        "Worse row",
        "all",
        "0.00",
        "0.00",
        "0.00",
        "",
        "",
        "–",
        "–",
        "–",
        "2.0",
        "–",
        "1.00",
        "1",
    ]
    (address,) = re.findall(r'<a download="demo_fig1.csv" href="data:text/csv;base64,([^"]*)"', card)
    assert base64.b64decode(address) == FIGURE.with_suffix(".csv").read_bytes()


def test_figure_10_comes_after_figure_9(made: list[str]) -> None:
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
    assert overview.interval_bar({"low": low, "high": high, "difference": 0.0}) == expected


def test_step_writes_the_page_and_its_stamp(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"settings": SETTINGS, "inputs": {Path(path).name: path for path in PATHS}}
    Path("recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    out, stamp = "results/page/laptop.html", "results/page/laptop.0123456789ab.key"
    monkeypatch.setattr("sys.argv", ["page", "--recipe", "recipe.json", "--out", out, "--stamp", stamp])
    page.main()
    assert Path(out).read_text(encoding="utf-8") == page.render("laptop", PATHS)
    assert Path(stamp).exists()
    assert 'url=laptop.html"' in Path("results/page/index.html").read_text(encoding="utf-8")


def test_a_page_with_problems_has_no_stamp_and_the_step_says_which(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(f"{TABLE}.000000000000.key").touch()  # a second stamp, and a table that is not there
    paths = [f"{TABLE}.0123456789ab", "results/tables/laptop/absent.0123456789ab"]
    recipe = {"settings": SETTINGS, "inputs": {path: path for path in paths}}
    Path("recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    out, stamp = "results/page/laptop.html", "results/page/laptop.0123456789ab.key"
    monkeypatch.setattr("sys.argv", ["page", "--recipe", "recipe.json", "--out", out, "--stamp", stamp])
    with pytest.raises(UserError, match=r"results/page/laptop.html: .* incomplete.*, and 1 more"):
        page.main()
    assert "<h2>Incomplete</h2>" in Path(out).read_text(encoding="utf-8")
    assert not Path(stamp).exists()


def test_the_page_names_generated_data(made: list[str]) -> None:
    assert "Generated data" not in page.render("miniature", PATHS)
    about = json.loads(FIGURE.with_suffix(".json").read_text(encoding="utf-8"))
    FIGURE.with_suffix(".json").write_text(json.dumps(about | {"generated": ["GRID"]}), encoding="utf-8")
    assert "<b>Generated data (GRID): these numbers only show" in page.render("laptop", PATHS)


def test_a_page_of_unfinished_results_has_no_stamp(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = {"settings": SETTINGS, "inputs": {Path(path).name: path for path in PATHS}}
    Path("recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["page", "--recipe", "recipe.json", "--out", "results/page/laptop.html"])
    Path("results/page").mkdir()
    Path("results/page/laptop.0123456789ab.key").touch()  # of the page that is written over
    page.main()
    assert sorted(path.name for path in Path("results/page").iterdir()) == ["index.html", "laptop.html"]


def test_the_head_of_the_page_says_what_older_code_made(made: list[str]) -> None:
    assert "all up to date." in page.render("laptop", PATHS)
    Path(f"{PATHS[0]}.key").rename(f"{TABLE}.ba9876543210.key")
    title = html.escape(json.loads(TABLE.with_suffix(".json").read_text(encoding="utf-8"))["title"])
    shown = page.render("laptop", PATHS)
    assert "1 of them made by older code or settings." in shown
    assert f'<p class="soft"><a href="#demo_table1">{title}</a></p>' in shown
