"""Figures that compare methods over datasets: the rows and columns that their options may name."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from avbalance import plan
from avbalance.errors import UserError

DATASET = """
title: {title}
licence: x
citation: x
num_classes: 9
modalities: [audio, visual]
reader: avmnist
sources: {{generated: {{generator: avmnist_miniature}}}}
"""
FILES = {
    "config.yaml": "scale: tiny\ndevice: cpu\n",
    "scales/tiny.yaml": "seeds: [0, 1]\nthreads: 1\ndatasets: {}\n"
    "training: {epochs: 1, batch_size: 1, learning_rate: 1.0, patience: 1, precision: float32, optimizer: sgd}\n",
    "datasets/x.yaml": DATASET.format(title="Digits"),
    "datasets/y.yaml": DATASET.format(title="Letters"),
    "tables/x.yaml": """
title: x
paper: x
defaults: {dataset: x, encoder: {audio: conv1net, visual: conv2net}}
rows:
  joint: {label: Joint}
  joint_twice: {label: Joint twice, training: {stretch: 2}}
  ogm: {label: OGM, balancer: ogm}
  ensemble: {label: Ensemble, combine: {members: alone}}
columns: [accuracy]
""",
    "tables/y.yaml": "title: y\npaper: y\nrows_of: x\nwithout: [joint_twice]\ndefaults: {dataset: y}\n",
}
TABLE = "title: Over datasets\npaper: ours\nrows_of: {{x: all, y: all}}\nfigure: {figure}\n"
Plans = Callable[[str], plan.Plan]


@pytest.fixture
def planned(tmp_path: Path) -> Plans:
    """Plans a table with a figure of rows on two datasets."""

    def make(figure: str) -> plan.Plan:
        for name, content in {**FILES, "tables/mine.yaml": TABLE.format(figure=figure)}.items():
            (tmp_path / "config" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "config" / name).write_text(content, encoding="utf-8")
        return plan.make(tmp_path, {"tables": "mine"})

    return make


def test_a_leaderboard_plans_the_runs_of_all_its_rows(planned: Plans) -> None:
    made = planned("{leaderboard: {baselines: [joint, joint_twice], references: [ensemble]}}")
    (figure,) = (artifact for artifact in made.artifacts.values() if artifact.folder == "figures/tiny")
    labels = {name: row["label"] for name, row in figure.settings["spec"]["rows"].items()}
    assert len(labels) == 7
    assert labels["y_ogm"] == "Letters: OGM"
    assert not [artifact for artifact in made.artifacts.values() if artifact.folder == "probes"]


def test_balance_against_accuracy_plans_the_probes_of_joint_rows(planned: Plans) -> None:
    made = planned("{balance_accuracy: {baseline: joint, columns: [probe_gap, accuracy]}}")
    probes = [artifact for artifact in made.artifacts.values() if artifact.folder == "probes"]
    assert len(probes) == 10  # two seeds of each of the five rows that are no ensemble


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("{leaderboard: {baselines: [jont]}}", "figure.leaderboard: no row is named 'jont'; did you mean 'joint'?"),
        ("{leaderboard: {baselines: [joint], references: [ensembel]}}", "no row is named 'ensembel'; did you mean"),
        ("{leaderboard: {baselines: [joint, joint_thrice]}}", "'joint_thrice'; did you mean 'joint_twice'?"),
        ("{leaderboard: {}}", "figure: 'leaderboard' needs the option 'baselines'"),
        ("{leaderboard: {baselines: []}}", "figure: leaderboard.baselines: found []"),
        ("{leaderboard: {baselines: [joint], column: accurcy}}", "columns: 'accurcy' is not a column; did you"),
        ("{balance_accuracy: {baseline: ogn, columns: [probe_gap, accuracy]}}", "no row is named 'ogn'; did you"),
        ("{balance_accuracy: {baseline: joint, columns: [accuracy]}}", "balance_accuracy.columns: found ['accuracy']"),
        ("{balance_accuracy: {baseline: joint, columns: [gap, accuracy]}}", "columns: 'gap' is not a column"),
        ("{ranks: {}}", "figure: 'ranks' needs rows of 6 datasets or more, found 2 (x, y); 'leaderboard' takes any"),
    ],
)
def test_a_wrong_option_is_one_line(planned: Plans, figure: str, expected: str) -> None:
    with pytest.raises(UserError, match=re.escape(expected)) as error:
        planned(figure)
    assert "\n" not in str(error.value)
    assert "config/tables/mine.yaml: " in str(error.value)
