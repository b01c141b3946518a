import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from avbalance import metrics, store
from avbalance.data.packed import Split, describe
from avbalance.model import build
from avbalance.probe import L2_GRID, encode, fit, main, solve
from avbalance.train import run

Clips = tuple[NDArray[np.float64], NDArray[np.int64]]
CPU = torch.device("cpu")


def clips(num_clips: int, dim: int, seed: int, signal: float = 1.0) -> Clips:
    """Gaussian features of three classes; `signal` times the classes' means, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num_clips)
    means = np.random.default_rng(0).normal(size=(3, dim))
    scales = np.linspace(0.1, 30, dim)
    return scales * (signal * means[labels] + rng.normal(size=(num_clips, dim))) + 5, labels


def standardise(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return (features - features.mean(axis=0)) / features.std(axis=0)


def objective(flat: NDArray[np.float64], features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> Any:  # noqa: ANN401
    """J and its gradient by automatic differentiation."""
    weight = torch.tensor(flat.reshape(3, -1), requires_grad=True)
    logits = torch.from_numpy(features) @ weight[:, :-1].T + weight[:, -1]
    value = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)) + l2 / 2 * weight[:, :-1].square().sum()
    return value.item(), torch.autograd.grad(value, weight)[0].abs().max().item()


def sklearn_probe(features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> LogisticRegression:
    """scikit-learn minimises C sum CE + 1/2 |W|^2, which is J / l2 where C = 1 / (n l2)."""
    probe = LogisticRegression(C=1 / (len(labels) * l2), solver="newton-cg", tol=1e-10, max_iter=10_000)
    return probe.fit(features, labels)


@pytest.mark.parametrize("l2", L2_GRID)
def test_the_solution_is_that_of_scikit_learn(l2: float) -> None:
    features, labels = clips(90, 5, seed=1)
    features = standardise(features)
    flat, _ = solve(features, labels, 3, l2, np.zeros(3 * 6))
    theirs = sklearn_probe(features, labels, l2)
    ours = flat.reshape(3, 6)
    np.testing.assert_allclose(ours[:, :-1], theirs.coef_, atol=1e-4)
    # biases are free up to a common constant
    np.testing.assert_allclose(
        ours[:, -1] - ours[:, -1].mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4
    )


@pytest.mark.parametrize("l2", L2_GRID)
@pytest.mark.parametrize(
    ("num_clips", "dim", "signal"),
    [(90, 5, 1.0), (90, 5, 0.0), (90, 5, 10.0), (20, 60, 1.0)],
    ids=["overlapping", "no signal", "separable", "more features than clips"],
)
def test_the_gradient_vanishes_at_the_solution(l2: float, num_clips: int, dim: int, signal: float) -> None:
    features, labels = clips(num_clips, dim, seed=1, signal=signal)
    features = standardise(features)
    flat, gradient_norm = solve(features, labels, 3, l2, np.zeros(3 * (dim + 1)))
    assert gradient_norm <= 1e-6
    assert gradient_norm == pytest.approx(objective(flat, features, labels, l2)[1], abs=1e-9)


def test_the_optimum_does_not_depend_on_where_the_search_begins() -> None:
    features, labels = clips(90, 5, seed=1)
    features = standardise(features)
    starts = [np.zeros(18), np.random.default_rng(2).normal(size=18) * 10]
    solutions = [solve(features, labels, 3, 1e-2, start)[0].reshape(3, 6)[:, :-1] for start in starts]
    np.testing.assert_allclose(solutions[0], solutions[1], atol=1e-4)


def test_two_clips_give_the_weight_worked_out_by_hand() -> None:
    # x = -1 of class 0 and x = 1 of class 1. By symmetry W = [-w, w] and b_0 = b_1:
    #     J = log(1 + exp(-2 w)) + l2 w^2,   dJ/dw = 0  <=>  l2 w = 1 / (1 + exp(2 w)).
    # l2 = 1 / (2 log 3) is solved by w = log(3) / 2: both sides are 1/4. The odds are exp(2 w) = 3 to 1.
    features, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    flat, _ = solve(features, labels, 2, 1 / (2 * math.log(3)), np.zeros(4))
    weight, bias = flat.reshape(2, 2).T
    np.testing.assert_allclose(weight, [-math.log(3) / 2, math.log(3) / 2], atol=1e-6)
    assert bias[0] == pytest.approx(bias[1], abs=1e-6)


def test_without_information_the_unpenalised_bias_gives_the_frequencies_of_the_classes() -> None:
    labels = np.array([0, 0, 0, 1])
    flat, _ = solve(np.zeros((4, 1)), labels, 2, 0.1, np.zeros(4))
    weight, bias = flat.reshape(2, 2).T
    np.testing.assert_allclose(weight, 0, atol=1e-6)
    assert bias[0] - bias[1] == pytest.approx(math.log(3), abs=1e-5)  # 3 clips to 1


def test_a_constant_feature_gets_no_weight_and_changes_no_logit() -> None:
    (train, labels), (val, val_labels) = clips(60, 4, seed=1), clips(30, 4, seed=2)
    plain = fit((train, labels), (val, val_labels), 3)
    constant = np.float32(0.1)
    train, val = (np.insert(part.astype(np.float32), 2, constant, axis=1) for part in (train, val))
    probe = fit((train, labels), (val, val_labels), 3)
    np.testing.assert_allclose(probe.weight[:, 2], 0, atol=1e-6)
    # the clip of a test split in which the feature is not constant
    np.testing.assert_allclose(probe.logits(val + np.array([0, 0, 1, 0, 0])), probe.logits(val), atol=1e-5)
    np.testing.assert_allclose(
        probe.logits(val) - probe.logits(val).mean(axis=1, keepdims=True),
        plain.logits(np.delete(val, 2, axis=1)) - plain.logits(np.delete(val, 2, axis=1)).mean(axis=1, keepdims=True),
        atol=1e-4,
    )


def test_the_scale_and_offset_of_a_feature_do_not_matter() -> None:
    train, val = clips(60, 4, seed=1), clips(30, 4, seed=2)
    probes = [fit((a * train[0] + b, train[1]), (a * val[0] + b, val[1]), 3) for a, b in ((1, 0), (100, -7))]
    np.testing.assert_allclose(probes[0].weight, probes[1].weight, atol=1e-4)


@pytest.mark.parametrize(
    ("signal", "dim", "expected"),
    [(10.0, 5, 1e-4), (0.0, 40, 1e-1)],
    ids=["clear classes want no penalty", "noise wants the strongest"],
)
def test_l2_is_chosen_by_the_validation_loss(signal: float, dim: int, expected: float) -> None:
    train, val = clips(60, dim, seed=1, signal=signal), clips(60, dim, seed=2, signal=signal)
    assert fit(train, val, 3).l2 == expected


def test_an_l2_between_the_ends_is_chosen_where_it_gives_the_lowest_validation_loss() -> None:
    train, val = clips(120, 6, seed=1, signal=0.8), clips(120, 6, seed=2, signal=0.8)
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    losses = {}
    for l2 in L2_GRID:
        probe = sklearn_probe((train[0] - mean) / deviation, train[1], l2)
        losses[l2] = metrics.cross_entropy(probe.decision_function((val[0] - mean) / deviation), val[1])
    best = min(losses, key=losses.__getitem__)
    assert best not in (max(L2_GRID), min(L2_GRID))
    probe = fit(train, val, 3)
    assert probe.l2 == best
    assert metrics.cross_entropy(probe.logits(val[0]), val[1]) == pytest.approx(losses[best], abs=1e-5)


def test_features_are_those_of_the_encoders_in_evaluation_and_in_order(
    recipe: Callable[..., dict[str, Any]], prepared: Path
) -> None:
    model = build(recipe()["settings"], describe(prepared))
    split = Split(prepared, "val", ["audio", "visual"], CPU)
    features = encode(model, split, batch_size=4)
    model.eval()
    for modality in ("audio", "visual"):
        inputs = torch.from_numpy(np.load(prepared / f"val_{modality}.npy")).float()
        expected = model.encoders[modality](inputs).detach().numpy()
        np.testing.assert_allclose(features[modality], expected, rtol=1e-4, atol=1e-5)


def test_probing_leaves_weights_buffers_and_random_numbers_as_they_are(
    recipe: Callable[..., dict[str, Any]], prepared: Path
) -> None:
    settings = recipe(encoder={"audio": "conv1net", "visual": {"resnet18": {"width": 2}}})["settings"]
    model = build(settings, describe(prepared)).train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert any("running_mean" in name for name in state)
    random = torch.get_rng_state()
    splits = {name: Split(prepared, name, ["audio", "visual"], CPU) for name in ("train", "val")}
    features = {name: encode(model, split, 16) for name, split in splits.items()}
    fit((features["train"]["visual"], splits["train"].labels), (features["val"]["visual"], splits["val"].labels), 3)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_the_step_writes_predictions_and_metrics_of_every_modality(
    recipe: Callable[..., dict[str, Any]], prepared: Path, tmp_path: Path
) -> None:
    trained = recipe(training={"epochs": 3})
    model = run(trained, CPU, tmp_path / "resume" / "run-0", 1e9)["model"]
    with store.publish(tmp_path / "weights", trained) as folder:
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "model.safetensors"
        )
    inputs = {"weights": str(tmp_path / "weights"), "data": str(prepared)}
    (tmp_path / "recipe.json").write_text(
        json.dumps({"step": "probe", "name": "probe-0", "settings": {}, "inputs": inputs})
    )
    places = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={tmp_path / 'out'}", f"--resume={tmp_path / 'resume'}"]
    subprocess.run([sys.executable, "-m", "avbalance.probe", "--device=cpu", *places], check=True, capture_output=True)
    store.open_artifact(tmp_path / "out")
    predictions = dict(np.load(tmp_path / "out" / "predictions.npz"))
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(predictions) == {"test_label", "test_probe_audio", "test_probe_visual"}
    labels = np.load(prepared / "test_label.npy")
    np.testing.assert_array_equal(predictions["test_label"], labels)
    splits = {name: Split(prepared, name, ["audio", "visual"], CPU) for name in ("train", "val", "test")}
    features = {name: encode(model, split, 16) for name, split in splits.items()}
    for modality in ("audio", "visual"):
        logits = predictions[f"test_probe_{modality}"]
        assert logits.shape == (30, 3)
        assert logits.dtype == np.float16
        assert figures[modality]["gradient_norm"] <= 1e-6
        assert figures[modality]["l2"] in L2_GRID
        assert figures[modality]["accuracy"] == (logits.argmax(axis=1) == labels).mean()
        assert figures[modality]["accuracy"] > 0.5  # chance is 1/3
        # scikit-learn on the same features
        train = features["train"][modality].astype(np.float64)
        kept = train.std(axis=0) > 0
        mean, deviation = train[:, kept].mean(axis=0), train[:, kept].std(axis=0)
        theirs = sklearn_probe((train[:, kept] - mean) / deviation, splits["train"].labels, figures[modality]["l2"])
        said = theirs.decision_function((features["test"][modality][:, kept] - mean) / deviation)
        ours = logits.astype(np.float64)
        np.testing.assert_allclose(
            ours - ours.mean(axis=1, keepdims=True), said - said.mean(axis=1, keepdims=True), atol=0.05
        )


def clips_of_several(num_clips: int, seed: int) -> Clips:
    """Gaussian features of three classes of which a clip has any number: the sum of their means."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=(num_clips, 3), dtype=np.uint8)
    means = np.random.default_rng(0).normal(size=(3, 5))
    return labels @ means + rng.normal(size=(num_clips, 5)), labels


@pytest.mark.parametrize("l2", L2_GRID)
def test_the_probe_of_several_classes_is_one_of_scikit_learn_for_each_class(l2: float) -> None:
    features, labels = clips_of_several(90, seed=1)
    features = standardise(features)
    flat, gradient_norm = solve(features, labels, 3, l2, np.zeros(3 * 6))
    assert gradient_norm <= 1e-6
    for ours, label in zip(flat.reshape(3, 6), labels.T, strict=True):
        theirs = sklearn_probe(features, label, l2)
        np.testing.assert_allclose(ours[:-1], theirs.coef_[0], atol=1e-4)
        assert ours[-1] == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_the_gradient_of_several_classes_is_that_of_automatic_differentiation() -> None:
    features, labels = clips_of_several(40, seed=1)
    flat, gradient_norm = solve(features, labels, 3, 1e-2, np.zeros(3 * 6))
    weight = torch.tensor(flat.reshape(3, 6), requires_grad=True)
    logits = torch.from_numpy(features) @ weight[:, :-1].T + weight[:, -1]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).double())
    value = 3 * loss + 1e-2 / 2 * weight[:, :-1].square().sum()  # the sum over classes, not the mean
    (gradient,) = torch.autograd.grad(value, weight)
    assert gradient_norm == pytest.approx(gradient.abs().max().item(), abs=1e-9)


def test_a_class_that_no_training_clip_has_is_never_said() -> None:
    (features, labels), val = clips_of_several(60, seed=1), clips_of_several(60, seed=2)
    labels[:, 2] = 0
    probe = fit((features, labels), val, 3)
    assert probe.gradient_norm <= 1e-6
    assert (probe.logits(val[0])[:, 2] < -5).all()


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
        description = describe(prepared) | {"task": "multi_label"}
        (folder / "dataset.json").write_text(json.dumps(description))
    settings = recipe()["settings"]
    with store.publish(tmp_path / "weights", {"step": "train", "settings": settings}) as folder:
        state = build(settings, description).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, folder / "model.safetensors")
    inputs = {"weights": str(tmp_path / "weights"), "data": str(tmp_path / "several")}
    (tmp_path / "recipe.json").write_text(
        json.dumps({"step": "probe", "name": "probe-0", "settings": {}, "inputs": inputs})
    )
    places = [f"--recipe={tmp_path / 'recipe.json'}", f"--out={tmp_path / 'out'}", f"--resume={tmp_path / 'resume'}"]
    monkeypatch.setattr(sys, "argv", ["probe", "--device=cpu", *places])
    main()
    predictions = dict(np.load(tmp_path / "out" / "predictions.npz"))
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert set(predictions) == {"test_label", "test_video", "test_probe_audio", "test_probe_visual"}
    for modality in ("audio", "visual"):
        logits = predictions[f"test_probe_{modality}"]
        assert set(figures[modality]) == {"map", "mauc", "num_classes_scored", "loss", "l2", "gradient_norm"}
        summary = metrics.summarise(logits, predictions["test_label"], predictions["test_video"])
        assert summary.items() <= figures[modality].items()
        assert figures[modality]["mauc"] > 0.6  # chance is 1/2, of an untrained encoder
        assert figures[modality]["gradient_norm"] <= 1e-6
