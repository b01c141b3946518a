import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from avbalance import metrics
from avbalance.data.packed import Split
from avbalance.data.trials import read_trials
from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.evaluate import classify, mean_loss, predict, score_trials
from avbalance.model import Model
from avbalance.registry import load
from avbalance.types import Batch
from folders import both

CPU = torch.device("cpu")


class Noisy(Encoder):
    """One linear layer, batch normalisation and dropout: three things that training changes."""

    feature_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layers(inputs)
        return features


def build(fusion: str = "concat", modalities: tuple[str, ...] = ("audio", "visual"), head: str = "linear") -> Model:
    torch.manual_seed(0)
    fused = load("fusion", fusion, dict.fromkeys(modalities, 8))
    return Model({modality: Noisy() for modality in modalities}, fused, load("head", head, fused.streams, 3))


def batches(*sizes: int) -> list[Batch]:
    """The same clips, whatever the sizes."""
    generator = torch.Generator().manual_seed(1)
    clips = {modality: torch.randn(12, 6, generator=generator) for modality in ("audio", "visual")}
    places = torch.arange(12)
    return [
        Batch({modality: values[index] for modality, values in clips.items()}, index % 3, index)
        for index in places.split(list(sizes))
    ]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_evaluated_and_left_in_its_mode(training: bool) -> None:
    model = build().train(training)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    logits = predict(model, batches(12), torch.float32)["logits"]
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    np.testing.assert_array_equal(logits, model.eval()(batches(12)[0].inputs).logits.detach().numpy())


def test_clips_stay_in_order_whatever_the_batches() -> None:
    model = build()
    wanted = ("logits", "masked", "embedding")
    whole, parts = (predict(model, batches(*sizes), torch.float32, wanted) for sizes in ((12,), (5, 5, 2)))
    assert whole.keys() == parts.keys()
    for name, logits in whole.items():
        np.testing.assert_allclose(parts[name], logits, rtol=1e-5, atol=1e-6)
    backwards = predict(model, reversed(batches(*[1] * 12)), torch.float32)["logits"]
    np.testing.assert_allclose(backwards[::-1], whole["logits"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fusion", ["concat", "film"])
def test_masked_logits_of_every_modality_are_there_where_asked_for(fusion: str) -> None:
    model = build(fusion)
    assert set(predict(model, batches(5, 7), torch.float32)) == {"logits"}
    outputs = predict(model, batches(5, 7), torch.float32, ("logits", "masked"))
    assert {name: logits.shape for name, logits in outputs.items()} == {
        "logits": (12, 3),
        "masked_audio": (12, 3),
        "masked_visual": (12, 3),
    }
    (batch,) = batches(12)
    masked = model.eval().masked(model(batch.inputs))
    for modality in ("audio", "visual"):
        np.testing.assert_allclose(
            outputs[f"masked_{modality}"], masked[modality].detach().numpy(), rtol=1e-5, atol=1e-6
        )


def test_a_uni_modal_model_is_predicted_from_its_modality() -> None:
    assert predict(build(modalities=("audio",)), batches(12), torch.float32)["logits"].shape == (12, 3)


def test_bfloat16_gives_nearly_the_same_float32_logits() -> None:
    model = build()
    exact, rounded = (
        predict(model, batches(12), precision, ("logits", "masked")) for precision in (torch.float32, torch.bfloat16)
    )
    for name, logits in exact.items():
        assert rounded[name].dtype == np.float32
        assert (rounded[name] != logits).any()
        # bfloat16 has 8 significant bits: a relative error of 2^-9 each, of sums of 6 products
        assert np.linalg.norm(rounded[name] - logits) < 0.02 * np.linalg.norm(logits)


@pytest.mark.parametrize("fusion", ["concat", "film", "addition"])
def test_the_embedding_is_what_the_head_sees_at_length_one(fusion: str) -> None:
    model = build(fusion)
    outputs = predict(model, batches(5, 7), torch.float32, ("embedding",))
    assert set(outputs) == {"embedding"}
    np.testing.assert_allclose(np.linalg.norm(outputs["embedding"], axis=1), 1, rtol=1e-6)
    (batch,) = batches(12)
    streams = model.eval()(batch.inputs).streams
    seen = torch.cat([streams[name] for name in model.fusion.streams], dim=1).detach().numpy()
    np.testing.assert_allclose(outputs["embedding"] * np.linalg.norm(seen, axis=1, keepdims=True), seen, atol=1e-5)


def test_of_a_cosine_head_a_trials_score_is_the_mean_of_the_streams_cosines() -> None:
    model = build(head="cosine")
    with torch.no_grad():
        model.encoders["audio"].layers[0].weight.mul_(100)  # a length that means nothing
    embedding = predict(model, batches(5, 7), torch.float32, ("embedding",))["embedding"]
    (batch,) = batches(12)
    streams = {m: f.detach().numpy() for m, f in model.eval()(batch.inputs).streams.items()}
    units = {m: f / np.linalg.norm(f, axis=1, keepdims=True) for m, f in streams.items()}
    trials = np.array([[0, 3, 1], [1, 2, 0], [4, 11, 0]])
    expected = [np.mean([unit[a] @ unit[b] for unit in units.values()]) for a, b, _ in trials]
    np.testing.assert_allclose(metrics.trial_scores(embedding, trials), expected, rtol=1e-5)


class Shouting(Encoder):
    """Its input times a factor."""

    feature_dim = 3

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


def shout(labels: NDArray[Any], task: str, folder: Path) -> tuple[Model, dict[str, Split]]:
    """Splits of 300 clips that show their labels, two modalities alike, and a model whose logits are 1.5e5 and -1.5e5.

    They are beyond float16, whose largest number is 65,504.
    """
    one_hot = labels if labels.ndim == 2 else np.eye(3, dtype=int)[labels]
    clips = (2.0 * one_hot - 1).astype(np.float16)
    description = {"task": task, "num_classes": 3, "modalities": {m: {"shape": [3]} for m in ("audio", "visual")}}
    (folder / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    for split in ("train", "val", "test"):
        np.save(folder / f"{split}_label.npy", labels)
        np.save(folder / f"{split}_video.npy", np.arange(300) // 2)
        np.save(folder / f"{split}_clip.npy", np.arange(300))
        for modality in ("audio", "visual"):
            np.save(folder / f"{split}_{modality}.npy", clips)
    fused = load("fusion", "concat", {"audio": 3, "visual": 3})
    head = load("head", "linear", fused.streams, 3)
    head.load_state_dict({"linear.weight": torch.cat([torch.eye(3)] * 2, dim=1), "linear.bias": torch.zeros(3)})
    model = Model({"audio": Shouting(0.5e5), "visual": Shouting(1e5)}, fused, head)
    return model, {name: Split(both(folder), name, CPU) for name in ("train", "val", "test")}


def test_logits_beyond_float16_have_the_figures_that_the_model_gave(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], 100)
    predictions, figures = classify(*shout(labels, "single_label", tmp_path), 64, torch.float32)
    for split in ("train", "val", "test"):
        assert figures[f"{split}_accuracy"] == figures[f"{split}_video_accuracy"] == 1
        assert figures[f"{split}_loss"] == 0
    assert predictions["test_logits"].max() == 1.5e5
    # What tables compute from what is kept is the same.
    assert metrics.accuracy(predictions["test_logits"], labels) == 1
    for modality in ("audio", "visual"):
        assert metrics.accuracy(predictions[f"test_masked_{modality}"], labels) == 1
    assert predictions["seen_logits"].max() == 1.5e5
    assert len(predictions["seen_logits"]) == len(predictions["seen_clip"]) == 20
    assert np.array_equal(predictions["seen_label"], labels[predictions["seen_clip"]])


def test_logits_beyond_float16_of_several_classes_have_the_figures_that_the_model_gave(tmp_path: Path) -> None:
    labels = np.tile(np.array([[1, 0, 1], [0, 1, 0]], np.uint8).repeat(2, axis=0), (75, 1))
    predictions, figures = classify(*shout(labels, "multi_label", tmp_path), 64, torch.float32)
    assert figures["test_map"] == figures["test_mauc"] == 1
    assert figures["test_loss"] == 0
    for name in ("logits", "masked_audio", "masked_visual"):
        assert metrics.split_metrics(predictions[f"test_{name}"], labels, predictions["test_video"])["map"] == 1


def test_embeddings_of_features_beyond_float16_are_told_apart(tmp_path: Path) -> None:
    trials = {"all": np.array([[0, 1, 1], [100, 101, 1], [0, 100, 0], [100, 200, 0]])}
    model, splits = shout(np.repeat([0, 1, 2], 100), "verification", tmp_path)
    predictions, figures = score_trials(model, splits, trials, 64, torch.float32)
    assert figures["test_eer_all"] == 0
    # The cosine of (1, -1, -1) and (-1, 1, -1), twice, is -1/3.
    scores = metrics.trial_scores(predictions["test_embedding"], trials["all"])
    np.testing.assert_allclose(scores, [1, 1, -1 / 3, -1 / 3], rtol=1e-6)


def test_a_mean_loss_is_that_of_all_clips_whatever_the_batches() -> None:
    model = build().train()
    expected = metrics.cross_entropy(predict(model, batches(12), torch.float32)["logits"], np.arange(12) % 3)
    for sizes in ((12,), (5, 5, 2)):
        assert mean_loss(model, batches(*sizes), torch.float32) == pytest.approx(expected, rel=1e-6)


def clips_of_test(*numbers: int) -> Split:
    """A split of which nothing but its clips is read."""
    return cast(Split, SimpleNamespace(clips=np.array(numbers)))


def test_trials_are_read_by_list_and_their_clips_by_number(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(
        "list,enrol,test,is_target\nvc1,0,3,1\nvc2,4,2,0\nvc1,1,2,0\n", encoding="utf-8"
    )
    trials = read_trials({"audio": tmp_path}, clips_of_test(0, 1, 2, 3, 4))
    assert {name: pairs.tolist() for name, pairs in trials.items()} == {
        "vc1": [[0, 3, 1], [1, 2, 0]],
        "vc2": [[4, 2, 0]],
    }
    # Clip 1 lacks a modality: its trial is left out, and clips 2, 3 and 4 move up.
    trials = read_trials({"audio": tmp_path}, clips_of_test(0, 2, 3, 4))
    assert {name: pairs.tolist() for name, pairs in trials.items()} == {"vc1": [[0, 2, 1]], "vc2": [[3, 1, 0]]}


def test_a_file_without_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("list,enrol,test,is_target\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"trials.csv: holds no trial"):
        read_trials({"audio": tmp_path}, clips_of_test(0, 1))
