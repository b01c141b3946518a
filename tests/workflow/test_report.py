import json
import re
from zipfile import ZipFile

from checkout import NOTHING, Checkout

OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def test_snakemakes_report_has_tables_figures_and_page_without_network(copy: Checkout) -> None:
    copy.snakemake("--report", "report.zip", **OFFLINE)
    with ZipFile(copy.path / "report.zip") as report:
        names = {name.rpartition("/")[2] for name in report.namelist()}
        said = "".join(report.read(name).decode() for name in report.namelist() if name.endswith("report.html"))
    assert {"two_rows.csv", "two_rows.md", "one_figure.svg", "small.html"} <= names
    assert "the Markdown has what its numbers and marks mean" in said


def test_the_command_in_a_panel_makes_the_runs_of_its_row_and_nothing_else(copy: Checkout) -> None:
    page = (copy.path / "results" / "page" / "small.html").read_text(encoding="utf-8")
    (panel,) = re.findall(r'data-row="two_rows/ogm">(.*?)</script>', page, re.DOTALL)
    command = json.loads(panel)["command"]
    (run,) = (run for run in copy.artifacts("runs") if "ogm" in run.name)
    before = (run / "predictions.npz").read_bytes()
    assert NOTHING in copy.run("bash", "-c", command)
    said = copy.run("bash", "-c", f"{command} --force")
    assert "1 of 1 jobs: train_run avmnist-concat-linear-ogm_ge-s0." in said
    assert (run / "predictions.npz").read_bytes() == before


def test_the_page_shows_what_failed(copy: Checkout) -> None:
    copy.edit("config/tables/two_rows.yaml", "concat: {}", "concat: {training: {learning_rate: 1.0e+30}}")
    copy.snakemake(check=False)
    page = (copy.path / "results" / "page" / "small.html").read_text(encoding="utf-8")
    (row,) = re.findall(r'<tr id="two_rows/concat">.*?</tr>', page, re.DOTALL)
    assert "failed" in row
    assert "0 of 1 seeds; seed 0 failed: see results/logs/runs/avmnist-concat-linear-s0." in row
    assert "Unfinished: " in page
    assert copy.planned()["build_page"] == 1
