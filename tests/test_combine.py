import json
import sys
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from avbalance import combine, metrics, store
from avbalance.combine import Ensemble
from avbalance.errors import UserError
from avbalance.results.measure import measure
from avbalance.results.runs import Runs

PLAIN = {"members": "alone", "mean": "probabilities", "temperature": False, "weights": False}
A, B = np.array([[2.0, 0.0]]), np.array([[0.0, 1.0]])
HALF = np.array([0.5, 0.5])


def draw(seed: int, skills: tuple[float, ...], num_clips: int = 300) -> tuple[list[NDArray[np.float32]], NDArray[Any]]:
    """Logits of members that know more or less of the label, and the labels, of three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num_clips)
    logits = [skill * np.eye(3)[labels] + rng.normal(size=(num_clips, 3)) for skill in skills]
    return [each.astype(np.float32) for each in logits], labels


def predictions_of(logits: NDArray[np.float32], labels: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Predictions of a run whose splits are thirds of the clips, and which stores the logits of all of train."""
    parts = zip(("seen", "val", "test"), np.split(logits, 3), np.split(labels, 3), strict=True)
    predictions = {
        f"{split}_{name}": each
        for split, z, y in parts
        for name, each in (("logits", z), ("label", y), ("clip", np.arange(len(y))))
    }
    return predictions | {f"train_{name}": predictions[f"seen_{name}"] for name in ("label", "clip")}


def members_of(seed: int, names: tuple[str, ...], skills: tuple[float, ...]) -> dict[str, dict[str, NDArray[Any]]]:
    logits, labels = draw(seed, skills)
    return {name: predictions_of(each, labels) for name, each in zip(names, logits, strict=True)}


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        # softmax(2, 0) = (.88080, .11920) and softmax(0, 1) = (.26894, .73106)
        ("probabilities", (0.57487, 0.42513)),
        ("logits", (0.62246, 0.37754)),  # softmax(1, .5)
        ("product", (0.73106, 0.26894)),  # softmax(2, 1) = .88080 * .26894 and .11920 * .73106, divided by their sum
    ],
)
def test_two_members_give_the_probabilities_worked_out_by_hand(mean: str, expected: tuple[float, float]) -> None:
    assert np.exp(combine.combine([A, B], mean, HALF))[0] == pytest.approx(expected, abs=1e-5)


def test_weights_are_those_of_probabilities() -> None:
    # .75 * .88080 + .25 * .26894 = .72783
    mixture = np.exp(combine.combine([A, B], "probabilities", np.array([0.75, 0.25])))
    assert mixture[0] == pytest.approx((0.72783, 0.27217), abs=1e-5)


@pytest.mark.parametrize("mean", ["probabilities", "logits"])
@pytest.mark.parametrize("fitted", [False, True])
def test_identical_members_change_nothing(mean: str, fitted: bool) -> None:
    members = members_of(0, ("x",), (1.0,)) | {"y": members_of(0, ("x",), (1.0,))["x"]}
    options = PLAIN | {"mean": mean, "weights": fitted and mean == "probabilities"}
    ensemble = Ensemble(members, options)
    combined, _ = ensemble.predict()
    for split in ("val", "test"):
        alone = members["x"][f"{split}_logits"]
        assert softmax(combined[f"{split}_logits"], axis=1) == pytest.approx(softmax(alone, axis=1), abs=1e-3)
    assert list(ensemble.weights.values()) == pytest.approx([0.5, 0.5])


def test_a_product_of_identical_members_ranks_classes_as_one_of_them() -> None:
    members = members_of(0, ("x",), (1.0,)) | {"y": members_of(0, ("x",), (1.0,))["x"]}
    combined, _ = Ensemble(members, PLAIN | {"mean": "product"}).predict()
    order = np.argsort(members["x"]["test_logits"], axis=1)
    assert np.array_equal(np.argsort(combined["test_logits"], axis=1), order)


def test_extreme_logits_stay_finite() -> None:
    sure = np.array([[3e4, 0.0, -3e4]])
    for mean in ("probabilities", "logits", "product"):
        assert np.isfinite(combine.combine([sure, -sure], mean, HALF)).all()


def test_the_temperature_is_that_of_the_least_loss_on_a_grid() -> None:
    (z, _), labels = draw(1, (1.0, 1.0))
    overconfident = 3 * z
    fitted = combine.fit_temperature(overconfident, labels)
    grid = np.geomspace(0.1, 10, 2001)
    losses = [-np.log(softmax(overconfident / t, axis=1))[np.arange(len(labels)), labels].mean() for t in grid]
    assert fitted == pytest.approx(grid[np.argmin(losses)], rel=0.005)
    assert metrics.cross_entropy(overconfident / fitted, labels) <= min(losses) + 1e-9
    assert combine.fit_temperature(2 * overconfident, labels) == pytest.approx(2 * fitted, rel=1e-3)


def test_a_member_that_knows_nothing_or_everything_has_a_temperature_at_the_bounds() -> None:
    logits = np.array([[2.0, 0.0], [2.0, 0.0]])  # the loss log(1 + e^-2/T) / 2 + log(1 + e^2/T) / 2 is least at 0 = 1/T
    assert combine.fit_temperature(logits, np.array([0, 1])) == pytest.approx(100, rel=1e-2)
    assert combine.fit_temperature(logits, np.array([0, 0])) < 0.1


@pytest.mark.parametrize("skills", [(1.0, 1.5, 0.5), (2.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.3, 3.0, 3.0)])
def test_weights_are_those_of_the_least_loss_on_a_grid(skills: tuple[float, float, float]) -> None:
    logits, labels = draw(2, skills)
    own = np.stack([softmax(z.astype(float), axis=1)[np.arange(len(labels)), labels] for z in logits])
    hundredths = [(i, j, 100 - i - j) for i, j in product(range(101), repeat=2) if i + j <= 100]
    grid = np.array(hundredths) / 100
    losses = -np.log(grid @ own).mean(axis=1)
    fitted = combine.fit_weights(logits, labels)
    assert fitted.sum() == pytest.approx(1)
    assert (fitted >= 0).all()
    assert fitted == pytest.approx(grid[np.argmin(losses)], abs=0.011)
    assert -np.log(fitted @ own).mean() <= losses.min() + 1e-8
    assert (own / (fitted @ own)).mean(axis=1).max() <= 1 + 1e-4  # at the minimum no member would gain by more weight


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_found_among_many_alike_and_certain_members(seed: int) -> None:
    logits, labels = draw(seed, (1.0,) * 8, num_clips=60)
    alike = [logits[0] + 1e-3 * each for each in logits]
    certain = [300 * each for each in logits]
    for members in (alike, certain, [logits[0]] * 8):
        own = -np.stack([metrics.clip_losses(z, labels) for z in members])
        p = np.exp(own - own.max(axis=0))
        assert (p / (combine.fit_weights(members, labels) @ p)).mean(axis=1).max() <= 1 + 1e-3


def test_validation_alone_decides() -> None:
    members = members_of(3, ("audio", "visual"), (1.0, 2.0))
    options = PLAIN | {"temperature": True, "weights": True}
    ensemble = Ensemble(members, options)
    other = {name: {**each} for name, each in members.items()}
    for each in other.values():
        each["test_logits"], each["seen_logits"] = -each["test_logits"], 0 * each["seen_logits"]
        each["test_label"] = each["test_label"][::-1]
    changed = Ensemble(other, options)
    assert (changed.temperatures, changed.weights) == (ensemble.temperatures, ensemble.weights)
    assert ensemble.weights["visual"] > ensemble.weights["audio"]
    for each in other.values():
        each["val_label"] = (each["val_label"] + 1) % 3
    assert Ensemble(other, options).temperatures != ensemble.temperatures


def test_temperatures_leave_a_members_accuracy_and_lower_the_loss() -> None:
    members = members_of(4, ("audio", "visual"), (1.0, 1.0))
    members["audio"] |= {
        f"{split}_logits": 9 * members["audio"][f"{split}_logits"] for split in ("seen", "val", "test")
    }
    plain, before = Ensemble(members, PLAIN).predict()
    scaled, after = Ensemble(members, PLAIN | {"temperature": True}).predict()
    for name in ("test_masked_audio", "test_masked_visual"):
        assert np.array_equal(plain[name], scaled[name])
    assert after["val_loss"] < before["val_loss"]
    assert not np.array_equal(plain["test_logits"], scaled["test_logits"])


def test_every_set_of_uni_modal_members_stands_for_masked_logits() -> None:
    members = members_of(5, ("audio", "flow", "visual"), (1.0, 2.0, 0.5))
    combined, _ = Ensemble(members, PLAIN).predict()
    names = {name.removeprefix("test_masked_") for name in combined if "masked" in name}
    assert names == {"audio", "flow", "visual", "audio+flow", "audio+visual", "flow+visual"}
    labels = members["flow"]["test_label"]
    assert np.array_equal(combined["test_masked_flow"], metrics.label_ranks(members["flow"]["test_logits"], labels))
    two = np.sum([softmax(members[name]["test_logits"].astype(float), axis=1) for name in ("audio", "visual")], axis=0)
    assert np.array_equal(combined["test_masked_audio+visual"], metrics.label_ranks(two, labels))
    seeds, _ = Ensemble(members, PLAIN | {"members": 3}).predict()
    assert not [name for name in seeds if "masked" in name]


def publish(folder: Path, predictions: Mapping[str, NDArray[Any]], encoder: str) -> None:
    """A run."""
    recipe = {
        "step": "train",
        "settings": {"dataset": "demo", "encoder": {encoder: {}}},
        "inputs": {f"data_{encoder}": "results/prep/demo"},
    }
    with store.publish(folder, recipe) as out:
        np.savez_compressed(out / "predictions.npz", **predictions)  # type: ignore[arg-type]
        facts = {
            "val_accuracy": 0.5,
            "num_epochs": 3,
            "num_parameters": 1_500_000,
            "multiply_adds_per_clip": 10**9,
            "train_seconds": 2.5,
        }
        (out / "metrics.json").write_text(json.dumps(facts), encoding="utf-8")
        (out / "history.csv").write_text("epoch,passes\n1,1.0\n2,1.0\n3,0.5\n", encoding="utf-8")


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The recipe of an ensemble of two runs that exist below the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, each in members_of(6, ("audio", "visual"), (1.0, 2.0)).items():
        publish(Path("results/runs", name), {**each, "test_video": np.arange(100) // 2 * 2}, name)
    data = {f"data_{modality}": "results/prep/demo" for modality in ("audio", "visual")}
    settings = {"dataset": "demo", "encoder": {"audio": {}, "visual": {}}, "data": data, "combine": PLAIN}
    inputs = {name: f"results/runs/{name}" for name in ("audio", "visual")}
    return {"step": "combine", "name": "c-0", "settings": settings, "inputs": inputs}


def run(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    Path("recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["combine", "--recipe=recipe.json", "--out=results/combined/c-0"])
    combine.main()
    return "results/combined/c-0"


def test_an_ensemble_has_the_columns_of_a_run_and_none_of_training(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, runs = run(recipe, monkeypatch), Runs()
    rows = {"ensemble": [{"seed": 0, "run": folder, "probe": None, "alone": recipe["inputs"]}]}
    training = ["best_epoch", "loss_fluctuation", "peak_memory", "acc_audio_probe", "curve_x", "norm_growth_audio"]
    training += ["acc_weakest_probe", "train_loss"]
    shown = ["accuracy", "loss", "acc_audio_masked", "acc_audio_alone", "masked_gap", "shapley_audio"]
    shown += ["macro_f1", "ece", "acc_strongest_alone", "acc_weakest_alone", "shapley_gap"]
    cells = measure(rows, [*shown, *training, "parameters", "gflops", "train_seconds", "passes"], runs)["ensemble"]
    assert [name for name in shown if cells[name].num_seeds != 1] == []
    assert [name for name in training if cells[name].num_seeds] == []
    assert cells["acc_audio_masked"].means() == cells["acc_audio_alone"].means() != cells["accuracy"].means()
    assert [cells[name].means().item() for name in ("parameters", "gflops", "train_seconds")] == [3.0, 2.0, 5.0]
    assert cells["passes"].means() == 2.5  # each of the two encoders was trained as often
    logits, labels = (runs[folder].predictions[f"test_{name}"] for name in ("logits", "label"))
    assert cells["loss"].means().item() == pytest.approx(metrics.cross_entropy(logits, labels))
    assert runs[folder].metrics["test_loss"] == pytest.approx(metrics.cross_entropy(logits, labels))
    assert runs.provenance()["num_runs"] == 2  # the members, though both are read as uni-modal runs too
    assert "test_video" in runs[folder].predictions


def test_an_ensemble_records_what_validation_chose(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe["settings"]["combine"] = PLAIN | {"temperature": True, "weights": True}
    said = Runs()[run(recipe, monkeypatch)].metrics
    assert said["weight_audio"] + said["weight_visual"] == pytest.approx(1)
    assert said["weight_visual"] > said["weight_audio"]
    assert {said["temperature_audio"], said["temperature_visual"]}.isdisjoint({1.0})
    assert set(said["members"]) == {"results/runs/audio", "results/runs/visual"}


def test_members_of_other_clips_are_refused(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    other = members_of(6, ("visual",), (1.0,))["visual"]
    first = np.load("results/runs/audio/predictions.npz")
    other |= {"test_label": first["test_label"], "train_label": first["train_label"]}
    other["val_label"] = (first["val_label"] + 1) % 3
    publish(Path("results/runs/visual"), {**other, "test_video": first["test_video"]}, "visual")
    with pytest.raises(
        UserError, match="results/runs/visual: its val clips are not those of results/runs/audio; remove"
    ):
        run(recipe, monkeypatch)
    assert not Path("results/combined/c-0").exists()


def test_members_that_lack_clips_are_combined_on_those_that_all_have(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    visual = dict(np.load("results/runs/visual/predictions.npz"))
    lacking = {"train": 3, "seen": 7, "val": 0, "test": 5}
    for split, number in lacking.items():
        for name in [name for name in visual if name.startswith(f"{split}_")]:
            visual[name] = np.delete(visual[name], number, axis=0)
    publish(Path("results/runs/visual"), visual, "visual")
    combined = np.load(Path(run(recipe, monkeypatch)) / "predictions.npz")
    audio = np.load("results/runs/audio/predictions.npz")
    for split in lacking:
        assert combined[f"{split}_clip"].tolist() == visual[f"{split}_clip"].tolist()
        np.testing.assert_array_equal(combined[f"{split}_label"], visual[f"{split}_label"])
    heard = np.delete(audio["test_logits"], 5, axis=0).astype(float)
    mean = (softmax(heard, axis=1) + softmax(visual["test_logits"].astype(float), axis=1)) / 2
    np.testing.assert_allclose(softmax(combined["test_logits"], axis=1), mean, atol=1e-3)
