"""Tables whose files lie outside the checkout."""

import shutil
from pathlib import Path

import pytest

from avbalance import plan
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
TABLE = """
title: One row
paper: ours
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}
rows:
  concat: {}
columns: [accuracy]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "config", tmp_path / "project" / "config")
    return tmp_path / "project"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(TABLE, encoding="utf-8")
    return tmp_path / "mine.yaml"


def test_a_table_outside_is_planned_under_the_name_of_its_file(project: Path, outside: Path) -> None:
    planned = plan.make(project, {"tables": [str(outside), "avmnist_table1"]})
    tables = [artifact for artifact in planned.artifacts.values() if artifact.folder == "tables/miniature"]
    commands = {artifact.recipe["settings"]["table"]: artifact.recipe["settings"]["command"] for artifact in tables}
    assert commands.keys() == {"mine", "avmnist_table1"}
    assert commands["mine"] == f"snakemake --cores all --config scale=miniature 'tables=[{outside}]'"


def test_a_relative_path_is_read_below_the_working_folder(
    project: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(outside.parent)
    assert "mine" in plan.make(project, {"tables": "./mine.yaml"}).project.tables


def test_its_errors_name_its_file(project: Path, outside: Path) -> None:
    outside.write_text(TABLE.replace("concat: {}", "concat: {fusoin: film}"), encoding="utf-8")
    with pytest.raises(UserError, match=f"^{outside}: rows.concat.fusoin: .*'fusion'"):
        plan.make(project, {"tables": [str(outside)]})


@pytest.mark.parametrize("name", ["avmnist_table1.yaml", "absent.yaml", "two words.yaml"])
def test_a_name_that_exists_and_a_file_that_does_not_are_refused(name: str, project: Path, outside: Path) -> None:
    if name != "absent.yaml":
        outside.rename(outside.with_name(name))
    with pytest.raises(UserError, match=name):
        plan.make(project, {"tables": [str(outside.with_name(name))]})


def test_one_name_from_two_folders_is_refused(project: Path, outside: Path) -> None:
    (outside.parent / "other").mkdir()
    other = shutil.copy(outside, outside.parent / "other")
    with pytest.raises(UserError, match="'mine' exists already"):
        plan.make(project, {"tables": [str(outside), str(other)]})
