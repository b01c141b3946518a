"""Trials of tuned rows below a table, in its files and on the page."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avbalance import stamps, store
from avbalance.errors import UserError
from avbalance.results import figures, page, tables, tuning
from avbalance.results.web import one_run

OWN = {
    "head": {"dropout": {"rate": 0.5, "head": {"linear": {}}}},
    "balancer": {"agm": {"alpha": 1.0, "end": None}},
    "training": {"learning_rate": 0.03, "momentum": 0.9, "clip_norm": 1.0},
}
TUNED = {
    "better": "results/tuned/better.0123456789ab",
    "worse": "results/tuned/worse.0123456789ab",
}


def with_options(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return {**OWN, **changes}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "own options"),
        ({"balancer": {"agm": {"alpha": 0.5, "end": None}}}, "balancer.alpha 0.5"),
        ({"balancer": {"agm": {"alpha": 1.0, "end": 7}}}, "balancer.end 7"),
        (
            {"training": {"learning_rate": 0.009, "momentum": 0.9, "clip_norm": None}},
            "learning_rate 0.009, clip_norm null",
        ),
        ({"head": {"dropout": {"rate": 0.5, "head": {"cosine": {"scale": 5}}}}}, 'head.head {"cosine": {"scale": 5}}'),
    ],
)
def test_a_trial_is_named_by_what_it_changes(changes: dict[str, Any], expected: str) -> None:
    assert tuning.explain_changes(with_options(**changes), OWN) == expected


def publish(row: str, chosen: int, accuracies: list[float]) -> None:
    """The choice among trials of the factor alpha."""
    with store.publish(Path(TUNED[row]), {"step": "tune"}) as out:
        trials = [
            {
                "run": f"results/runs/{row}-{number}",
                "seed": 100,
                "val_accuracy": accuracy,
                "val_loss": 0.5,
                "seconds": 20.0,
                "options": with_options(balancer={"agm": {"alpha": 1.0 - number / 4, "end": None}}),
            }
            for number, accuracy in enumerate(accuracies)
        ]
        (out / "tuned.json").write_text(json.dumps({"chosen": chosen, "trials": trials}), encoding="utf-8")


@pytest.fixture
def tuned(runs: Callable[..., str], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a table of two tuned rows."""
    publish("better", 1, [0.5, 0.75, 0.625])
    publish("worse", 0, [0.25, 0.125])
    return settings | {"tuned": TUNED}


def test_below_a_table_stand_all_trials_and_the_chosen_one_is_bold(tuned: dict[str, Any]) -> None:
    markdown = tables.report(tuned)[".md"].split("## Tuning")[1].split("## Claims")[0]
    assert "of 2 to 3 trials each, with seed 100, the one with the highest validation accuracy" in markdown
    assert "The trials took 100 s of training." in markdown  # 5 trials of 20 s
    better, worse = (line for line in markdown.splitlines() if "own options" in line)
    assert (
        re.split(r" *\| *", better)[2] == "own options: 50.0; **balancer.alpha 0.75: 75.0**; balancer.alpha 0.5: 62.5"
    )
    assert re.split(r" *\| *", worse)[1:3] == ["Worse row", "**own options: 25.0**; balancer.alpha 0.75: 12.5"]


def test_a_trial_that_has_failed_is_said_to_have(tuned: dict[str, Any]) -> None:
    content = json.loads((Path(TUNED["worse"]) / "tuned.json").read_text(encoding="utf-8"))
    del content["trials"][1]["val_accuracy"]
    content["trials"][1] |= {"failed": "a reason"}
    with store.publish(Path(TUNED["worse"]), {"step": "tune"}) as out:
        (out / "tuned.json").write_text(json.dumps(content), encoding="utf-8")
    assert "**own options: 25.0**; balancer.alpha 0.75: failed" in tables.report(tuned)[".md"]


def test_json_and_latex_have_the_trials_too(tuned: dict[str, Any]) -> None:
    made = tables.report(tuned)
    content = json.loads(made[".json"])
    assert [(row["row"], row["chosen"]) for row in content["tuning"]] == [("better", 1), ("worse", 0)]
    assert [trial["val_accuracy"] for trial in content["tuning"][0]["trials"]] == [0.5, 0.75, 0.625]
    assert content["tuning_caption"].startswith("Options of 2 rows are tuned")
    assert r"Worse row & \textbf{own options: 25.0}; balancer.alpha 0.75: 12.5 \\" in made[".tex"]


def test_a_table_without_tuned_rows_says_nothing_of_trials(runs: Callable[..., str], settings: dict[str, Any]) -> None:
    made = tables.report(settings)
    assert not any("trial" in made[suffix].lower() for suffix in (".md", ".tex", ".csv"))
    assert json.loads(made[".json"])["tuning"] == []


def test_a_row_without_a_choice_is_left_out(tuned: dict[str, Any]) -> None:
    shutil.rmtree(TUNED["worse"])
    content = json.loads(tables.report(tuned)[".json"])
    assert [row["row"] for row in content["tuning"]] == ["better"]
    assert content["tuning_caption"].startswith("Options of 1 row are tuned: of 3 trials")


def test_a_damaged_choice_is_refused(tuned: dict[str, Any]) -> None:
    file = Path(TUNED["better"]) / "tuned.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"chosen": 1', '"chosen": 2'), encoding="utf-8")
    with pytest.raises(UserError, match=r"tuned.json has other bytes than its manifest says"):
        tables.report(tuned)


def test_a_figure_of_tuned_rows_says_so(tuned: dict[str, Any]) -> None:
    figure = tuned | {
        "spec": tuned["spec"] | {"figure": {"curves": {}}},
        "rows": {"better": tuned["rows"]["better"]},
        "tuned": {"better": TUNED["better"]},
    }
    caption = json.loads(figures.report(figure)[".json"])["caption"]
    assert "Options of 1 row are tuned: of 3 trials" in caption
    assert "tuned" not in json.loads(figures.report(figure | {"tuned": {}})[".json"])["caption"]


def test_the_page_shows_the_trials(tuned: dict[str, Any]) -> None:
    table = Path("results/tables/laptop/demo_table1")
    stamps.write(table, tables.report(tuned), Path(f"{table}.0123456789ab.key"), {"settings": tuned})
    shown = page.render("laptop", [f"{table}.0123456789ab"])
    assert "<summary>Trials of 2 rows</summary>" in shown
    assert "own options: 50.0; <b>balancer.alpha 0.75: 75.0</b>; balancer.alpha 0.5: 62.5</td>" in shown
    assert "Options of 2 rows are tuned" in shown


def test_the_settings_of_a_run_are_those_that_were_chosen(publish_run: Callable[..., str]) -> None:
    folder = Path(publish_run("better-s0", test_logits=8))
    recipe = store.read_manifest(folder)["recipe"]
    chosen = {"balancer": {"agm": {"alpha": 0.5}}, "trials": [{"balancer": {"agm": {"alpha": 1.0}}}], "seed": 0}
    settings = {**recipe["settings"], **chosen}
    shutil.copytree(folder, "copy")
    with store.publish(folder, {**recipe, "settings": settings}) as out:
        for file in Path("copy").iterdir():
            if file.name != store.MANIFEST:
                shutil.copy(file, out)
    shown = one_run.describe_run(folder)["config"]
    assert shown == {"dataset": "demo", "encoder": {"audio": {}}, "balancer": {"agm": {"alpha": 0.5}}}
