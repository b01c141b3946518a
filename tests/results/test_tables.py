import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from scipy import stats

from avbalance import stamps
from avbalance.errors import UserError
from avbalance.results import escape, tables
from avbalance.results.columns.base import find_column
from avbalance.results.comparisons import compare_with_best
from avbalance.results.formats import number
from avbalance.results.measure import Measured
from avbalance.results.tables import report

CONFIG = Path(__file__).parents[2] / "config" / "tables"


def read_markdown(markdown: str) -> tuple[str, list[list[str]]]:
    """What a Markdown reader shows: the text outside of tables, and the rows of all tables; bold stays `**`."""
    text, rows, inside = "", [], False
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown):
        inside = token.type != "table_close" and (inside or token.type == "table_open")
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            shown = "".join(child.content or child.markup for child in token.children or ())
            if inside:
                rows[-1].append(shown)
            else:
                text += f"{shown}\n"
    return text, rows


def cells(markdown: str, row: str) -> list[str]:
    """The cells of one line of the table, or of the claims."""
    (line,) = [line for line in read_markdown(markdown)[1] if line[0] == row]
    return line


def test_a_table_says_what_was_obtained_what_the_paper_has_and_the_difference(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    better = cells(report(settings)[".md"], "Better_row")
    # 8 and 7 of 8 clips: mean 93.75, s = 8.839, t_{0.975, 1} = 12.706: half width 12.706 * 8.839 / sqrt(2) = 79.4.
    assert better[2:] == ["**93.8 ± 79.4**", "90.0", "+3.8"]


def test_every_number_in_markdown_and_latex_is_one_of_the_csv(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    made = report(settings)
    records = list(csv.DictReader(io.StringIO(made[".csv"])))
    assert [(record["row"], record["column"]) for record in records] == [
        ("better", "loss"), ("better", "accuracy"), ("worse", "loss"), ("worse", "accuracy"),
    ]  # fmt: skip
    printed = {
        number(float(record[key]), {"loss": 3, "accuracy": 1}[record["column"]], sign=key == "difference")
        for record in records
        for key in ("mean", "half_width", "expected", "difference")
        if record[key]
    }
    body = [cell for row in ("Better_row", "Worse row") for cell in cells(made[".md"], row)[1:]]
    numbers = {found for cell in body for found in re.findall(r"[+−]?\d+\.\d+", cell)}
    assert numbers == printed
    in_latex = made[".tex"].replace("$-$", "−")
    assert all(found in in_latex for found in printed)


def test_best_is_bold_and_a_tie_is_underlined(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    markdown = report(settings)[".md"]
    assert cells(markdown, "Worse row")[2] == "18.8 ± 79.4"
    runs("worse-s0", test_logits=7)
    runs("worse-s1", test_logits=7)
    markdown = report(settings)[".md"]
    # 8 and 7 clips against 7 and 7: differences 12.5 and 0, t = 1.
    assert cells(markdown, "Better_row")[2].startswith("**93.8")
    assert cells(markdown, "Worse row")[2] == "<u>87.5 ± 0.0</u>"
    assert r"\underline{87.5$\pm$0.0}" in report(settings)[".tex"]


GAP = find_column("probe_gap").header


def measured(*seeds: float) -> dict[str, Measured]:
    """The probe gap of one row."""
    return {"probe_gap": Measured({seed: np.array([value]) for seed, value in enumerate(seeds)}, len(seeds))}


def marks(rows: dict[str, dict[str, Measured]]) -> dict[str, str]:
    compared = compare_with_best({row: cells["probe_gap"] for row, cells in rows.items()}, GAP.better)
    return {row: beside.mark for row, beside in compared.items()}


def test_a_tie_is_what_the_corrected_test_cannot_tell_from_the_best() -> None:
    # Against 0: differences 4, 5 and 6 have t = 8.66, p = 0.0131. Three rows have 3 pairs, 0.039; four have 6, 0.078.
    three = {"best": measured(0, 0, 0), **{f"row{place}": measured(4, 5, 6) for place in range(2)}}
    assert marks(three) == {"best": "best", "row0": "", "row1": ""}
    four = three | {"row2": measured(4, 5, 6)}
    assert marks(four) == {"best": "best"} | dict.fromkeys(list(four)[1:], "tied")


def test_rows_on_other_data_do_not_count_in_the_correction() -> None:
    rows = {"best": measured(0, 0, 0), **{f"row{place}": measured(4, 5, 6) for place in range(2)}}
    elsewhere = {"other": measured(1, 1, 1), "worse": measured(2, 2, 3)}
    for cells in elsewhere.values():
        cells["probe_gap"].data = "elsewhere"
    assert marks(rows | elsewhere) == {"best": "best", "row0": "", "row1": "", "other": "best", "worse": "tied"}


def test_a_cell_has_its_difference_from_the_best_with_the_p_of_three_tests() -> None:
    best, other = [1.0, 2.0, 4.0], [7.0, 5.0, 9.0]
    rows = {"best": measured(*best), "other": measured(*other)}
    beside = compare_with_best({row: cells["probe_gap"] for row, cells in rows.items()}, GAP.better)
    welch = stats.ttest_ind(best, other, equal_var=False)
    low, high = welch.confidence_interval(0.95)
    expected = (np.mean(best) - np.mean(other), low, high, welch.pvalue, welch.pvalue)
    found = beside["other"]
    assert (found.best, beside["best"].best) == ("best", "")
    assert (found.best_difference, found.best_low, found.best_high, found.p, found.welch_p) == pytest.approx(expected)
    assert found.paired_p == pytest.approx(stats.ttest_rel(best, other).pvalue)


def test_what_papers_report_has_a_column_of_its_own(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    settings["spec"] |= {
        "columns": ["accuracy", "best_test_accuracy"],
        "expected": {"better": {"best_test_accuracy": 80}},
    }
    markdown = report(settings)[".md"]
    assert "Test accuracy, best test epoch, %" in read_markdown(markdown)[1][0]
    assert cells(markdown, "Better_row")[2:] == ["75.0 ± 0.0", "80.0", "−5.0"]
    assert "chosen on the test set itself, hence too good" in markdown


def test_operations_and_parameters_have_no_interval(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    settings["spec"] |= {"columns": ["gflops", "parameters"], "expected": {}, "claims": {}}
    made = report(settings)
    assert cells(made[".md"], "Better_row")[1:] == ["1.50", "1.25"]
    assert "billions of multiply-adds" in made[".md"]
    assert "4 runs" in made[".md"]


def test_a_number_without_meaning_is_a_dash_and_the_caption_says_why(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    settings["spec"] |= {"columns": ["accuracy", "ogr_joint"], "expected": {}}
    made = report(settings)
    assert cells(made[".md"], "Better_row")[2] == "–"
    assert "Joint OGR: no value where a run gives no finite number." in made[".md"]
    assert "nan" not in made[".md"]
    settings["rows"]["worse"] = [entry | {"run": "results/runs/none"} for entry in settings["rows"]["worse"]]
    assert "Joint OGR of Better_row: no value where a run" in read_markdown(report(settings)[".md"])[0]


def test_a_combined_row_stands_below_the_others(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    for seed, right in enumerate((4, 1)):
        runs(f"worse-s{seed}", test_logits=right, data="verbs")
    settings["spec"] |= {
        "combined": {"both": {"rows": ["better", "worse"]}, "twice": {"label": "2x", "rows": ["worse"] * 2}}
    }
    made = report(settings)
    text, rows = read_markdown(made[".md"].split("## Claims")[0])
    assert [row[0] for row in rows][1:] == ["Better_row", "Worse row", "both", "2x"]
    # Of the eight clips the first 8 and 4, and the first 7 and 1, are right in both.
    assert cells(made[".md"], "both")[1:] == ["–", "31.2 ± 238.2", "", ""]
    assert "both: right where all of Better_row, Worse row are; the five best by" in text


def test_lower_loss_is_better(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    markdown = report(settings)[".md"]
    assert cells(markdown, "Better_row")[1].startswith("**")
    assert not cells(markdown, "Worse row")[1].startswith("**")


def test_a_failed_run_shows_as_n(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    shutil.rmtree("results/runs/better-s0")
    markdown = report(settings)[".md"]
    assert cells(markdown, "Better_row")[2] == "**87.5 (n=1/2)**"
    assert "3 runs" in markdown


def test_a_row_of_failed_runs_is_shown_as_failed(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    for seed in (0, 1):
        shutil.rmtree(f"results/runs/better-s{seed}")
    made = report(settings)
    assert cells(made[".md"], "Better_row")[1:] == ["failed", "failed", "90.0", ""]
    claim = cells(made[".md"], "The better row is better.")
    assert claim[1:4] == ["**undecided**", "Test accuracy: Better_row − Worse row", "no runs"]


def test_a_single_seed_is_marked(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    for entries in settings["rows"].values():
        del entries[1:]
    markdown = report(settings)[".md"]
    assert cells(markdown, "Worse row")[2] == "25.0 (n=1)"
    assert "One seed (n=1), so no interval" in markdown


def test_markdown_tells_how_the_numbers_came_about(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    text, _ = read_markdown(report(settings)[".md"])
    assert text.startswith(f"A demonstration of 100 % & more\nDemo (Doe, 2020): Table 1\n{settings['command']}\n")
    assert "Scale laptop; seeds 0, 1; 8 test clips; 4 runs, 0 s of training on" in text
    assert "Mean over n = 2 seeds ± half width of the 95 % t-interval" in text


def test_claims_are_reported_with_difference_and_interval(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    made = report(settings)
    (claim,) = json.loads(made[".json"])["claims"]
    assert claim["verdict"] == "holds"
    # Of the eight clips 8 and 7 against 2 and 1 are right: variances between seeds 78.125 / 2 each. The clips' means of
    # both seeds differ by 0, 50, 100 five times and 50: 1428.571 / 8; of that the rows' residuals, 43.75 at the clip
    # in which the seeds differ and 6.25 at seven: 2 (43.75^2 + 7 * 6.25^2) / 7 / 16 = 39.0625 each. So V = 78.125 +
    # 178.571 - 78.125, with V^2 / (2 * 39.0625^2 / 1 + 100.446^2 / 7) = 7.097 degrees of freedom, and t = 75 / 13.363.
    assert claim["difference"] == pytest.approx(75)
    assert claim["adjusted_p"] == pytest.approx(2 * stats.t.sf(75 / 13.36306, 7.0970), abs=1e-6)
    half_width = stats.t.ppf(0.975, 7.0970) * 13.36306
    assert (claim["low"], claim["high"]) == pytest.approx((75 - half_width, 75 + half_width), abs=1e-3)
    line = cells(made[".md"], "The better row is better.")
    assert line[1:] == [
        "**holds**",
        "Test accuracy: Better_row − Worse row",
        "+75.00 points",
        "+43.49 to +106.51",
        "< 0.001",
    ]
    assert r"The better row is better. Test accuracy: Better\_row $-$ Worse row & holds & +75.00 points" in made[".tex"]
    assert r"+43.49 to +106.51 & $<$ 0.001 \\" in made[".tex"]


def test_json_names_runs_commit_and_device(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    provenance = json.loads(report(settings)[".json"])["provenance"]
    assert (provenance["num_runs"], provenance["num_clips"]) == (4, 8)
    assert len(provenance["commits"]) == len(provenance["devices"]) == 1
    assert "numpy" in provenance["versions"]


def test_data_are_called_generated_where_a_generator_made_them_whatever_the_scale(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    settings["scale"] = "miniature"
    assert "enerated" not in report(settings)[".md"]
    settings |= {"scale": "laptop", "generated": ["AV-MNIST", "GRID"]}
    warning = "Generated data (AV-MNIST, GRID): these numbers only show that everything runs. Scale laptop"
    assert warning in report(settings)[".md"]


def test_the_same_runs_give_the_same_bytes(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    assert report(settings) == report(settings)


def test_step_writes_all_formats_then_its_stamp_and_removes_older_stamps(
    runs: Callable[..., str], settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("recipe.json").write_text(json.dumps({"settings": settings, "inputs": {}}), encoding="utf-8")
    folder = Path("results/tables/laptop")
    folder.mkdir(parents=True)
    (folder / "demo_table1.0123456789ab.key").touch()
    (folder / "demo_table10.0123456789ab.key").touch()
    out, stamp = str(folder / "demo_table1"), str(folder / "demo_table1.fedcba987654.key")
    monkeypatch.setattr("sys.argv", ["tables", "--recipe", "recipe.json", "--out", out, "--stamp", stamp])
    tables.main()
    assert sorted(path.name for path in folder.iterdir()) == [
        "demo_table1.csv",
        "demo_table1.fedcba987654.key",
        "demo_table1.json",
        "demo_table1.md",
        "demo_table1.tex",
        "demo_table10.0123456789ab.key",
    ]


def test_no_stamp_stands_beside_unfinished_files(tmp_path: Path) -> None:
    stamp, older = tmp_path / "table.new.key", tmp_path / "table.old.key"
    older.touch()
    with pytest.raises(TypeError):
        stamps.write(tmp_path / "table", {".md": "text", ".csv": None}, stamp, {})  # type: ignore[dict-item]
    assert not stamp.exists()
    assert not older.exists()


HOSTILE = [
    "[A] concat",
    "*ours",
    "cosine | s = 10",
    "a_b_ *i* **b** `c` ~~d~~ <u>e</u> <script>f</script> [g](h) ![i](j) &amp; $k$ ^l \\ # \\alpha {m} 100 %",
    "# - 1.",
    "- one",
    "1. two",
    "---",
    "=1+1",
    "_legend",
    "\"quoted\" 'single' a--b",
    "α Ω λ → ≥ √ 10⁻³\u202f% ± −",
    "é ß ą 多模态 😀⚖️",
    "two\nlines\tand\r\nmore",
]


def in_one_line(text: str) -> str:
    return " ".join(text.splitlines())


def as_hostile(settings: dict[str, Any], text: str) -> dict[str, str]:
    """The table whose title, paper, label and claim are `text`."""
    settings["spec"] |= {"title": text, "paper": text, "rows": {"better": {"label": text}, "worse": {"label": "other"}}}
    settings["spec"]["claims"]["better_beats_worse"]["text"] = text
    return report(settings)


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_out_of_markdown_and_csv_as_written(
    runs: Callable[..., str], settings: dict[str, Any], text: str
) -> None:
    made = as_hostile(settings, text)
    shown, rows = read_markdown(made[".md"])
    assert shown.split("\n")[:2] == [in_one_line(text)] * 2  # title, paper
    label, _, accuracy, _, _ = rows[1]
    assert (label, accuracy) == (in_one_line(text), "**93.8 ± 79.4**")
    claim, verdict, comparison = rows[4][:3]
    assert (claim, verdict) == (in_one_line(text), "**holds**")
    assert comparison == f"Test accuracy: {in_one_line(text)} − other"
    assert {len(row) for row in rows[:3]} == {5}
    labels = {record["label"] for record in csv.DictReader(io.StringIO(made[".csv"], newline=""))}
    assert labels == {text, "other"}


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("100 % & a_b #1 $x$", r"100 \% \& a\_b \#1 \$x\$"),
        ("±0.5 −1", r"$\pm$0.5 $-$1"),
        (r"{\x}", r"\{\textbackslash{}x\}"),
        ("[A] *", "{[}A] {*}"),
        ("a--b", "a-{}-b"),
        ("λ ≥ √", r"$\lambda$ $\geq$ $\surd$"),
        ("e\N{COMBINING ACUTE ACCENT}", "é"),
        ("多", r"\unicodechar{591A}{多}"),
    ],
)
def test_latex_prints_text_as_it_stands(text: str, escaped: str) -> None:
    assert escape.latex(text) == escaped


def test_latex_prints_any_text(runs: Callable[..., str], settings: dict[str, Any], tmp_path: Path) -> None:
    engine = shutil.which("tectonic") or shutil.which("pdflatex")
    if engine is None:
        pytest.skip("needs tectonic or pdflatex; apt-get install texlive-latex-base texlive-latex-recommended")
    wide = json.loads(json.dumps(settings))
    wide["spec"] |= {"columns": ["accuracy", "loss"] * 4, "expected": {}, "claims": {}}
    made = [report(wide)[".tex"], *(as_hostile(settings, text)[".tex"] for text in HOSTILE)]
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n\\listoftables\n"
    (tmp_path / "document.tex").write_text(
        document + "\\clearpage\n".join(made) + "\\end{document}\n", encoding="utf-8"
    )
    options = [] if "tectonic" in engine else ["-interaction=nonstopmode", "-halt-on-error"]
    for _ in range(2):  # the list of tables is read by the second
        done = subprocess.run([engine, *options, "document.tex"], cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stdout[-2000:]
    reader = shutil.which("pdftotext")
    if reader is not None:
        shown = subprocess.run(
            [reader, "document.pdf", "-"], cwd=tmp_path, capture_output=True, encoding="utf-8"
        ).stdout
        for printed in ("[A] concat", "*ours", "cosine | s = 10", "<script>f</script>", "U+591AU+6A21U+6001", "a--b"):
            assert printed in shown


def contrastive() -> dict[str, Any]:
    spec = yaml.safe_load((CONFIG / "contrastive_table2.yaml").read_text(encoding="utf-8"))
    return {"table": "contrastive_table2", "scale": "laptop", "generated": [], "command": "snakemake", "spec": spec}


def test_contrastive_factors_have_the_printed_values() -> None:
    settings = contrastive()
    made = report(settings)
    for record in csv.DictReader(io.StringIO(made[".csv"])):
        sims = settings["spec"]["rows"][record["row"]]
        # f_Xent = -sigmoid(sim- - sim+), f_Log = -sigmoid(sim-), derived by hand in problem 2c.
        x = sims["sim_negative"] - (sims["sim_positive"] if record["column"] == "f_xent" else 0)
        assert float(record["mean"]) == pytest.approx(-1 / (1 + exp(-x)), abs=1e-12)
        assert abs(float(record["difference"])) < 0.0005
    assert {claim["verdict"] for claim in json.loads(made[".json"])["claims"]} == {"holds"}


def test_a_computed_table_has_no_intervals() -> None:
    assert "±" not in report(contrastive())[".md"]


def test_claims_of_experiments_are_counted_apart_from_formulas(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    settings["spec"]["columns"] += ["parameters"]
    equal = {"text": "As many.", "metric": "parameters", "relation": "times", "factor": 1.0, "tolerance": 0.0}
    settings["spec"]["claims"]["as_many"] = equal | {"left": "better", "right": "worse"}
    made = report(settings)
    assert "Experiments: 1 hold. Formulas and exact counts: 1 hold." in made[".md"]
    assert "Parameters: Better_row / Worse row (claimed: 1 ± 0 times)" in cells(made[".md"], "As many.")
    assert "1.00 times" in cells(made[".md"], "As many.")


def test_a_claim_about_several_rows_shows_each_part_below_it(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    several = {"text": "Both.", "metric": "accuracy", "relation": ">", "left": ["better", "worse"], "right": "worse"}
    settings["spec"]["claims"] = {"several": several}
    made = report(settings)
    lines = read_markdown(made[".md"])[1]
    place = lines.index(cells(made[".md"], "Both."))
    (claim,) = json.loads(made[".json"])["claims"]
    for line, pair in zip(lines[place + 1 : place + 3], claim["pairs"], strict=True):
        assert line[:2] == ["", pair["verdict"]]
        assert line[2] == f"Test accuracy: {'Better_row' if pair['left'] == 'better' else 'Worse row'} − Worse row"
        assert line[3] == f"{number(pair['difference'], 2, sign=True)} points"
        assert line[5] == ("< 0.001 alone" if pair["p"] < 0.001 else f"{number(pair['p'], 3)} alone")
    assert "For comparison: " in made[".md"]
    assert "**holds**" not in report(settings | {"generated": ["GRID"]})[".md"]


def test_on_generated_data_there_is_no_verdict_about_the_paper(
    runs: Callable[..., str], settings: dict[str, Any]
) -> None:
    made = report(settings | {"generated": ["GRID"]})
    assert "Evaluated on generated data: 1; no verdicts about the paper." in made[".md"]
    assert cells(made[".md"], "The better row is better.")[1] == "evaluated on generated data"
    assert "**holds**" not in made[".md"]
    assert "evaluated on generated data" in made[".tex"]


def test_an_unknown_formula_is_named() -> None:
    settings = contrastive()
    settings["spec"]["compute"] = "contrastive_factor"
    with pytest.raises(UserError, match=r"'contrastive_factor' is not a formula; did you mean 'contrastive_factors'\?"):
        report(settings)
