import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from avbalance import store
from avbalance.data.packed import Split, describe
from avbalance.train import build_balancer

Make = Callable[..., dict[str, Any]]
HEADS: dict[str, list[str]] = {"joint": ["audio", "visual"], "audio": ["audio"], "visual": ["visual"]}
ENDS = {"joint": (0.30, 0.80), "audio": (0.20, 0.90), "visual": (0.60, 0.70)}


@pytest.fixture
def blended(recipe: Make, prepared: Path, tmp_path: Path) -> dict[str, Any]:
    """blend.json of three runs whose losses at the end, (train, val), are ENDS."""
    inputs = {"data": str(prepared)}
    for head, modalities in HEADS.items():
        made = recipe()
        made["settings"]["encoder"] = {modality: made["settings"]["encoder"][modality] for modality in modalities}
        with store.publish(tmp_path / head, made) as out:
            train_loss, val_loss = ENDS[head]
            (out / "metrics.json").write_text(
                json.dumps({"train_loss": train_loss, "val_loss": val_loss}), encoding="utf-8"
            )
        inputs[f"run_{head}"] = str(tmp_path / head)
    (tmp_path / "recipe.json").write_text(
        json.dumps({"step": "blend", "name": "b", "settings": {}, "inputs": inputs}), encoding="utf-8"
    )
    places = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={tmp_path / 'blend'}", f"--resume={tmp_path / 'resume'}"]
    subprocess.run([sys.executable, "-m", "avbalance.blend", *places], check=True)
    store.open_artifact(tmp_path / "blend")
    found: dict[str, Any] = json.loads((tmp_path / "blend" / "blend.json").read_text(encoding="utf-8"))
    return found


def test_losses_start_at_the_untrained_model_of_the_seed(blended: dict[str, Any], recipe: Make, prepared: Path) -> None:
    for head, modalities in HEADS.items():
        settings = recipe()["settings"]
        settings["encoder"] = {modality: settings["encoder"][modality] for modality in modalities}
        model = build_balancer(settings, describe(prepared), torch.device("cpu")).model.eval()
        for name, size in (("train", 60), ("val", 21)):
            batch = Split(prepared, name, modalities, torch.device("cpu")).batch(np.arange(size))
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
