"""A row with `trials`, from its trials to its table."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from checkout import NOTHING, Checkout

ROW = "concat: {trials: [{}, {training: {learning_rate_factor: 4}}]}"


def recipe_of(folder: Path) -> Any:  # noqa: ANN401
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["recipe"]


def test_a_row_is_trained_with_the_options_of_its_best_trial(copy: Checkout) -> None:
    """Half a minute, for three runs are trained, and a table and a page are built."""
    copy.edit("config/scales/small.yaml", "threads: 1", "threads: 1\ntrials: 2")
    copy.edit("config/tables/two_rows.yaml", "concat: {}", ROW)
    # two trials and the run of seed 0; the uni-modal runs are those of the row as it is
    assert copy.planned() == {"train_run": 3, "choose_trial": 1, "probe_run": 1, "build_table": 1, "build_page": 1}
    said = copy.snakemake("--verbose", "--cores", "1")  # one trial waits for the other
    assert said.count("Ready jobs: ") == said.count(" of 8 jobs: ") == 8  # at the start and after each job
    assert NOTHING in copy.snakemake("-n")
    (tuned,) = copy.artifacts("tuned")
    choice = json.loads((tuned / "tuned.json").read_text(encoding="utf-8"))
    assert [trial["seed"] for trial in choice["trials"]] == [100, 100]
    assert choice["chosen"] == 1
    recipes = {folder: recipe_of(folder) for folder in copy.artifacts("runs")}
    ((run, recipe),) = [each for each in recipes.items() if "tuned" in each[1]["inputs"]]
    assert recipe["settings"]["training"]["learning_rate"] == 0.04
    assert recipe["settings"]["seed"] == 0
    tables = copy.path / "results/tables/small"
    table = pd.read_csv(tables / "two_rows.csv").query("row == 'concat' and column == 'accuracy'")
    test_accuracy = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["test_accuracy"]
    assert table["mean"].tolist() == [100 * test_accuracy]
    said = [f"{100 * trial['val_accuracy']:.1f}" for trial in choice["trials"]]
    trials = f"own options: {said[0]}; **learning_rate 0.04: {said[1]}**"
    assert trials.replace("_", r"\_") in (tables / "two_rows.md").read_text(encoding="utf-8")
    assert "<summary>Trials of 1 row</summary>" in (copy.path / "results/page/small.html").read_text(encoding="utf-8")
    planned = copy.run("python", "-m", "avbalance.plan", "scale=small", PYTHONPATH="src").split()
    assert f"results/tuned/{tuned.name}" in planned
    assert {f"results/runs/{Path(trial['run']).name}" for trial in choice["trials"]} <= set(planned)
