import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from avbalance.results import tables
from avbalance.results.columns.base import find_column
from avbalance.results.web import panels

BOTH = ("audio", "visual")


def panel(settings: dict[str, Any], row: str) -> dict[str, Any]:
    names = settings["spec"]["columns"]
    columns = [find_column(name).header for name in names]
    values = tables.measure(settings["rows"], names, tables.Runs())
    frame = tables.frame_of(settings["spec"], values, columns)
    records = frame[frame["row"] == row].to_dict("records")
    return panels.describe_row(settings, row, records, {column.name: column for column in columns})


@pytest.fixture
def joint(publish_run: Callable[..., str], settings: dict[str, Any]) -> dict[str, Any]:
    """The better row of two seeds, of audio and visual, with uni-modal runs and probes."""
    settings["spec"]["columns"] = ["accuracy", *(f"acc_{m}_{kind}" for kind in ("alone", "probe") for m in BOTH)]
    settings["rows"] = {"better": settings["rows"]["better"]}
    settings["spec"]["rows"].pop("worse")
    for entry in settings["rows"]["better"]:
        seed = entry["seed"]
        publish_run(f"better-s{seed}", encoder=BOTH, test_logits=8, test_masked_audio=6, test_masked_visual=2 + seed)
        entry["probe"] = publish_run(f"p-s{seed}", step="probe", test_probe_audio=4, test_probe_visual=5)
        entry["alone"] = {
            m: publish_run(f"{m}-s{seed}", test_logits=right) for m, right in (("audio", 4), ("visual", 7))
        }
    return settings


def test_imbalance_is_what_the_table_has_and_masked_accuracy_from_the_runs(joint: dict[str, Any]) -> None:
    # Of 8 clips: alone 4 and 7, probe 4 and 5, masked 6 and 2.5: 31.25 %, half width 12.706 * 6.25 = 79.4.
    assert panel(joint, "better")["imbalance"] == {
        "columns": ["alone", "probe", "masked"],
        "rows": [
            ["audio", "50.0 ± 0.0", "50.0 ± 0.0", "75.0 ± 0.0"],
            ["visual", "87.5 ± 0.0", "62.5 ± 0.0", "31.2 ± 79.4"],
        ],
        "gap": ["37.5", "12.5", "43.8"],
    }


def test_confusion_is_the_sum_over_seeds(joint: dict[str, Any]) -> None:
    assert panel(joint, "better")["confusion"] == [[6, 0, 0], [0, 6, 0], [0, 0, 4]]


def test_a_probe_that_failed_is_named(joint: dict[str, Any]) -> None:
    assert panel(joint, "better")["note"] == ""
    shutil.rmtree("results/probes/p-s1")
    Path("results/logs/probes").mkdir(parents=True)
    Path("results/logs/probes/p-s1.log").touch()
    assert panel(joint, "better")["note"] == "probe of seed 1 failed: see results/logs/probes/p-s1.log"


def test_a_damaged_run_is_a_line_and_the_others_are_shown(joint: dict[str, Any]) -> None:
    described = panel(joint, "better")
    (Path("results/runs/better-s1") / "history.csv").write_text("epoch\n", encoding="utf-8")
    joint["spec"]["columns"] = []
    records: list[dict[str, Any]] = []
    damaged = panels.describe_row(joint, "better", records, {})
    assert damaged["note"].startswith(
        "1 of 2 seeds; seed 1 cannot be read: results/runs/better-s1/history.csv has 6 bytes"
    )
    assert damaged["runs"][0] == described["runs"][0]


def test_settings_and_seeds_are_yaml(joint: dict[str, Any]) -> None:
    assert yaml.safe_load(panel(joint, "better")["config"]) == {
        "encoder": {"audio": {}, "visual": {}},
        "dataset": "demo",
        "seeds": [0, 1],
    }


def test_a_row_of_layer_probes_tells_its_own_layers(joint: dict[str, Any]) -> None:
    for entry in joint["rows"]["better"]:
        entry |= {"layers": {"probe": entry["probe"], "layers": ["layer1"], "snapshot": None}, "probe": None}
    described = panel(joint, "better")
    assert yaml.safe_load(described["config"])["probe"] == {
        "encoder": {"audio": {}},  # what the demonstration's probe has for settings
        "dataset": "demo",
        "layers": ["layer1"],
        "snapshot": None,
    }
    assert described["runs"][0]["artifacts"]["layers probe"] == "results/probes/p-s0"
    assert described["note"] == ""


def test_a_combined_row_names_its_parts_and_all_their_runs(joint: dict[str, Any]) -> None:
    joint["spec"]["combined"] = {"both": {"rows": ["better", "better"]}}
    described = panels.describe_row(joint, "both", [], {})
    assert [run["seed"] for run in described["runs"]] == [0, 1, 0, 1]
    assert yaml.safe_load(described["config"]) == {"rows": ["better", "better"]}
    assert described["imbalance"] is None


def test_a_computed_row_has_its_arguments_and_the_tables_command() -> None:
    settings = {"spec": {"rows": {"row": {"sim_positive": 0.9}}}, "command": "snakemake --cores all"}
    described = panels.describe_row(settings, "row", [], {})
    assert described["runs"] == []
    assert yaml.safe_load(described["config"]) == {"sim_positive": 0.9}
    assert described["command"] == "snakemake --cores all"
