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
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from avbalance import metrics, store
from avbalance.balancers import REGISTRY as BALANCERS
from avbalance.balancers.base import Balancer
from avbalance.configuration import signature
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import folders_of, read_description
from avbalance.errors import UserError
from avbalance.model import Model, build_model
from avbalance.train import TrainedRun, build_balancer, hand_over, run, train, train_recipe
from avbalance.training import checkpoint
from avbalance.training.snapshots import snapshot_file
from avbalance.training.state import State
from avbalance.types import Batch, Output
from folders import both

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
WITHOUT_BRANCH = [
    name
    for name in sorted(BALANCERS)
    if not any(signature.describe("balancer", name).attributes[each] for each in ("needs_branch", "requires_fusion"))
]
"""These encoders have neither a branch nor stages; tests/test_combinations.py has all balancers."""
PATTERNS = {"visual": (1, 8, 8), "audio": (160,)}
DESCRIPTION = {"num_classes": 3, "modalities": {modality: {"shape": shape} for modality, shape in PATTERNS.items()}}


def publish(folder: Path, labels: dict[str, np.ndarray], noise: float, num_classes: int, task: str) -> str:
    """Prepared clips that are the sum of their labels' patterns, in both modalities, and noise.

    Args:
        folder: Where.
        labels: {split: [n, patterns], zeros and ones}. Every two clips are of one video.
        noise: Its deviation; each pattern's is 1.
        num_classes: Of train.
        task: Of the data set.
    """
    rng = np.random.default_rng(0)
    patterns = {m: rng.normal(size=(next(iter(labels.values())).shape[1], *shape)) for m, shape in PATTERNS.items()}
    with store.publish(folder, {"step": "media"}) as out:
        for split, present in labels.items():
            np.save(out / f"{split}_label.npy", present if task == "multi_label" else present.argmax(axis=1))
            np.save(out / f"{split}_video.npy", np.arange(len(present)) // 2)
            np.save(out / f"{split}_clip.npy", np.arange(len(present)))
            for modality, pattern in patterns.items():
                clean = np.tensordot(present.astype(float), pattern, 1)
                np.save(out / f"{split}_{modality}.npy", (clean + noise * rng.normal(size=clean.shape)).astype("<f2"))
        shapes = {modality: {"shape": shape} for modality, shape in PATTERNS.items()}
        (out / "dataset.json").write_text(
            json.dumps({"task": task, "num_classes": num_classes, "modalities": shapes}), encoding="utf-8"
        )
        if task == "verification":
            label = labels["test"].argmax(axis=1)
            pairs = [(i, j, int(label[i] == label[j])) for i in range(len(label)) for j in range(i)]
            rows = [("even" if i % 2 == 0 else "odd", *pair) for i, pair in enumerate(pairs)]
            lines = ["list,enrol,test,is_target", *(",".join(map(str, line)) for line in rows)]
            (out / "trials.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(folder)


def several(seed: int, num_videos: int) -> np.ndarray:
    """Labels of two clips a video: each of three classes with probability 1/2."""
    return np.repeat(np.random.default_rng(seed).integers(2, size=(num_videos, 3), dtype=np.uint8), 2, axis=0)


def completed(wanted: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The recipe with a loss and a head that its balancer can be trained with, and with the inputs that it uses."""
    declared = signature.describe("balancer", wanted["settings"]["balancer"]).attributes
    wanted["settings"]["loss"] = (*declared["requires_loss"], "joint")[0]
    wanted["settings"]["head"] = (*declared["requires_head"], "linear")[0]
    if declared["uses_teachers"]:
        description = read_description(folders_of(wanted["inputs"]))
        for modality, encoder in wanted["settings"]["encoder"].items():
            settings = {**wanted["settings"], "encoder": {modality: encoder}, "head": "linear", "loss": "joint"}
            with store.publish(folder / f"teacher_{modality}", {"step": "train", "settings": settings}) as out:
                torch.manual_seed(0)
                save_file(build_model(settings, description).state_dict(), out / "model.safetensors")
            wanted["inputs"][f"teacher_{modality}"] = str(folder / f"teacher_{modality}")
    if declared["uses_blend"]:
        blend = {
            "weights": {"joint": 0.5, "audio": 0.2, "visual": 0.3},
            "ogr": {"joint": 1.0, "audio": 2.0, "visual": 3.0},
            "fallback": False,
        }
        with store.publish(folder / "blend", {"step": "blend"}) as out:
            (out / "blend.json").write_text(json.dumps(blend), encoding="utf-8")
        wanted["inputs"]["blend"] = str(folder / "blend")
    return wanted


def train_run(recipe: dict[str, Any], resume: Path) -> TrainedRun:
    return train_recipe(recipe, CPU, resume, checkpoint_seconds=0)


def places(folder: Path) -> dict[str, Path]:
    """The options of a step that keeps everything below `folder`."""
    return {name: folder / name for name in ("out", "weights", "resume")}


def step(recipe: dict[str, Any], folder: Path, *more: str) -> list[str]:
    """The command line of a training step that keeps everything below `folder`."""
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    options = [f"--{name}={path}" for name, path in places(folder).items()]
    return [sys.executable, "-m", "avbalance.train", f"--recipe={folder / 'recipe.json'}", *options, *more]


def test_the_model_learns_the_patterns(recipe: Make, tmp_path: Path) -> None:
    figures = train_run(recipe(training={"epochs": 15, "patience": 15}), tmp_path).metrics
    assert figures["test_accuracy"] > 0.8  # chance is 1/3
    assert figures["num_epochs"] == 15


@pytest.fixture
def pictures(tmp_path: Path, recipe: Make) -> Make:
    """Recipes of runs on moving pictures of 14 x 14 pixels and their flow, of which 8 x 8 are seen."""
    rng = np.random.default_rng(0)
    with store.publish(tmp_path / "pictures", {"step": "media"}) as out:
        described = {}
        for modality, channels, vectors in (("visual", 3, False), ("flow", 2, True)):
            for split, size in (("train", 40), ("val", 20), ("test", 20)):
                np.save(out / f"{split}_label.npy", np.arange(size) % 3)
                np.save(out / f"{split}_clip.npy", np.arange(size))
                pixels = rng.integers(0, 256, (size, channels, 2, 14, 14), dtype=np.uint8)
                np.save(out / f"{split}_{modality}.npy", pixels)
            about = {"shape": [channels, 2, 8, 8], "mean": [128.0] * channels, "std": [64.0] * channels}
            described[modality] = {**about, "pictures": {"whole": False, "vectors": vectors}}
        (out / "dataset.json").write_text(json.dumps({"num_classes": 3, "modalities": described}), encoding="utf-8")

    def make(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
        encoder = {modality: {"resnet18": {"width": 4}} for modality in described}
        return recipe(encoder=encoder, **changes) | {
            "inputs": {f"data_{name}": str(tmp_path / "pictures") for name in encoder}
        }

    return make


def test_augmented_training_resumes_bit_for_bit_and_differs_from_plain(pictures: Make, tmp_path: Path) -> None:
    augment = {"augment": "random_resized_crop"}
    augmented, half = (pictures(training={"epochs": epochs, **augment}) for epochs in (2, 1))
    whole = train_run(augmented, tmp_path / "whole")
    without = train_run(pictures(training={"epochs": 1}), tmp_path / "plain")
    train_run(half, tmp_path / "parts")
    resumed = train_run(augmented, tmp_path / "parts")
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for record, again in zip(whole.history, resumed.history, strict=True):
        assert {**record, "seconds": 0} == {**again, "seconds": 0}
    assert whole.history[0]["train_loss"] != without.history[0]["train_loss"]
    assert whole.metrics["multiply_adds_per_clip"] == without.metrics["multiply_adds_per_clip"]


def test_a_kill_in_the_middle_of_an_epoch_changes_no_bit(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 30, "patience": 30})
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    killed.mkdir()
    run(wanted, **places(whole))
    process = subprocess.Popen(step(wanted, killed, "--checkpoint-seconds=0"), stderr=subprocess.PIPE)
    resume = killed / "resume" / "run-0"
    while not list(resume.glob(checkpoint.FILES)) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(resume.glob(checkpoint.FILES))
    assert not (killed / "out").exists()
    run(wanted, **places(killed))
    states = [load_file(folder / "weights" / "model.safetensors") for folder in (whole, killed)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert (whole / "out" / "predictions.npz").read_bytes() == (killed / "out" / "predictions.npz").read_bytes()
    assert not resume.exists()


def test_seeds_differ_and_a_seed_repeats(recipe: Make, tmp_path: Path) -> None:
    logits = [train_run(recipe(seed=seed), tmp_path / str(i)).predictions for i, seed in enumerate((0, 0, 1))]
    np.testing.assert_array_equal(logits[0]["test_logits"], logits[1]["test_logits"])
    assert (logits[0]["test_logits"] != logits[2]["test_logits"]).any()


def test_the_chosen_epoch_has_the_lowest_validation_loss_and_its_weights_are_kept(recipe: Make, tmp_path: Path) -> None:
    result = train_run(recipe(training={"epochs": 12, "patience": 3, "learning_rate": 0.02}), tmp_path)
    losses = [record["val_loss"] for record in result.history]
    chosen = result.metrics["best_epoch"]
    assert losses[chosen - 1] == min(losses)
    assert len(losses) < 12  # training stopped early...
    assert len(losses) - chosen == 3  # ... after `patience` epochs without a lower loss
    # The kept weights give the loss of that epoch.
    assert result.metrics["val_loss"] == pytest.approx(losses[chosen - 1], abs=2e-4)  # logits are stored as float16


@pytest.mark.parametrize("balancer", WITHOUT_BRANCH)
def test_no_stage_of_a_balancer_ever_sees_a_test_clip(
    balancer: str, recipe: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    plain = Split.batch

    def spy(self: Split, *arguments: Any) -> Any:  # noqa: ANN401
        seen.add({60: "train", 21: "val", 30: "test"}[len(self)])
        return plain(self, *arguments)

    monkeypatch.setattr(Split, "batch", spy)
    wanted = completed(recipe(balancer=balancer, training={"epochs": 2}), tmp_path)
    settings = wanted["settings"]
    splits = {name: Split(both(prepared), name, CPU) for name in ("train", "val", "test")}
    built = build_balancer(settings, read_description(both(prepared)), CPU)
    built.expect(len(splits["train"]))
    hand_over(built, wanted["inputs"], read_description(both(prepared)), CPU)
    train(State(built, settings["training"], tmp_path, 4, 1e9), splits, {}, 0)
    assert seen == {"train", "val"}


def test_the_last_losses_are_of_all_clips_after_the_last_epoch_in_evaluation_mode(
    recipe: Make, prepared: Path, tmp_path: Path
) -> None:
    # Labels that mean nothing: what is learnt by heart makes the validation loss rise.
    spoil(prepared, "train", "label", np.random.default_rng(0).permutation)
    training = {"epochs": 9, "patience": 9}
    chosen = train_run(recipe(training=training), tmp_path / "best").metrics
    last = train_run(recipe(training={**training, "select": "last"}), tmp_path / "last")
    assert chosen["best_epoch"] < chosen["num_epochs"] == 9
    assert chosen["last_val_loss"] > chosen["val_loss"] + 0.1
    assert chosen["last_train_loss"] < chosen["train_loss"] - 0.1
    model = last.model.eval()
    for name, size in (("train", 60), ("val", 21)):
        batch = Split(both(prepared), name, CPU).batch(np.arange(size))
        with torch.no_grad():
            expected = torch.nn.functional.cross_entropy(model(batch.inputs).logits, batch.labels).item()
        for figures in (chosen, last.metrics):
            assert figures[f"last_{name}_loss"] == pytest.approx(expected, rel=1e-3)  # logits have three digits


def test_weights_that_the_last_step_spoils_are_a_failure_of_one_line(recipe: Make, tmp_path: Path) -> None:
    # One step an epoch: its loss is still that of the untrained model.
    training = {"epochs": 1, "batch_size": 1000, "optimizer": "sgd"}
    for learning_rate in (1e30, 1e38):
        with pytest.raises(UserError, match=r"^[^\n]+ after epoch 1; lower training.learning_rate, or check the data$"):
            train_run(recipe(training={**training, "learning_rate": learning_rate}), tmp_path / str(learning_rate))


def test_a_test_clip_that_gives_no_finite_logits_is_a_failure_of_one_line(
    recipe: Make, prepared: Path, tmp_path: Path
) -> None:
    spoil(prepared, "test", "audio", lambda clips: np.where(np.arange(30)[:, None] == 7, np.inf, clips))
    with pytest.raises(UserError, match=r"^test_loss is not finite after epoch 2; lower training.learning_rate, or "):
        train_run(recipe(training={"epochs": 2, "select": "last"}), tmp_path / "run")


def test_a_loss_that_is_not_finite_names_epoch_step_and_term(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"learning_rate": 1e30})
    (tmp_path / "x").mkdir()
    done = subprocess.run(step(wanted, tmp_path / "x"), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert "the loss term 'joint' is " in done.stderr
    assert "epoch 1, step " in done.stderr
    assert "lower training.learning_rate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x" / "out").exists()


def test_pretrained_encoders_start_from_the_uni_modal_weights(recipe: Make, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    alone = train_run(recipe(encoder={"audio": "conv1net"}), tmp_path / "a").model
    with store.publish(tmp_path / "weights", {"step": "train"}) as folder:
        save_file(alone.state_dict(), folder / "model.safetensors")
    joint = recipe(training={"learning_rate": 1e-12})
    joint["inputs"]["pretrained_audio"] = str(tmp_path / "weights")
    trained = train_run(joint, tmp_path / "b").model
    for name, value in alone.encoders["audio"].state_dict().items():
        torch.testing.assert_close(trained.encoders["audio"].state_dict()[name], value)


def test_bfloat16_and_float32_agree_within_noise(recipe: Make, tmp_path: Path) -> None:
    results = {}
    for precision in ("float32", "bfloat16"):
        training = {"precision": precision, "epochs": 15, "patience": 15}
        results[precision] = [
            train_run(recipe(training=training, seed=seed), tmp_path / f"{precision}{seed}").metrics["test_accuracy"]
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
        "        return {k: 0.5 * v for k, v in super().losses(output, batch).items()}\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = train_run(recipe(balancer="halving:Halved"), tmp_path / "r")
    plain = train_run(recipe(), tmp_path / "p")
    assert result.history[0]["train_loss"] == pytest.approx(plain.history[0]["train_loss"] / 2, rel=0.2)


def test_every_registered_balancer_is_a_balancer(recipe: Make, prepared: Path, tmp_path: Path) -> None:
    for name in WITHOUT_BRANCH:
        settings = completed(recipe(balancer=name), tmp_path / name)["settings"]
        assert isinstance(build_balancer(settings, read_description(both(prepared)), CPU), Balancer)


def test_a_damaged_data_set_is_refused(recipe: Make, prepared: Path, tmp_path: Path) -> None:
    file = prepared / "train_audio.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"train_audio.npy has other bytes .*rm -r"):
        train_run(recipe(), tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_run_on_cuda_agrees_with_the_cpu(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 15, "patience": 15})
    on_cpu = train_run(wanted, tmp_path / "cpu").metrics["test_accuracy"]
    on_cuda = train_recipe(wanted, torch.device("cuda", 0), tmp_path / "cuda", 1e9).metrics["test_accuracy"]
    assert abs(on_cpu - on_cuda) < 0.1


@pytest.mark.parametrize("loss", ["joint", "unimodal"])
def test_clips_of_several_classes_are_learnt(loss: str, recipe: Make, tmp_path: Path) -> None:
    labels = {"train": several(0, 40), "val": several(1, 12), "test": several(2, 20)}
    wanted = recipe(loss=loss, training={"epochs": 25, "patience": 25, "learning_rate": 0.01})
    wanted["inputs"] |= dict.fromkeys(wanted["inputs"], publish(tmp_path / "several", labels, 0.1, 3, "multi_label"))
    result = train_run(wanted, tmp_path / "r")
    figures, predictions = result.metrics, result.predictions
    assert figures["test_map"] > 0.99
    assert figures["test_mauc"] > 0.99
    assert figures["test_num_classes_scored"] == 3
    assert figures["test_loss"] < 0.2  # ln 2 = 0.69 without knowledge
    assert not any("accuracy" in name for name in figures)
    np.testing.assert_array_equal(predictions["test_label"], labels["test"])
    np.testing.assert_array_equal(predictions["test_video"], np.arange(40) // 2)
    # The figures are those of the stored predictions, of 20 videos.
    averaged = metrics.by_video(predictions["test_logits"], labels["test"], predictions["test_video"])
    assert averaged[0].shape == (20, 3)
    assert figures["test_map"] == metrics.by_class(*averaged).precision.mean()
    first, last = (result.history[place] for place in (0, -1))
    of_val = {"val_map", "val_mauc", "val_num_classes_scored", "val_loss"}
    assert set(first) == {"epoch", "train_loss", "grad_norm_audio", "grad_norm_visual", "passes", *of_val, "seconds"}
    assert last["val_loss"] < first["val_loss"]


def test_a_video_has_an_accuracy_of_its_own(recipe: Make, tmp_path: Path) -> None:
    classes = np.repeat(np.eye(3, dtype=int), 2, axis=0)
    labels = {split: np.tile(classes, (n, 1)) for split, n in (("train", 12), ("val", 5), ("test", 20))}
    wanted = recipe(training={"epochs": 4})
    wanted["inputs"] |= dict.fromkeys(wanted["inputs"], publish(tmp_path / "videos", labels, 6.0, 3, "single_label"))
    result = train_run(wanted, tmp_path / "r")
    figures, predictions = result.metrics, result.predictions
    averaged = metrics.by_video(*(predictions[f"test_{name}"] for name in ("logits", "label", "video")))
    assert figures["test_video_accuracy"] == metrics.accuracy(*averaged)
    assert figures["test_accuracy"] == metrics.accuracy(predictions["test_logits"], predictions["test_label"])
    assert figures["test_video_accuracy"] > figures["test_accuracy"]  # two noisy clips say more than one
    assert "val_video_accuracy" in result.history[0]


def test_persons_never_seen_in_training_are_verified(recipe: Make, tmp_path: Path) -> None:
    persons = np.eye(14, dtype=int)
    labels = {
        "train": np.repeat(persons[:8], 12, axis=0),
        "val": np.repeat(persons[:8], 3, axis=0),
        "test": np.repeat(persons[8:], 4, axis=0),
    }
    wanted = recipe(training={"epochs": 12, "patience": 12})
    wanted["inputs"] |= dict.fromkeys(wanted["inputs"], publish(tmp_path / "persons", labels, 0.5, 8, "verification"))
    result = train_run(wanted, tmp_path / "r")
    figures, predictions = result.metrics, result.predictions
    assert figures["val_accuracy"] > 0.9
    assert figures["test_eer_even"] < 0.1  # chance is 1/2
    assert figures["test_eer_odd"] < 0.1
    assert 0 <= figures["test_min_dcf_even"] < 0.8
    assert not any(name.startswith(("train_acc", "train_loss", "test_acc", "test_loss")) for name in figures)
    assert set(predictions) == {"test_embedding", "test_clip", "test_label", "trials_even", "trials_odd"}
    assert predictions["test_embedding"].dtype == np.float32
    assert len(predictions["test_embedding"]) == len(predictions["test_label"]) == 24
    trials = predictions["trials_even"]
    scores = metrics.trial_scores(predictions["test_embedding"], trials)
    assert figures["test_eer_even"] == metrics.equal_error_rate(scores, trials[:, 2])


def test_a_data_set_for_verification_without_trials_is_refused_before_training(recipe: Make, tmp_path: Path) -> None:
    labels = {split: np.eye(3, dtype=int)[:n] for split, n in (("train", 3), ("val", 3), ("test", 1))}
    wanted = recipe()
    wanted["inputs"] |= dict.fromkeys(wanted["inputs"], publish(tmp_path / "persons", labels, 0.5, 3, "verification"))
    with pytest.raises(UserError, match=r"persons/trials.csv: holds no trial"):
        train_run(wanted, tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_snapshots_are_kept_during_training_and_change_nothing(recipe: Make, tmp_path: Path) -> None:
    plain = train_run(recipe(training={"epochs": 3, "select": "last"}), tmp_path / "plain")
    per_epoch = len(Batches(Split(folders_of(recipe()["inputs"]), "train", CPU), 16))
    num_steps = 3 * per_epoch
    wanted = recipe(
        training={"epochs": 3, "select": "last", "batch_size": 16, "snapshots": [0, per_epoch + 1, num_steps]}
    )
    assert wanted["settings"]["training"]["batch_size"] == recipe()["settings"]["training"]["batch_size"]
    half = {
        **wanted,
        "settings": {**wanted["settings"], "training": {**wanted["settings"]["training"], "snapshots": [0]}},
    }
    half["settings"]["training"] = {**half["settings"]["training"], "epochs": 2}
    train_run(half, tmp_path / "kept")
    kept = train_run(wanted, tmp_path / "kept")  # taken up after the second epoch, as one that was killed
    states = {step: load_file(tmp_path / "kept" / snapshot_file(step)) for step in (0, num_steps)}
    torch.manual_seed(wanted["settings"]["seed"])
    untrained = build_balancer(
        wanted["settings"], read_description(folders_of(wanted["inputs"])), CPU
    ).model.state_dict()
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, kept.model.state_dict()[name]), name
        assert torch.equal(value, states[num_steps][name]), name
        assert torch.equal(untrained[name], states[0][name]), name


def test_a_snapshot_out_of_reach_is_the_users_error(recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training.snapshots: 9999 is beyond the \d+ steps of training"):
        train_run(recipe(training={"snapshots": [9999]}), tmp_path / "late")
    wanted = recipe(training={"epochs": 400, "patience": 1, "learning_rate": 0.1, "snapshots": [1600]})
    with pytest.raises(
        UserError, match=r"training.snapshots: 1600 was not reached, because training stopped after \d+ steps"
    ):
        train_run(wanted, tmp_path / "stopped")


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"fusion": "attention"}, {"fusion"}),
        ({"head": "mlp"}, {"head"}),
        ({"encoder": {"visual": "conv2net", "audio": "conv1net"}}, set()),
        ({"encoder": {"visual": "conv2net"}, "fusion": "concat"}, {"encoders.audio", "fusion"}),
        ({"balancer": "modality_dropout"}, set()),
        ({"seed": 1}, {"encoders.audio", "encoders.visual", "head"}),
    ],
)
def test_equal_parts_start_from_equal_weights_in_all_rows_of_a_seed(
    recipe: Make, prepared: Path, change: dict[str, Any], differs: set[str]
) -> None:
    def start(**changes: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401
        settings = recipe(**{"fusion": "addition", **changes})["settings"]
        return build_balancer(settings, read_description(both(prepared)), CPU).model.state_dict()

    one, other = start(), start(**change)
    for part in ("encoders.audio", "encoders.visual", "fusion", "head"):
        names = {name for name in one.keys() | other.keys() if name.startswith(part) and name.endswith("weight")}
        equal = all(name in one and name in other and torch.equal(one[name], other[name]) for name in names)
        assert equal == (part not in differs) or not names, part


def test_without_epochs_a_run_stays_at_its_start(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 0, "snapshots": [0]})
    run(wanted, **places(tmp_path / "all"))
    start = build_balancer(wanted["settings"], read_description(folders_of(wanted["inputs"])), CPU).model.state_dict()
    for file in ("model.safetensors", snapshot_file(0)):
        for name, value in load_file(tmp_path / "all" / "weights" / file).items():
            assert torch.equal(value, start[name]), name
    figures = json.loads((tmp_path / "all" / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert figures["best_epoch"] == figures["num_epochs"] == 0
    assert np.isfinite(figures["test_loss"])


def test_gradient_norms_are_those_of_the_last_step_in_a_short_epoch(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe(training={"epochs": 1, "batch_size": 1000, "optimizer": "sgd"})
    trained = train_run(wanted, tmp_path)
    settings = wanted["settings"]
    balancer = build_balancer(settings, read_description(folders_of(wanted["inputs"])), CPU)
    before = {name: value.clone() for name, value in balancer.model.encoders.named_parameters()}
    moved = {name: value - before[name] for name, value in trained.model.encoders.named_parameters()}
    for modality in ("audio", "visual"):
        steps = [value for name, value in moved.items() if name.startswith(modality)]
        length = torch.cat([value.detach().flatten() for value in steps]).norm() / settings["training"]["learning_rate"]
        assert trained.history[0][f"grad_norm_{modality}"] == pytest.approx(length.item(), rel=1e-3)


def test_monitoring_changes_nothing_and_looks_at_test_and_at_seen_clips(recipe: Make, tmp_path: Path) -> None:
    plain = train_run(recipe(), tmp_path / "plain")
    monitored = train_run(recipe(training={"monitor": True}), tmp_path / "monitored")
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, monitored.model.state_dict()[name]), name
    for record, watched in zip(plain.history, monitored.history, strict=True):
        assert {**record, "seconds": 0} == {name: 0 if name == "seconds" else watched[name] for name in record}
        assert {name.split("_")[0] for name in watched.keys() - record.keys()} == {"seen", "test"}
    # The chosen epoch's figures on test, from the weights that are kept, are those that were seen then.
    chosen = monitored.history[monitored.metrics["best_epoch"] - 1]
    assert chosen["test_accuracy"] == monitored.metrics["test_accuracy"]
    assert chosen["test_loss"] == pytest.approx(monitored.metrics["test_loss"], abs=1e-6)


def test_the_last_epoch_is_kept_where_it_is_asked_for(recipe: Make, tmp_path: Path) -> None:
    last = train_run(recipe(training={"select": "last", "patience": 1, "epochs": 8}), tmp_path)
    assert last.metrics["best_epoch"] == last.metrics["num_epochs"] == 8


def test_masked_figures_of_an_epoch_are_those_of_the_kept_weights(recipe: Make, prepared: Path, tmp_path: Path) -> None:
    trained = train_run(recipe(training={"select": "last"}), tmp_path)
    split = Split(both(prepared), "val", CPU)
    model = trained.model.eval()
    with torch.no_grad():
        batch = split.batch(np.arange(21))
        masked = model.masked(model(batch.inputs))
    for modality, logits in masked.items():
        own = logits.gather(1, batch.labels[:, None]).mean().item()
        record = trained.history[-1]
        assert record[f"val_logit_{modality}"] == pytest.approx(own, rel=1e-5)
        right = (logits.argmax(dim=1) == batch.labels).float().mean().item()
        assert record[f"val_acc_masked_{modality}"] == pytest.approx(right)
        norms = model.head.weights[modality].norm(dim=1)
        np.testing.assert_allclose(trained.weight_norms[f"weight_norm_{modality}"][-1], norms.detach(), rtol=1e-6)


def test_angles_lie_between_a_clips_feature_and_the_weight_of_its_class(
    recipe: Make, prepared: Path, tmp_path: Path
) -> None:
    trained = train_run(recipe(head="cosine"), tmp_path)
    split = Split(both(prepared), "test", CPU)
    model = trained.model.eval()
    with torch.no_grad():
        batch = split.batch(np.arange(30))
        features = model.encode(batch.inputs)
    for modality, feature in features.items():
        W = model.head.weights[modality].detach().numpy()[batch.labels.numpy()]
        phi = feature.numpy()
        cosine = (W * phi).sum(axis=1) / np.linalg.norm(W, axis=1) / np.linalg.norm(phi, axis=1)
        angles = trained.predictions[f"test_angle_{modality}"]
        np.testing.assert_allclose(angles, np.degrees(np.arccos(cosine)), rtol=1e-3)


def spoil(prepared: Path, split: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change an array of the prepared data, whose manifest then tells its new bytes."""
    file = prepared / f"{split}_{name}.npy"
    np.save(file, change(np.load(file)))
    manifest = json.loads((prepared / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"][file.name] = {"size": file.stat().st_size, "sha256": store.sha256(file)}
    (prepared / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def assert_finite(result: TrainedRun) -> None:
    figures = [result.metrics, *result.history]
    for each in figures:
        assert all(np.isfinite(value) for value in each.values()), each
    for name, array in result.predictions.items():
        assert np.isfinite(array).all(), name


@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("balancer", WITHOUT_BRANCH)
def test_a_constant_modality_and_absent_classes_give_no_nan(
    balancer: str, head: str, recipe: Make, prepared: Path, tmp_path: Path
) -> None:
    for split in ("train", "val", "test"):
        spoil(prepared, split, "audio", np.zeros_like)
    spoil(prepared, "train", "label", lambda labels: np.where(labels == 2, 1, labels))  # no clip of class 2
    spoil(prepared, "val", "label", lambda labels: np.where(labels == 0, 1, labels))  # none of class 0
    wanted = completed(recipe(balancer=balancer, head=head, training={"epochs": 2}), tmp_path)
    wanted["settings"]["encoder"] = {"audio": {"conv1net": {"dropout": 0.0}}, "visual": "conv2net"}
    if balancer == "g_blend_online":
        wanted["settings"]["balancer"] = {balancer: {"first": 1, "then": 1}}
    assert_finite(train_run(wanted, tmp_path / "run"))


@pytest.mark.parametrize("balancer", WITHOUT_BRANCH)
def test_batches_of_one_clip_give_no_nan(balancer: str, recipe: Make, tmp_path: Path) -> None:
    wanted = completed(recipe(balancer=balancer, training={"epochs": 1, "batch_size": 1}), tmp_path)
    if balancer == "g_blend_online":
        wanted["settings"]["balancer"] = {balancer: {"first": 1, "then": 1}}
    assert_finite(train_run(wanted, tmp_path / "run"))


class Teacher(Balancer):
    """Pull every feature to that of a teacher, in two passes a step."""

    uses_teachers = True

    def receive_teachers(self, teachers: dict[str, Model]) -> None:
        self.teachers = teachers

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        terms = super().losses(output, batch)
        for modality, teacher in self.teachers.items():
            assert not teacher.training
            feature = teacher.encode({modality: batch.inputs[modality]})[modality]
            assert not feature.requires_grad
            terms[modality] = (output.features[modality] - feature).square().mean()
        self.model.encode(batch.inputs)
        return terms


def test_a_method_receives_teachers_that_are_no_part_of_its_state(recipe: Make, tmp_path: Path) -> None:
    wanted = completed(recipe(balancer="test_train:Teacher", training={"epochs": 2}), tmp_path)
    assert {"teacher_audio", "teacher_visual"} < set(wanted["inputs"])
    result = train_run(wanted, tmp_path / "run")
    assert set(result.model.state_dict()) == set(build_model(wanted["settings"], DESCRIPTION).state_dict())
    assert [record["passes"] for record in result.history] == [2.0, 2.0]


@pytest.mark.parametrize(("balancer", "passes"), [("joint", [1, 1, 1]), ("ogm_ge", [1, 1, 1])])
def test_an_epoch_of_joint_training_is_one_pass(
    balancer: str, passes: list[float], recipe: Make, tmp_path: Path
) -> None:
    result = train_run(recipe(balancer=balancer, training={"epochs": 3}), tmp_path)
    assert [record["passes"] for record in result.history] == passes


def test_trials_of_copies_count_as_passes(recipe: Make, tmp_path: Path) -> None:
    # A super-epoch of two epochs is tried by each encoder alone (2 x 1/2) and by both together (2 / 2 + 2).
    balancer = {"g_blend_online": {"first": 2, "then": 1}}
    wanted = recipe(balancer=balancer, loss="unimodal", training={"epochs": 3})
    assert [record["passes"] for record in train_run(wanted, tmp_path).history] == [1 + 4, 1, 1 + 2]


def test_gradients_are_shortened_to_the_length_that_the_settings_name(recipe: Make, tmp_path: Path) -> None:
    settings = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1.0}
    wanted = recipe(training={**settings, "clip_norm": 1e-3, "batch_size": 60})  # one step
    before = build_balancer(wanted["settings"], DESCRIPTION, CPU)
    after = train_run(wanted, tmp_path).model
    moved = [b - a for b, a in zip(before.model.parameters(), after.parameters(), strict=True)]
    assert nn.utils.get_total_norm(moved).item() == pytest.approx(1e-3, rel=1e-3)
