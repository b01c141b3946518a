import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from avbalance import blend, plan, store
from avbalance.data.packed import Split
from avbalance.data.prepared import read_description
from avbalance.train import build_balancer, train_recipe
from folders import both

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
HEADS: dict[str, list[str]] = {"joint": ["audio", "visual"], "audio": ["audio"], "visual": ["visual"]}
ENDS = {"joint": (0.30, 0.80), "audio": (0.20, 0.90), "visual": (0.60, 0.70)}


def recipe_of(head: str, recipe: Make, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """The recipe of a head's own run."""
    made = recipe(**changes)
    made["settings"]["encoder"] = {modality: made["settings"]["encoder"][modality] for modality in HEADS[head]}
    made["inputs"] = {f"data_{modality}": made["inputs"][f"data_{modality}"] for modality in HEADS[head]}
    return made


def estimate(inputs: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """blend.json of runs."""
    (folder / "recipe.json").write_text(
        json.dumps({"step": "blend", "name": "b", "settings": {}, "inputs": inputs}), encoding="utf-8"
    )
    places = [f"--recipe={folder / 'recipe.json'}", f"--out={folder / 'blend'}", f"--resume={folder / 'resume'}"]
    monkeypatch.setattr(sys, "argv", ["blend", "--device=cpu", *places])
    blend.main()
    store.open_artifact(folder / "blend")
    estimated: dict[str, Any] = json.loads((folder / "blend" / "blend.json").read_text(encoding="utf-8"))
    return estimated


@pytest.fixture
def blended(recipe: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """blend.json of three runs whose losses after the last epoch, (train, val), are ENDS."""
    inputs = {f"data_{modality}": str(prepared) for modality in ("audio", "visual")}
    for head in HEADS:
        with store.publish(tmp_path / head, recipe_of(head, recipe)) as out:
            last = {f"last_{name}_loss": loss for name, loss in zip(("train", "val"), ENDS[head], strict=True)}
            chosen = {"train_loss": 0.5, "val_loss": 0.5}  # those of the epoch that is kept
            (out / "metrics.json").write_text(json.dumps(last | chosen), encoding="utf-8")
        inputs[f"run_{head}"] = str(tmp_path / head)
    return estimate(inputs, tmp_path, monkeypatch)


def test_losses_go_from_the_untrained_model_of_the_seed_to_the_last_epoch(
    blended: dict[str, Any], recipe: Make, prepared: Path
) -> None:
    for head, modalities in HEADS.items():
        model = build_balancer(recipe_of(head, recipe)["settings"], read_description(both(prepared)), CPU).model.eval()
        for name, size in (("train", 60), ("val", 21)):
            batch = Split(dict.fromkeys(modalities, prepared), name, CPU).batch(np.arange(size))
            with torch.no_grad():
                expected = cross_entropy(model(batch.inputs).logits, batch.labels).item()
            assert blended["losses"][head][name][0] == pytest.approx(expected, abs=1e-5)
        assert tuple(blended["losses"][head][name][1] for name in ("train", "val")) == ENDS[head]


def test_weights_follow_from_the_losses(blended: dict[str, Any]) -> None:
    value, ratio = {}, {}
    for head, losses in blended["losses"].items():
        G = losses["val"][0] - losses["val"][1]
        delta_O = (losses["val"][1] - losses["train"][1]) - (losses["val"][0] - losses["train"][0])
        value[head], ratio[head] = G / delta_O**2, abs(delta_O / G)
    for head in HEADS:
        assert blended["weights"][head] == pytest.approx(value[head] / sum(value.values()))
        assert blended["ogr"][head] == pytest.approx(ratio[head])
    assert blended["weights"]["visual"] > blended["weights"]["joint"] > blended["weights"]["audio"]  # it overfits least
    assert not blended["fallback"]


def test_verification_data_are_blended_too(recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.test_train import publish

    persons = np.eye(6, dtype=int)
    labels = {
        "train": np.repeat(persons[:3], 8, axis=0),
        "val": np.repeat(persons[:3], 3, axis=0),
        "test": np.repeat(persons[3:], 2, axis=0),
    }
    data = publish(tmp_path / "persons", labels, 0.5, 3, "verification")
    inputs, figures = {f"data_{modality}": data for modality in ("audio", "visual")}, {}
    for head in HEADS:
        made = recipe_of(head, recipe, training={"epochs": 2})
        made["inputs"] |= dict.fromkeys(made["inputs"], data)
        figures[head] = train_recipe(made, CPU, tmp_path / f"r-{head}", 1e9).metrics
        with store.publish(tmp_path / head, made) as out:
            (out / "metrics.json").write_text(json.dumps(figures[head]), encoding="utf-8")
        inputs[f"run_{head}"] = str(tmp_path / head)
    estimated = estimate(inputs, tmp_path, monkeypatch)
    for head, losses in estimated["losses"].items():
        assert [losses[name][1] for name in ("train", "val")] == [
            figures[head][f"last_{name}_loss"] for name in ("train", "val")
        ]
    assert sum(estimated["weights"].values()) == pytest.approx(1)
    made = recipe(loss="unimodal", balancer="g_blend", training={"epochs": 1})
    made["inputs"] |= {"data_audio": data, "data_visual": data, "blend": str(tmp_path / "blend")}
    record = train_recipe(made, CPU, tmp_path / "r-blended", 1e9).history[-1]
    assert {head: record[f"weight_{head}"] for head in HEADS} == pytest.approx(estimated["weights"])


@pytest.mark.parametrize(("scale", "number", "num_more"), [("laptop", 3, 1), ("paper", 6, 6)])
def test_heads_are_measured_on_runs_that_do_not_stop_early(scale: str, number: int, num_more: int) -> None:
    """The table has two uni-modal runs, for its joint runs are tuned; at scale paper its own stop early on AV-MNIST."""
    planned = plan.make(ROOT, {"scale": scale, "tables": ["balance_avmnist"], "seeds": [0]})
    (table,) = (artifact.recipe for artifact in planned.artifacts.values() if artifact.folder == f"tables/{scale}")
    measured = {
        path
        for artifact in planned.artifacts.values()
        if artifact.folder == "blends"
        for role, path in artifact.recipe["inputs"].items()
        if role.startswith("run_")
    }
    assert len(measured) == number
    for path in measured:
        training = planned.artifacts[path].recipe["settings"]["training"]
        assert training["patience"] >= training["epochs"]
    assert len(measured - set(table["inputs"].values())) == num_more
