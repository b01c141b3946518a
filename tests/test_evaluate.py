from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avbalance.cli import UserError
from avbalance.encoders.base import Encoder
from avbalance.evaluate import predict, read_trials
from avbalance.model import Model
from avbalance.registry import load
from avbalance.types import Batch


class Noisy(Encoder):
    """One linear layer, batch normalisation and dropout: three things that training changes."""

    feature_dim = 8

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layers(inputs)
        return features


def build(fusion: str = "concat", modalities: tuple[str, ...] = ("audio", "visual")) -> Model:
    torch.manual_seed(0)
    fused = load("fusion", fusion, dict.fromkeys(modalities, 8))
    return Model({modality: Noisy() for modality in modalities}, fused, load("head", "linear", fused.streams, 3))


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
    said = predict(model, batches(5, 7), torch.float32, ("logits", "masked"))
    assert {name: logits.shape for name, logits in said.items()} == {
        "logits": (12, 3),
        "masked_audio": (12, 3),
        "masked_visual": (12, 3),
    }
    (batch,) = batches(12)
    masked = model.eval().masked(model(batch.inputs))
    for modality in ("audio", "visual"):
        np.testing.assert_allclose(said[f"masked_{modality}"], masked[modality].detach().numpy(), rtol=1e-5, atol=1e-6)


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
    said = predict(model, batches(5, 7), torch.float32, ("embedding",))
    assert set(said) == {"embedding"}
    np.testing.assert_allclose(np.linalg.norm(said["embedding"], axis=1), 1, rtol=1e-6)
    (batch,) = batches(12)
    streams = model.eval()(batch.inputs).streams
    seen = torch.cat([streams[name] for name in model.fusion.streams], dim=1).detach().numpy()
    np.testing.assert_allclose(said["embedding"] * np.linalg.norm(seen, axis=1, keepdims=True), seen, atol=1e-5)


def test_trials_are_read_by_list(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(
        "list,enrol,test,is_target\nvc1,0,3,1\nvc2,4,2,0\nvc1,1,2,0\n", encoding="utf-8"
    )
    trials = read_trials(tmp_path / "trials.csv")
    assert {name: pairs.tolist() for name, pairs in trials.items()} == {
        "vc1": [[0, 3, 1], [1, 2, 0]],
        "vc2": [[4, 2, 0]],
    }


def test_a_file_without_trials_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text("list,enrol,test,is_target\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"trials.csv: holds no trial"):
        read_trials(tmp_path / "trials.csv")
