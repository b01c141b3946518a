import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avbalance import store, train, tune
from avbalance.errors import UserError
from avbalance.training import checkpoint
from avbalance.training.pretrained import load_trained
from avbalance.training.state import State

Make = Callable[..., dict[str, Any]]
CHOSEN = {"head": {"mlp": {"hidden": 24}}, "training": {"learning_rate": 0.01, "weight_decay": 0.001}}


def trial(val_accuracy: float, val_loss: float, test_accuracy: float = 0.5) -> dict[str, float]:
    """The metrics of a trial's run."""
    return {
        "val_accuracy": val_accuracy,
        "val_loss": val_loss,
        "test_accuracy": test_accuracy,
        "test_loss": 1 - test_accuracy,
    }


@pytest.mark.parametrize(
    ("trials", "chosen"),
    [
        ([(0.7, 0.5), (0.8, 0.9), (0.6, 0.1)], 1),  # accuracy comes before loss
        ([(0.8, 0.5), (0.8, 0.4), (0.7, 0.1)], 1),
        ([(0.7, 0.1), (0.8, 0.5), (0.8, 0.5)], 1),
        ([(0.8, 0.5), (0.8, 0.5)], 0),
    ],
)
def test_accuracy_decides_then_loss_then_order(trials: list[tuple[float, float]], chosen: int) -> None:
    assert tune.choose([trial(*each) for each in trials]) == chosen


FAILED: dict[str, Any] = {"failed": "the validation loss is nan after epoch 1"}


def test_a_trial_that_has_failed_is_not_chosen() -> None:
    assert tune.choose([FAILED, trial(0.1, 9.0), FAILED]) == 1
    with pytest.raises(UserError, match="all 2 trials of the row have failed; the first: the validation loss is nan"):
        tune.choose([FAILED, FAILED])


def choose(trials: list[dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """tuned.json of trials with these metrics."""
    inputs = {}
    for number, metrics in enumerate(trials):
        inputs[f"trial_{number}"] = str(folder / f"run{number}")
        with store.publish(folder / f"run{number}", {"step": "train", "settings": {"seed": 100}}) as out:
            (out / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    settings = {"trials": [{"training": {"learning_rate": float(number)}} for number in range(len(trials))]}
    recipe = {"step": "tune", "name": "tuned", "settings": settings, "inputs": inputs}
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["tune", f"--recipe={folder / 'recipe.json'}", f"--out={folder / 'tuned'}"])
    tune.main()
    store.open_artifact(folder / "tuned")
    content: dict[str, Any] = json.loads((folder / "tuned" / "tuned.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("best_on_validation", [0, 1])
def test_validation_chooses_where_test_disagrees(
    best_on_validation: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [trial(0.6, 0.8, test_accuracy=0.9), trial(0.6, 0.8, test_accuracy=0.9)]
    trials[best_on_validation] = trial(0.7, 0.6, test_accuracy=0.2)
    assert choose(trials, tmp_path, monkeypatch)["chosen"] == best_on_validation


def test_all_trials_are_kept_with_what_validation_says_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = choose([trial(0.5, 0.9), FAILED], tmp_path, monkeypatch)["trials"]
    assert all(each.pop("seconds") >= 0 for each in trials)
    measured: list[dict[str, Any]] = [{"val_accuracy": 0.5, "val_loss": 0.9}, FAILED]
    assert trials == [
        {
            "run": str(tmp_path / f"run{number}"),
            "seed": 100,
            **measured[number],
            "options": {"training": {"learning_rate": number}},
        }
        for number in (0, 1)
    ]


def test_a_damaged_trial_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial(0.5, 0.9), trial(0.6, 0.7)]
    choose(trials, tmp_path, monkeypatch)
    (tmp_path / "run0" / "metrics.json").write_text(json.dumps(trial(0.9, 0.1)), encoding="utf-8")
    with pytest.raises(UserError, match=r"run0/metrics.json has other bytes|run0/metrics.json has \d+ bytes instead"):
        tune.run(store.load_recipe(tmp_path / "recipe.json"), tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.fixture
def tuned(recipe: Make, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A run that is trained with the second of two trials."""

    def make(**training: Any) -> dict[str, Any]:  # noqa: ANN401
        plain = recipe(training=training)
        own = {kind: plain["settings"].pop(kind) for kind in ("fusion", "head", "loss", "balancer", "training")}
        trials = [own, {**own, "head": CHOSEN["head"], "training": {**own["training"], **CHOSEN["training"]}}]
        with store.publish(tmp_path / "tuned", {"step": "tune"}) as out:
            (out / "tuned.json").write_text(json.dumps({"chosen": 1, "trials": []}), encoding="utf-8")
        settings, inputs = (
            {**plain["settings"], "trials": trials},
            {**plain["inputs"], "tuned": str(tmp_path / "tuned")},
        )
        return {**plain, "settings": settings, "inputs": inputs}

    return make


def places(folder: Path) -> dict[str, Path]:
    """The options of a step that keeps everything below `folder`."""
    return {name: folder / name for name in ("out", "weights", "resume")}


def weights_of(folder: Path) -> Mapping[str, torch.Tensor]:
    return load_file(folder / "weights" / "model.safetensors")


def test_a_tuned_run_is_that_of_its_chosen_options_and_says_so(
    tuned: Callable[..., dict[str, Any]], recipe: Make, prepared: Path, tmp_path: Path
) -> None:
    train.run(tuned(epochs=2), **places(tmp_path / "tuned_run"), device="cpu")
    plain = recipe(head=CHOSEN["head"], training={"epochs": 2, **CHOSEN["training"]})
    train.run(plain, **places(tmp_path / "plain"), device="cpu")
    states = [weights_of(tmp_path / name) for name in ("tuned_run", "plain")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    for part in ("out", "weights"):
        settings = store.open_artifact(tmp_path / "tuned_run" / part)["recipe"]["settings"]
        assert {**settings, "trials": None} == {**plain["settings"], "trials": None}
    description = json.loads((prepared / "dataset.json").read_text(encoding="utf-8"))
    load_trained(tmp_path / "tuned_run" / "weights", description, torch.device("cpu"))  # the head of the chosen size


def test_a_damaged_choice_is_refused(tuned: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    wanted = tuned()
    (tmp_path / "tuned" / "tuned.json").write_text(json.dumps({"chosen": 0, "trials": []}), encoding="utf-8")
    with pytest.raises(UserError, match=r"tuned.json has other bytes than its manifest says"):
        train.run(wanted, **places(tmp_path / "run"), device="cpu")


def test_a_trial_that_is_not_finite_is_published_with_the_reason_and_another_run_is_not(
    recipe: Make, tmp_path: Path
) -> None:
    wanted = recipe(training={"optimizer": "sgd", "learning_rate": 1e30, "epochs": 2})
    with pytest.raises(UserError, match=r"lower training\.learning_rate"):
        train.run(wanted, **places(tmp_path / "run"), device="cpu")
    assert not (tmp_path / "run" / "out").exists()
    wanted["settings"]["is_trial"] = True
    train.run(wanted, **places(tmp_path / "trial"), device="cpu")
    for part in ("out", "weights"):
        store.open_artifact(tmp_path / "trial" / part)
    metrics = json.loads((tmp_path / "trial" / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert "lower training.learning_rate" in metrics["failed"]
    assert not (tmp_path / "trial" / "resume" / "run-0").exists()


class KilledError(Exception):
    """Ends a run in the middle of training."""


def test_a_tuned_run_that_is_killed_goes_on_bit_for_bit(
    tuned: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tuned(epochs=4, patience=4)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train.run(wanted, **places(whole), device="cpu")
    advance = State.advance

    def kill(state: State, record: dict[str, float]) -> None:
        advance(state, record)
        if state.epoch == 2:
            raise KilledError

    with monkeypatch.context() as patched, pytest.raises(KilledError):
        patched.setattr(State, "advance", kill)
        train.run(wanted, **places(killed), device="cpu", checkpoint_seconds=0)
    assert list((killed / "resume" / "run-0").glob(checkpoint.FILES))
    assert not (killed / "out").exists()
    epochs: list[float] = []
    with monkeypatch.context() as patched:
        patched.setattr(State, "advance", lambda state, record: (epochs.append(state.epoch), advance(state, record)))
        train.run(wanted, **places(killed), device="cpu")
    assert epochs == [2, 3]
    states = [weights_of(folder) for folder in (whole, killed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (whole / "out" / "predictions.npz").read_bytes() == (killed / "out" / "predictions.npz").read_bytes()
