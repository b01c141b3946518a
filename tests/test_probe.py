import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.linear_model import LogisticRegression

from avbalance import metrics, store
from avbalance.data.packed import Split
from avbalance.data.prepared import read_description
from avbalance.errors import UserError
from avbalance.model import build_model
from avbalance.probe import main
from avbalance.probing.fitting import L2_GRID
from avbalance.train import train_recipe
from folders import both

Clips = tuple[NDArray[np.float64], NDArray[np.int64]]
CPU = torch.device("cpu")


def sklearn_probe(features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> LogisticRegression:
    """scikit-learn minimises C sum CE + 1/2 |W|^2, which is J / l2 where C = 1 / (n l2)."""
    probe = LogisticRegression(C=1 / (len(labels) * l2), solver="newton-cg", tol=1e-10, max_iter=10_000)
    return probe.fit(features, labels)


def test_the_step_writes_predictions_and_metrics_of_every_modality(
    recipe: Callable[..., dict[str, Any]], prepared: Path, tmp_path: Path
) -> None:
    trained = recipe(training={"epochs": 3})
    model = train_recipe(trained, CPU, tmp_path / "resume" / "run-0", 1e9).model
    with store.publish(tmp_path / "weights", trained) as folder:
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors"
        )
    inputs = {"weights": str(tmp_path / "weights"), "data_audio": str(prepared), "data_visual": str(prepared)}
    (tmp_path / "recipe.json").write_text(
        json.dumps({"step": "probe", "name": "probe-0", "settings": {}, "inputs": inputs}), encoding="utf-8"
    )
    places = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={tmp_path / 'out'}", f"--resume={tmp_path / 'resume'}"]
    subprocess.run([sys.executable, "-m", "avbalance.probe", "--device=cpu", *places], check=True, capture_output=True)
    store.open_artifact(tmp_path / "out")
    predictions = dict(np.load(tmp_path / "out" / "predictions.npz"))
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(predictions) == {"test_clip", "test_label", "test_probe_audio", "test_probe_visual"}
    labels = np.load(prepared / "test_label.npy")
    np.testing.assert_array_equal(predictions["test_label"], labels)
    splits = {name: Split(both(prepared), name, CPU) for name in ("train", "val", "test")}
    model.eval()
    features: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, split in splits.items():
        with torch.no_grad():
            encoded = model.encode(split.batch(np.arange(len(split))).inputs)
        features[name] = {modality: feature.numpy() for modality, feature in encoded.items()}
    for modality in ("audio", "visual"):
        ranks = predictions[f"test_probe_{modality}"]
        assert figures[modality]["gradient_norm"] <= 1e-6
        assert figures[modality]["l2"] in L2_GRID
        assert figures[modality]["accuracy"] == (ranks == 0).mean()
        assert figures[modality]["accuracy"] > 0.5  # chance is 1/3
        # scikit-learn on the same features
        train = features["train"][modality].astype(np.float64)
        kept = train.std(axis=0) > 0
        mean, deviation = train[:, kept].mean(axis=0), train[:, kept].std(axis=0)
        theirs = sklearn_probe((train[:, kept] - mean) / deviation, splits["train"].labels, figures[modality]["l2"])
        logits = theirs.decision_function((features["test"][modality][:, kept] - mean) / deviation)
        is_clear = np.diff(np.sort(logits, axis=1), axis=1).min(axis=1) > 0.05
        assert is_clear.mean() > 0.8
        np.testing.assert_array_equal(ranks[is_clear], metrics.label_ranks(logits, labels)[is_clear])
        assert figures[modality]["loss"] == pytest.approx(metrics.cross_entropy(logits, labels), abs=1e-3)


def test_the_step_probes_clips_of_several_classes(
    recipe: Callable[..., dict[str, Any]], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Class 0 becomes classes 0 and 1, class 1 classes 1 and 2, class 2 classes 2 and 0.
    with store.publish(tmp_path / "several", {"step": "prepare.media"}) as folder:
        for file in prepared.glob("*.npy"):
            array = np.load(file)
            if file.stem.endswith("_label"):
                array = (np.eye(3) + np.eye(3)[[1, 2, 0]]).astype(np.uint8)[array]
                np.save(folder / file.name.replace("label", "video"), np.arange(len(array)))
            np.save(folder / file.name, array)
        description = read_description(both(prepared)) | {"task": "multi_label"}
        (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    settings = recipe()["settings"]
    with store.publish(tmp_path / "weights", {"step": "train", "settings": settings}) as folder:
        state = build_model(settings, description).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    several = {f"data_{modality}": str(tmp_path / "several") for modality in ("audio", "visual")}
    inputs = {"weights": str(tmp_path / "weights"), **several}
    (tmp_path / "recipe.json").write_text(
        json.dumps({"step": "probe", "name": "probe-0", "settings": {}, "inputs": inputs}), encoding="utf-8"
    )
    places = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={tmp_path / 'out'}", f"--resume={tmp_path / 'resume'}"]
    monkeypatch.setattr(sys, "argv", ["probe", "--device=cpu", *places])
    main()
    predictions = dict(np.load(tmp_path / "out" / "predictions.npz"))
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert set(predictions) == {"test_clip", "test_label", "test_video", "test_probe_audio", "test_probe_visual"}
    for modality in ("audio", "visual"):
        logits = predictions[f"test_probe_{modality}"]
        assert set(figures[modality]) == {"map", "mauc", "num_classes_scored", "loss", "l2", "gradient_norm"}
        summary = metrics.split_metrics(logits, predictions["test_label"], predictions["test_video"])
        assert summary.items() <= figures[modality].items()
        assert figures[modality]["mauc"] > 0.6  # chance is 1/2, of an untrained encoder
        assert figures[modality]["gradient_norm"] <= 1e-6


LAYERS = ["input", "conv1", "conv2", "linear", "output"]


@pytest.fixture
def weights(recipe: Callable[..., dict[str, Any]], prepared: Path, tmp_path: Path) -> Path:
    """The weights of an untrained run on `prepared`, and others, kept after 5 steps."""
    trained = recipe()
    with store.publish(tmp_path / "weights", trained) as folder:
        for seed, file in enumerate(("model.safetensors", "snapshot_5.safetensors")):
            torch.manual_seed(seed)
            state = build_model(trained["settings"], read_description(both(prepared))).state_dict()
            save_file({name: value.contiguous() for name, value in state.items()}, folder / file)
    return tmp_path / "weights"


@pytest.fixture
def probe(
    weights: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[dict[str, Any], dict[str, NDArray[Any]]]]:
    """Runs the step on layers of the visual encoder; returns metrics and predictions."""

    def run(
        data: Path = prepared,
        options: tuple[str, ...] = (),
        **settings: Any,  # noqa: ANN401
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        chosen = {"modality": "visual", "layers": LAYERS, "snapshots": [None], "reduction": {"mean": {}}, **settings}
        inputs = {"weights": str(weights), "data_visual": str(data)}
        inputs |= {f"trained_on_{modality}": str(prepared) for modality in ("audio", "visual")}
        made = {"step": "probe", "name": "probe-0", "settings": chosen, "inputs": inputs}
        (tmp_path / "recipe.json").write_text(json.dumps(made), encoding="utf-8")
        out, resume = tmp_path / "out", tmp_path / "resume"
        arguments = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={out}", f"--resume={resume}", "--device=cpu"]
        monkeypatch.setattr(sys, "argv", ["probe", *arguments, *options])
        try:
            main()
        finally:
            assert not list(resume.glob("*"))  # whatever happens, the features are gone
        store.open_artifact(out)
        return json.loads((out / "metrics.json").read_text(encoding="utf-8")), dict(np.load(out / "predictions.npz"))

    return run


def test_layers_have_a_probe_at_each_snapshot(probe: Callable[..., Any]) -> None:
    figures, predictions = probe(layers=["conv?", "input"], snapshots=[5, None], reduction={"full": {}})
    assert list(figures) == ["input", "conv1", "conv2"]  # in the order of the network
    assert [list(of_snapshots) for of_snapshots in figures.values()] == [["5", "trained"]] * 3
    # 8 x 8 images; 32 channels; after pooling 64 channels of 4 x 4
    assert [of_snapshots["trained"]["num_features"] for of_snapshots in figures.values()] == [64, 2048, 1024]
    ends = ("", "@5")
    entries = [f"{layer}{end}" for layer in figures for end in ends]
    assert set(predictions) == {
        "test_clip",
        "test_label",
        *(f"test_{what}_{e}" for what in ("probe", "loss") for e in entries),
    }
    np.testing.assert_array_equal(predictions["test_probe_input"], predictions["test_probe_input@5"])
    assert not np.array_equal(predictions["test_loss_conv1"], predictions["test_loss_conv1@5"])
    for layer, of_snapshots in figures.items():
        for snapshot, values in of_snapshots.items():
            entry = layer + ("" if snapshot == "trained" else f"@{snapshot}")
            assert values["test_error"] == pytest.approx((predictions[f"test_probe_{entry}"] > 0).mean())
            assert values["test_loss"] == pytest.approx(predictions[f"test_loss_{entry}"].mean(dtype=float), rel=1e-3)
            assert values["test_top5_error"] == 0  # of three classes
            assert values["gradient_norm"] <= 1e-7
            assert values["train_error"] <= values["test_error"] < 2 / 3
            assert set(values) == {
                f"{split}_{what}" for split in ("train", "val", "test") for what in ("loss", "error", "top5_error")
            } | {"l2", "gradient_norm", "num_features"}


def test_the_probe_of_a_layer_is_that_of_scikit_learn_on_its_features(
    probe: Callable[..., Any], weights: Path, recipe: Callable[..., dict[str, Any]], prepared: Path
) -> None:
    figures, predictions = probe(layers=["conv2"])
    model = build_model(recipe()["settings"], read_description(both(prepared))).eval()
    model.load_state_dict(load_file(weights / "model.safetensors"))
    encoder = model.encoders["visual"]

    def features(split: str) -> NDArray[np.float64]:
        inputs = torch.from_numpy(np.load(prepared / f"{split}_visual.npy")).float()
        with torch.no_grad():
            hidden = torch.nn.functional.max_pool2d(torch.relu(encoder.conv1(inputs)), 2)
            return encoder.conv2(hidden).mean(dim=(2, 3)).double().numpy()

    train, labels = features("train"), np.load(prepared / "train_label.npy")
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    theirs = sklearn_probe((train - mean) / deviation, labels, figures["conv2"]["trained"]["l2"])
    logits = theirs.decision_function((features("test") - mean) / deviation)
    labels = predictions["test_label"]
    np.testing.assert_allclose(predictions["test_loss_conv2"], metrics.clip_losses(logits, labels), rtol=1e-3)
    np.testing.assert_array_equal(predictions["test_probe_conv2"], metrics.label_ranks(logits, labels))


def test_other_labels_of_other_clips_can_be_told(probe: Callable[..., Any], prepared: Path, tmp_path: Path) -> None:
    def relabel(folder: Path, shape: list[int]) -> Path:
        with store.publish(folder, {"step": "prepare.pack"}) as out:
            for file in prepared.glob("*.npy"):
                array = np.load(file)
                np.save(out / file.name, array % 2 if file.stem.endswith("label") else array)
            description = read_description(both(prepared)) | {
                "num_classes": 2,
                "name": "parity",
            }
            description["modalities"]["visual"]["shape"] = shape
            (out / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
        return folder

    figures, predictions = probe(data=relabel(tmp_path / "parity", [1, 8, 8]), layers=["linear"])
    assert set(predictions["test_probe_linear"]) == {0, 1}  # of two classes
    np.testing.assert_array_equal(predictions["test_label"], np.arange(30) % 3 % 2)
    assert figures["linear"]["trained"]["train_error"] < 1 / 3  # of always telling 0
    with pytest.raises(UserError, match=r"have the shape \[1, 9, 9\], but the run was trained on \[1, 8, 8\]"):
        probe(data=relabel(tmp_path / "wide", [1, 9, 9]), layers=["linear"])


def test_what_memory_or_disk_do_not_allow_is_told_with_numbers(
    probe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"layer 'conv1' has 2048 features; .* takes 4 MiB, and --memory allows 2"):
        probe(layers=["conv1"], reduction={"full": {}}, options=("--memory=2",))
    # 111 clips of 2048 + 1024 features of 4 bytes are 1.3 MiB
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    with pytest.raises(UserError, match=r"3072 features of 111 clips take 1 MiB on disk, .*num: 1180"):
        probe(layers=["conv1", "conv2"], reduction={"full": {}})
    probe(layers=["conv1", "conv2"], reduction={"subset": {"num": 1180}})
