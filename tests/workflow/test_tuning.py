"""A row with `trials`, from its trials to its table."""

import json
from pathlib import Path
from typing import Any

from checkout import NOTHING, Checkout

ROW = "concat: {training: {learning_rate: 0.0001}, trials: [{}, {training: {learning_rate_factor: 300}}]}"


def recipe_of(folder: Path) -> Any:  # noqa: ANN401
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["recipe"]


def test_a_row_is_trained_with_the_options_of_its_best_trial(copy: Checkout) -> None:
    """Half a minute, for three runs are trained, and a table and a page are built."""
    copy.edit("config/scales/small.yaml", "threads: 1", "threads: 1\ntrials: 2")
    copy.edit("config/scales/small.yaml", "epochs: 2", "epochs: 6")
    copy.edit("config/tables/two_rows.yaml", "concat: {}", ROW)
    assert copy.planned() == {"train_run": 3, "choose_trial": 1, "probe_run": 1, "build_table": 1, "build_page": 1}
    copy.snakemake()
    assert NOTHING in copy.snakemake("-n")
    (tuned,) = copy.artifacts("tuned")
    choice = json.loads((tuned / "tuned.json").read_text(encoding="utf-8"))
    print(choice)
    (run,) = [recipe for folder in copy.artifacts("runs") if "tuned" in (recipe := recipe_of(folder))["inputs"]]
    assert choice["chosen"] == 1
    assert run["settings"]["training"]["learning_rate"] == 0.03
    assert run["settings"]["seed"] == 0
