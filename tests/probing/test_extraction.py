"""Which layers there are, their features, and that the encoder does not notice."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avbalance import store
from avbalance.data.packed import Split
from avbalance.encoders.resnet import ResNet18
from avbalance.errors import UserError
from avbalance.probing.extraction import Extraction, path_of
from avbalance.probing.names import select
from avbalance.registry import Spec

SIZES = {"train": 11, "val": 4, "test": 5}
CPU = torch.device("cpu")


class Network(nn.Module):
    """Batch normalisation, dropout, an in-place activation, and modules that have no features of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.5)
        self.unused = nn.Linear(1, 1)
        self.twice = nn.Tanh()
        self.pair = Pair()
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.dropout(self.relu(self.norm(self.first(x))))
        hidden, _ = self.pair(self.twice(self.twice(hidden)))
        return self.last(nn.functional.dropout(hidden.mean(dim=(2, 3)), training=True))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.fixture
def clips() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {split: torch.randn(size, 2, 6, 6, generator=generator) for split, size in SIZES.items()}


@pytest.fixture
def splits(tmp_path: Path, clips: dict[str, Tensor]) -> dict[str, Split]:
    with store.publish(tmp_path / "data", {"step": "pack"}) as out:
        for split, inputs in clips.items():
            np.save(out / f"{split}_visual.npy", inputs.numpy())
            np.save(out / f"{split}_label.npy", np.arange(len(inputs)) % 3)
            np.save(out / f"{split}_clip.npy", np.arange(len(inputs)))
        (out / "dataset.json").write_text(
            json.dumps({"modalities": {"visual": {"shape": [2, 6, 6]}}}), encoding="utf-8"
        )
    return {split: Split({"visual": tmp_path / "data"}, split, CPU) for split in SIZES}


def extract(
    encoder: nn.Module, layers: Sequence[str], splits: dict[str, Split], folder: Path, reduction: Spec = "full"
) -> dict[str, dict[str, Any]]:
    """{layer: {split: features}}."""
    folder.mkdir()
    extraction = Extraction(encoder, layers, reduction, splits["train"].batch(np.arange(2)).inputs["visual"])
    extraction.run(splits, "visual", 3, folder)
    return {
        layer: {split: np.load(path_of(folder, layer, split)) for split in splits} for layer in extraction.reductions
    }


def test_features_are_those_of_each_layer_in_evaluation_and_in_order(
    splits: dict[str, Split], clips: dict[str, Tensor], tmp_path: Path
) -> None:
    network = Network().train()
    layers = extract(network, ["norm", "input", "first", "relu"], splits, tmp_path / "features")
    assert list(layers) == ["input", "first", "norm", "relu"]
    network.eval()
    for split, inputs in clips.items():
        with torch.no_grad():
            first = network.first(inputs)
            norm = network.norm(first)
        expected = {"input": inputs, "first": first, "norm": norm, "relu": norm.clamp(min=0)}
        for layer, features in expected.items():
            assert layers[layer][split].dtype == np.float32
            np.testing.assert_allclose(layers[layer][split], features.flatten(1), atol=1e-6)


def test_nothing_of_the_network_changes(splits: dict[str, Split], tmp_path: Path) -> None:
    network = Network().train()
    network.norm.eval()  # modes may differ
    state = {name: value.clone() for name, value in network.state_dict().items()}
    assert "norm.running_mean" in state
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    extract(network, ["norm", "dropout", "output"], splits, tmp_path / "features")
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_pass_that_fails_leaves_no_hooks_either(splits: dict[str, Split], tmp_path: Path) -> None:
    network = Network().train()
    with pytest.raises(UserError, match="'pair' does not give a single tensor"):
        extract(network, ["first", "pair"], splits, tmp_path / "features")
    assert not any(module._forward_hooks for module in network.modules())
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["frist"], "'frist' is not a layer of the encoder; did you mean 'first'?"),
        (["first", "layer*"], r"'layer\*' is not a layer of the encoder"),
        (["unused"], "'unused' is not used in a pass"),
        (["twice"], "'twice' is used 2 times in a pass"),
    ],
)
def test_a_layer_without_features_is_told(
    layers: list[str], expected: str, splits: dict[str, Split], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=expected):
        extract(Network(), layers, splits, tmp_path / "features")


def test_patterns_stop_at_dots() -> None:
    names = ["input", "conv1", "layer1", "layer1.0", "layer1.0.conv1", "layer1.1", "layer2.0", "output"]
    assert select(["layer1.*"], names) == ["layer1.0", "layer1.1"]
    assert select(["output", "layer?.0", "conv1"], names) == ["conv1", "layer1.0", "layer2.0", "output"]
    assert select(["layer[12].0.*"], names) == ["layer1.0.conv1"]


def test_the_frames_of_a_video_are_positions(tmp_path: Path) -> None:
    encoder = ResNet18((1, 3, 16, 16), width=2)
    inputs = torch.randn(4, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with store.publish(tmp_path / "data", {"step": "pack"}) as out:
        np.save(out / "train_visual.npy", inputs.numpy())
        np.save(out / "train_label.npy", np.arange(4))
        np.save(out / "train_clip.npy", np.arange(4))
        (out / "dataset.json").write_text(
            json.dumps({"modalities": {"visual": {"shape": [1, 3, 16, 16]}}}), encoding="utf-8"
        )
    splits = {"train": Split({"visual": tmp_path / "data"}, "train", CPU)}
    layers = extract(encoder, ["layer4.1", "output", "layer1.*"], splits, tmp_path / "features", "mean")
    assert list(layers) == ["layer1.0", "layer1.1", "layer4.1", "output"]
    assert layers["layer1.0"]["train"].shape == (4, 2)
    # the output is the mean of the last block over the image and the frames
    np.testing.assert_allclose(layers["layer4.1"]["train"], layers["output"]["train"], atol=1e-6)
