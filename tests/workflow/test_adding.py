"""The examples of docs/adding.md, as they stand there."""

import re
from pathlib import Path

import pandas as pd
import pytest
from checkout import Checkout, copy_of

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "adding.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.timeout(900)  # of the fixture, which trains three rows
FILE = re.compile(r"# (?P<path>\S+)(?P<appended>, at its end)?\n")


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy with the files and commands of the page: a method is checked, and three rows are trained."""
    checkout = copy_of(ROOT, tmp_path_factory.mktemp("extended") / "project")
    commands = ""
    for language, block in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            commands += block
            continue
        file = FILE.match(block)
        assert file is not None, f"the first line names no file:\n{block}"
        path = checkout.path / file["path"]
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            path.read_text(encoding="utf-8") + block[file.end() :] if file["appended"] else block, encoding="utf-8"
        )
    said = checkout.run("bash", "-e", "-c", commands)
    assert re.search(r"^train_run +2$", said, re.MULTILINE), said  # of the plan
    return checkout


def test_the_table_of_the_page_is_built(extended: Checkout) -> None:
    table = pd.read_csv(extended.path / "results/tables/miniature/birds.csv")
    assert table.query("column == 'accuracy'")["label"].tolist() == ["concat", "Head first"]
    assert table["mean"].between(0, 100).all()
    run = next(
        path
        for path in extended.artifacts("runs")
        if "head_first" in (path / "manifest.json").read_text(encoding="utf-8")
    )
    assert (run / "metrics.json").exists()


def test_the_table_of_features_is_built_from_what_was_recorded(extended: Checkout) -> None:
    listed = (extended.path / "config/datasets/sentences.sha256").read_text(encoding="utf-8").splitlines()
    assert [line.split()[1] for line in listed] == ["audio.npz", "index.csv", "text.npz"]
    table = pd.read_csv(extended.path / "results/tables/miniature/sentences.csv")
    assert set(table["column"]) == {"accuracy", "acc_text_masked", "acc_audio_masked"}


def test_the_tuned_table_of_the_page_is_planned_with_its_trials(extended: Checkout) -> None:
    command = ["snakemake", "-n", "-q", "rules", "--config", "tables=[birds_tuned]"]
    assert "choose_trial" not in extended.run(*command, PYTHONPATH=str(extended.path))  # nor is any run made anew
    extended.edit("config/scales/miniature.yaml", "trials: 1", "trials: 2")
    said = extended.run(*command, PYTHONPATH=str(extended.path))
    extended.edit("config/scales/miniature.yaml", "trials: 2", "trials: 1")
    assert re.search(r"^choose_trial +2$", said, re.MULTILINE), said
    assert re.search(r"^train_run +6$", said, re.MULTILINE), said


def test_the_files_that_are_brought_are_recorded(extended: Checkout) -> None:
    (raw,) = (path for path in extended.artifacts("raw") if path.name.startswith("birds"))
    command = ["python", "-m", "avbalance", "record", "birds", "--mirror", str(raw)]
    extended.run(*command, PYTHONPATH=f"src:{extended.path}")
    listed = (extended.path / "config/datasets/birds.sha256").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 20 + 8 + 1  # train, test, list.csv


def test_a_method_that_is_registered_is_in_the_catalogue(extended: Checkout) -> None:
    (extended.path / "mine/head_first.py").rename(extended.path / "src/avbalance/balancers/head_first.py")
    extended.edit(
        "src/avbalance/balancers/__init__.py", "REGISTRY = {", 'REGISTRY = {\n    "head_first": "head_first:HeadFirst",'
    )
    extended.run("python", "-m", "avbalance", "docs", PYTHONPATH="src")
    page = (extended.path / "docs/methods.md").read_text(encoding="utf-8")
    assert "### `balancer: head_first`\n\n**Head first, encoders later.** Keep the encoders fixed" in page
    assert "| `epochs` | `Count` | `1` | Number of epochs in which the encoders are fixed. |" in page
