"""Columns of a method's own curves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.configuration.references import traits_of
from avbalance.configuration.resolved import ResolvedRow
from avbalance.configuration.schema import Dataset
from avbalance.configuration.signature import resolve
from avbalance.losses import REGISTRY as LOSSES
from avbalance.registry import load
from avbalance.results.measure import measure
from avbalance.results.runs import Runs

DATASET = Dataset.model_validate(
    {
        "title": "x",
        "licence": "x",
        "citation": "x",
        "task": "single_label",
        "num_classes": 3,
        "modalities": ["audio", "visual"],
        "reader": "avmnist",
        "sources": {"generated": {"generator": "avmnist_miniature"}},
    }
)


def curves(**methods: str) -> tuple[str, ...] | None:
    chosen = {kind: resolve(kind, methods.get(kind, "joint")) for kind in ("balancer", "loss")}
    row = ResolvedRow("x", "x", {"audio": {}, "visual": {}}, chosen, {}, {}, None)
    return traits_of(row, DATASET).curves


def entry(folder: Path, history: str, best_epoch: int) -> dict[str, Any]:
    recipe = {"step": "train", "settings": {"dataset": "demo"}, "inputs": {}}
    with store.publish(folder, recipe) as out:
        np.savez(out / "predictions.npz", test_label=np.array([0]))
        (out / "history.csv").write_text(history, encoding="utf-8")
        (out / "metrics.json").write_text(f'{{"best_epoch": {best_epoch}}}', encoding="utf-8")
    return {"seed": 0, "run": str(folder), "probe": None, "alone": {}}


def test_a_curve_is_shown_at_the_epoch_whose_weights_were_kept(tmp_path: Path) -> None:
    rows = {
        "ogm": [entry(tmp_path / "ogm", "epoch,coefficient_audio\n1,0.5\n2,0.25\n3,1\n", 2)],
        "joint": [entry(tmp_path / "joint", "epoch\n1\n", 1)],
        "untrained": [entry(tmp_path / "untrained", "epoch,coefficient_audio\n", 0)],
    }
    name = "curve_coefficient_audio"
    cells = {row: cells[name] for row, cells in measure(rows, [name], Runs()).items()}
    assert cells["ogm"].means().tolist() == [0.25]
    assert [cells[row].num_seeds for row in rows] == [1, 0, 0]


def test_the_curves_of_a_row_are_those_of_its_balancer_and_its_loss() -> None:
    assert curves(balancer="joint") == ()
    assert curves(balancer="ogm") == ("coefficient_audio", "coefficient_visual")
    assert curves(loss="uncertainty") == ("weight_joint", "weight_audio", "weight_visual")


def test_a_method_from_outside_may_leave_its_curves_undeclared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "undeclared.py").write_text(
        "from avbalance.balancers.base import Balancer\n\n\nclass Mine(Balancer):\n"
        "    def curves(self):\n        return {'mine': 1.0}\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert curves(balancer="undeclared:Mine") is None


def test_a_loss_declares_the_curves_that_it_records() -> None:
    for name in LOSSES:
        recorded = load("loss", name, {"audio": 4, "visual": 4}, 3).curves()
        assert set(recorded) == set(curves(loss=name) or ()), name
