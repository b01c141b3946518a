"""Columns and figures of layers, from probes whose predictions are worked out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.metrics import clip_losses, label_ranks
from avbalance.results.columns import REGISTRY
from avbalance.results.columns.base import find_column
from avbalance.results.columns.layers import read_probes
from avbalance.results.measure import measure
from avbalance.results.runs import Runs

LABELS = np.array([0, 1, 2, 0])


def publish(folder: Path, logits: dict[str, Any], figures: dict[str, Any]) -> str:
    recipe = {"step": "probe", "settings": {"dataset": "letters"}, "inputs": {}}
    with store.publish(folder, recipe) as out:
        arrays = {f"test_probe_{name}": label_ranks(np.array(values), LABELS) for name, values in logits.items()}
        arrays |= {f"test_loss_{name}": clip_losses(np.array(values), LABELS) for name, values in logits.items()}
        np.savez(out / "predictions.npz", test_label=LABELS, **arrays)  # type: ignore[arg-type]
        (out / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")
    return str(folder)


@pytest.fixture
def probes(tmp_path: Path) -> list[str]:
    """Of two seeds; layer1.0 is right about the first clip alone, after 5 steps about all; top 2 of six classes."""
    wrong = [[9, 0, 0, 0, 0, 0], [9, 0, 1, 2, 3, 4], [9, 0, 8, 2, 3, 4], [0, 9, 8, 2, 3, 4]]
    right = 9 * np.eye(6)[LABELS]
    found = []
    for seed in (0, 1):
        figures = {
            layer: {
                moment: {"val_error": 0.25 + seed / 2, "train_loss": 1.5, "gradient_norm": 10.0**-place}
                for place, moment in enumerate(("5", "trained"), start=7)
            }
            for layer in ("layer1.0", "layer2.0")
        }
        logits = {"layer1.0": wrong, "layer1.0@5": right, "layer2.0": right, "layer2.0@5": right}
        found.append(publish(tmp_path / f"probe-{seed}", logits, figures))
    return found


def entries(probes: list[str], names: list[str], moment: int | None = None) -> list[dict[str, Any]]:
    return [
        {"seed": seed, "run": "", "probe": None, "alone": {}}
        | {"layers": {"probe": folder, "layers": names, "snapshot": moment}}
        for seed, folder in enumerate(probes)
    ]


def test_columns_of_a_layer(probes: list[str]) -> None:
    rows = {
        "trained": entries(probes, ["layer1.0"]),
        "early": entries(probes, ["layer1.0"], 5),
        "none": [{"seed": 0, "run": "", "probe": None, "alone": {}}],
    }
    columns = ["probe_error", "probe_top5_error", "probe_loss", "probe_val_error", "probe_train_loss"]
    found = measure(rows, columns, Runs())
    assert found["trained"]["probe_error"].values[1].tolist() == [0, 100, 100, 100]  # of every clip, for paired tests
    # six classes: of clip 1, label 1 is the lowest; of clip 3, label 0 is
    assert found["trained"]["probe_top5_error"].values[0].tolist() == [0, 100, 0, 100]
    assert found["early"]["probe_error"].values[0].tolist() == [0, 0, 0, 0]
    # all but one logit are 0: log(exp(9) + 5) - 9
    np.testing.assert_allclose(found["early"]["probe_loss"].values[0], np.log(np.exp(9) + 5) - 9)
    assert found["trained"]["probe_val_error"].values == {0: 25.0, 1: 75.0}
    assert found["trained"]["probe_train_loss"].values[0].tolist() == [1.5]
    assert all(found["none"][column].num_seeds == 0 for column in columns)
    assert found["trained"]["probe_error"].data == "letters"


def test_figures_of_layers_come_in_network_order_with_a_value_for_each_seed(probes: list[str]) -> None:
    found = read_probes(entries(probes, ["layer?.0"]), Runs())
    assert list(found) == ["layer1.0", "layer2.0"]
    assert found["layer1.0"]["trained"]["val_error"] == [0.25, 0.75]
    assert list(read_probes(entries(probes, ["layer2.0"], 5), Runs())["layer2.0"]) == ["5"]


def test_a_seed_whose_probe_failed_is_left_out(probes: list[str]) -> None:
    absent = [*probes[:1], str(Path(probes[0]).parent / "absent")]
    assert read_probes(entries(absent, ["layer1.0"]), Runs())["layer1.0"]["trained"]["val_error"] == [0.25]
    cell = measure({"row": entries(absent, ["layer1.0"])}, ["probe_error"], Runs())["row"]["probe_error"]
    assert (len(cell.values), cell.num_seeds) == (1, 2)


def test_the_largest_gradient_of_all_layers_is_reported(probes: list[str]) -> None:
    runs = Runs()
    read_probes(entries(probes, ["layer1.0"]), runs)
    assert runs.provenance()["probe_gradient"] == 1e-7


def test_errors_and_losses_are_better_when_lower() -> None:
    columns = [
        column
        for name in REGISTRY
        if (column := find_column(name.replace("<", "").replace(">", ""))).reads == ("layers",)
    ]
    assert len(columns) == 7
    for column in columns:
        name = column.name
        assert column.better == -1
        assert column.unit == ("nats" if name.endswith("loss") else "%")
