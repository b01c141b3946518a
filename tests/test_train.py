import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avbalance import signature, store
from avbalance.balancers import REGISTRY as BALANCERS
from avbalance.balancers.base import Balancer
from avbalance.cli import UserError
from avbalance.data.packed import Split, describe
from avbalance.train import build_balancer, run, train

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")


def train_run(recipe: dict[str, Any], resume: Path) -> dict[str, Any]:
    return run(recipe, CPU, resume, checkpoint_seconds=0)


def step(recipe: dict[str, Any], folder: Path, *more: str) -> list[str]:
    """The command line of a training step that keeps everything below `folder`."""
    (folder / "recipe.json").write_text(json.dumps(recipe))
    places = [f"--{name}={folder / name}" for name in ("out", "weights", "resume")]
    return [sys.executable, "-m", "avbalance.train", f"--recipe={folder / 'recipe.json'}", *places, *more]


def test_the_model_learns_the_patterns(recipe: Make, tmp_path: Path) -> None:
    figures = train_run(recipe(training={"epochs": 15, "patience": 15}), tmp_path)["metrics"]
    assert figures["test_accuracy"] > 0.8  # chance is 1/3
    assert figures["num_epochs"] == 15


@pytest.mark.parametrize("balancer", sorted(BALANCERS))
def test_six_epochs_equal_three_and_three_resumed_bit_for_bit(balancer: str, recipe: Make, tmp_path: Path) -> None:
    whole = train_run(recipe(balancer=balancer), tmp_path / "whole")
    train_run(recipe(balancer=balancer, training={"epochs": 3}), tmp_path / "parts")
    resumed = train_run(recipe(balancer=balancer), tmp_path / "parts")
    for name, value in whole["model"].state_dict().items():
        assert torch.equal(value, resumed["model"].state_dict()[name]), name
    for name, array in whole["predictions"].items():
        np.testing.assert_array_equal(array, resumed["predictions"][name])
    losses = [[record["train_loss"] for record in result["history"]] for result in (whole, resumed)]
    assert losses[0] == losses[1]


def test_a_kill_in_the_middle_of_an_epoch_changes_no_bit(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 60, "patience": 60})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    subprocess.run(step(wanted, whole), check=True, capture_output=True)
    process = subprocess.Popen(step(wanted, killed, "--checkpoint-seconds=0"), stderr=subprocess.PIPE)
    checkpoint = killed / "resume" / "run-0" / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert checkpoint.exists()
    assert not (killed / "out").exists()
    subprocess.run(step(wanted, killed), check=True, capture_output=True)
    states = [load_file(folder / "weights" / "model.safetensors") for folder in (whole, killed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (whole / "out" / "predictions.npz").read_bytes() == (killed / "out" / "predictions.npz").read_bytes()
    assert not (killed / "resume" / "run-0").exists()


def test_seeds_differ_and_a_seed_repeats(recipe: Make, tmp_path: Path) -> None:
    logits = [train_run(recipe(seed=seed), tmp_path / str(i))["predictions"] for i, seed in enumerate((0, 0, 1))]
    np.testing.assert_array_equal(logits[0]["test_logits"], logits[1]["test_logits"])
    assert (logits[0]["test_logits"] != logits[2]["test_logits"]).any()


def test_the_chosen_epoch_has_the_lowest_validation_loss_and_its_weights_are_kept(recipe: Make, tmp_path: Path) -> None:
    result = train_run(recipe(training={"epochs": 12, "patience": 3, "learning_rate": 0.02}), tmp_path)
    losses = [record["val_loss"] for record in result["history"]]
    chosen = result["metrics"]["best_epoch"]
    assert losses[chosen - 1] == min(losses)
    assert len(losses) < 12  # training stopped early...
    assert len(losses) - chosen == 3  # ... after `patience` epochs without a lower loss
    # float16 predictions of the kept weights give the loss of that epoch
    assert result["metrics"]["val_loss"] == pytest.approx(losses[chosen - 1], abs=2e-3)


def test_no_stage_of_a_balancer_ever_sees_a_test_clip(
    recipe: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    plain = Split.batch

    def spy(self: Split, index: np.ndarray) -> Any:  # noqa: ANN401
        seen.add({60: "train", 21: "val", 30: "test"}[len(self)])
        return plain(self, index)

    monkeypatch.setattr(Split, "batch", spy)
    settings = recipe()["settings"]
    splits = {name: Split(prepared, name, ["audio", "visual"], CPU) for name in ("train", "val", "test")}
    balancer = build_balancer(settings, describe(prepared), CPU)
    train(balancer, splits, settings["training"], 0, tmp_path, 1e9)
    assert seen == {"train", "val"}


def test_a_loss_that_is_not_finite_names_epoch_step_and_term(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"learning_rate": 1e30})
    (tmp_path / "x").mkdir()
    done = subprocess.run(step(wanted, tmp_path / "x"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the loss term 'joint' is " in done.stderr
    assert "epoch 1, step " in done.stderr
    assert "lower training.learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x" / "out").exists()


def test_pretrained_encoders_start_from_the_uni_modal_weights(recipe: Make, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    alone = train_run(recipe(encoder={"audio": "conv1net"}), tmp_path / "a")["model"]
    with store.publish(tmp_path / "weights", {}) as folder:
        save_file(alone.state_dict(), folder / "model.safetensors")
    joint = recipe(training={"learning_rate": 1e-12})
    joint["inputs"]["pretrained_audio"] = str(tmp_path / "weights")
    trained = train_run(joint, tmp_path / "b")["model"]
    for name, value in alone.encoders["audio"].state_dict().items():
        torch.testing.assert_close(trained.encoders["audio"].state_dict()[name], value)


def test_bfloat16_and_float32_agree_within_noise(recipe: Make, tmp_path: Path) -> None:
    results = {}
    for precision in ("float32", "bfloat16"):
        training = {"precision": precision, "epochs": 15, "patience": 15}
        results[precision] = [
            train_run(recipe(training=training, seed=seed), tmp_path / f"{precision}{seed}")["metrics"]["test_accuracy"]
            for seed in range(3)
        ]
    assert abs(np.mean(results["float32"]) - np.mean(results["bfloat16"])) < 0.1  # three clips of thirty


def test_an_outside_method_is_found_by_module_and_class(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "halving.py").write_text(
        "from avbalance.balancers.base import Balancer\n"
        "class Halved(Balancer):\n"
        "    def losses(self, output, batch):\n"
        "        return {k: 0.5 * v for k, v in super().losses(output, batch).items()}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = train_run(recipe(balancer="halving:Halved"), tmp_path / "r")
    plain = train_run(recipe(), tmp_path / "p")
    assert result["history"][0]["train_loss"] == pytest.approx(plain["history"][0]["train_loss"] / 2, rel=0.2)


def test_every_registered_balancer_is_a_balancer(recipe: Make, prepared: Path) -> None:
    for name in BALANCERS:
        settings = recipe(balancer=name)["settings"]
        assert isinstance(build_balancer(settings, describe(prepared), CPU), Balancer)
        assert signature.describe("balancer", name).attributes["requires_loss"] == ()


def test_a_damaged_data_set_is_refused(recipe: Make, prepared: Path, tmp_path: Path) -> None:
    file = prepared / "train_audio.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"train_audio.npy has other bytes .*dvc checkout --force"):
        train_run(recipe(), tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_run_on_cuda_agrees_with_the_cpu(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 15, "patience": 15})
    on_cpu = train_run(wanted, tmp_path / "cpu")["metrics"]["test_accuracy"]
    on_cuda = run(wanted, torch.device("cuda", 0), tmp_path / "cuda", 1e9)["metrics"]["test_accuracy"]
    assert abs(on_cpu - on_cuda) < 0.1
