"""What holds for every registered encoder."""

from itertools import chain
from typing import Any

import pytest
import torch

from avbalance.configuration.signature import describe, feature_dim
from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.probing.names import spread
from avbalance.registry import load
from registered import names

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "conv1net": [(320,)],
    "conv2net": [(1, 28, 28), (2, 13, 22)],
    "identity": [(24,), (5, 24)],
    "inception_v3": [(3, 75, 80), (1, 91, 75)],
    "ip_csn": [(3, 4, 40, 32), (2, 1, 33, 33)],
    "mlp": [(24,), (5, 24)],
    "mnist_convnet": [(1, 28, 28), (2, 13, 22)],
    "r2plus1d": [(3, 4, 40, 32), (2, 1, 33, 33)],
    "r3d": [(3, 4, 40, 32), (2, 1, 33, 33)],
    "resnet18": [(3, 64, 48), (40, 50), (3, 2, 40, 40)],
    "resnet34": [(40, 50), (3, 2, 40, 40)],
    "resnet50": [(40, 50), (3, 2, 40, 40)],
    "resnet101": [(40, 50)],
    "resnet152": [(40, 50)],
    "skip_mlp": [(1, 28, 28), (40,)],
    "timm": [(3, 48, 32), (32, 64), (2, 3, 32, 32)],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "inception_v3": {"width": 4, "dropout": 0.0},
    "ip_csn": {"depth": 26, "width": 8},
    "mlp": {"hidden": [32, 16]},
    "mnist_convnet": {"dropout": 0.0},
    "r2plus1d": {"depth": 26, "width": 8},
    "r3d": {"depth": 18, "width": 8},
    "resnet34": {"width": 8},
    "resnet50": {"width": 8, "feature_dim": 24},
    "resnet101": {"width": 8},
    "resnet152": {"width": 8},
    "skip_mlp": {"depth": 16, "width": 32},
    "timm": {"name": "test_vit"},
}
"""Where an option has no default, or one that is large, or drops at random what a gradient has to pass."""


def build(name: str, shape: tuple[int, ...]) -> Encoder:
    torch.manual_seed(0)
    encoder: Encoder = load("encoder", {name: OPTIONS.get(name, {})}, shape)
    return encoder


def shapes_of(name: str) -> list[tuple[int, ...]]:
    """Shapes that an encoder reads: known ones, or those of all known ones that it accepts."""
    return SHAPES.get(name) or [shape for shape in sorted({*chain(*SHAPES.values())}) if accepts(name, shape)]


def accepts(name: str, shape: tuple[int, ...]) -> bool:
    try:
        build(name, shape)
    except UserError:
        return False
    return True


WITHOUT_PARAMETERS = ("identity",)
KNOWN_ONCE_BUILT = ("identity", "timm")
"""Encoders whose length of features depends on more than their options."""
CASES = [(name, shape) for name in names("encoder") for shape in shapes_of(name)]
WITH_MAPS = [(name, shape) for name, shape in CASES if describe("encoder", name).attributes["has_maps"]]
WITH_LAYERS = [name for name in names("encoder") if describe("encoder", name).attributes["layer_names"]]


@pytest.mark.parametrize("name", names("encoder"))
def test_an_encoder_reads_some_shape(name: str) -> None:
    assert shapes_of(name), f"raises UserError at each of {sorted({*chain(*SHAPES.values())})}"


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_batch_becomes_one_float32_feature_vector_a_clip(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape)
    features = encoder(torch.randn(3, *shape))
    assert features.shape == (3, encoder.feature_dim)
    assert features.dtype == torch.float32


ANY_OF_FAMILY = {
    "r3d": [{"depth": depth, "width": 1} for depth in (18, 152)],
    "r2plus1d": [{"depth": depth, "width": 1} for depth in (18, 152)],
    "ip_csn": [{"depth": depth, "width": 1} for depth in (26, 152)],
    "inception_v3": [{"width": 2, "branch": True}],
    "mlp": [{"hidden": [2] * 16}],
    "skip_mlp": [{"depth": 1024, "width": 1}],
}
"""Options that together have every layer."""


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_the_layers_that_an_encoder_declares_are_those_of_its_modules(name: str) -> None:
    shape = (3, 107, 107) if name == "inception_v3" else shapes_of(name)[0]
    real: set[str] = set()
    for options in ANY_OF_FAMILY.get(name, [{}]):
        with torch.device("meta"):
            real |= {layer for layer, _ in load("encoder", {name: options}, shape).named_modules()} - {""}
    templates = describe("encoder", name).attributes["layer_names"]
    assert real <= set(spread(templates))
    for template in templates if not name.startswith("resnet") or name == "resnet152" else ():
        assert real & set(spread((template,))), template  # none is of another network
    if name in ("conv1net", "conv2net", "inception_v3", "mlp", "mnist_convnet", "skip_mlp"):
        assert real == set(spread(templates))


@pytest.mark.parametrize(("name", "shape"), [case for case in CASES if case[0] not in WITHOUT_PARAMETERS])
def test_finite_gradients_reach_every_parameter(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape)
    encoder(torch.randn(3, *shape)).square().sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_in_evaluation_a_clip_does_not_depend_on_its_batch(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape).eval()
    inputs = torch.randn(3, *shape)
    torch.testing.assert_close(encoder(inputs[1:2]), encoder(inputs)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_bfloat16_autocast_gives_nearly_the_same_features(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape).eval()
    inputs = torch.randn(3, *shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(inputs).float()
    exact = encoder(inputs)
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", [name for name in names("encoder") if feature_dim({name: OPTIONS.get(name, {})})])
def test_the_length_of_features_is_told_by_the_source(name: str) -> None:
    assert feature_dim({name: OPTIONS.get(name, {})}) == build(name, shapes_of(name)[0]).feature_dim


def test_every_shipped_encoder_tells_the_length_of_its_features() -> None:
    untold = [name for name in SHAPES if feature_dim({name: OPTIONS.get(name, {})}) is None]
    assert tuple(untold) == KNOWN_ONCE_BUILT


@pytest.mark.parametrize(("name", "shape"), [case for case in WITH_MAPS if case[0] in SHAPES])
def test_a_cut_encoder_gives_the_maps_that_its_last_stage_would_take(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape).eval()
    taken: list[torch.Tensor] = []
    encoder.layer4.register_forward_pre_hook(lambda _, maps: taken.append(maps[0]))  # type: ignore[union-attr]
    inputs = torch.randn(3, *shape)
    encoder(inputs)
    encoder.cut()
    maps = encoder(inputs)
    num_positions = 3 if len(shape) == 4 else 2
    assert maps.shape[:2] == (3, encoder.feature_dim)
    assert maps.dim() == 2 + num_positions
    if taken[0].dim() != maps.dim():  # frames apart: one image each
        maps = maps.transpose(1, 2).flatten(0, 1)
    assert torch.equal(maps, taken[0])


@pytest.mark.parametrize(("name", "shape"), WITH_MAPS)
def test_stages_whose_maps_come_back_give_the_features_of_a_whole_pass(name: str, shape: tuple[int, ...]) -> None:
    encoder, inputs = build(name, shape).eval(), torch.randn(3, *shape)
    stages = encoder.stages(inputs)
    maps = next(stages)
    for num_channels in encoder.stage_dims:
        assert maps.shape[:2] == (3, num_channels)
        assert maps.dim() == (5 if len(shape) == 4 else 4)
        maps = stages.send(maps)
    assert torch.equal(maps, encoder(inputs))
    with pytest.raises(StopIteration):
        next(stages)


@pytest.mark.parametrize(("name", "shape"), WITH_MAPS)
def test_a_cut_encoder_keeps_no_parameter_without_a_gradient(name: str, shape: tuple[int, ...]) -> None:
    encoder = build(name, shape)
    num_parameters = len(list(encoder.parameters()))
    encoder.cut()
    assert len(list(encoder.parameters())) < num_parameters
    encoder(torch.randn(3, *shape)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in encoder.parameters())


@pytest.mark.parametrize("name", ["conv1net", "conv2net"])
def test_dropout_drops_about_half_of_the_features_in_training_only(name: str) -> None:
    shape = SHAPES[name][0]
    encoder = build(name, shape)
    inputs = torch.randn(64, *shape)
    alive = encoder.eval()(inputs) > 0
    dropped = alive & (encoder.train()(inputs) == 0)
    # 64 * 128 features of which some thousand are alive: the standard error is below 0.01.
    assert dropped.sum() / alive.sum() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("conv1net", (1, 320)),
        ("conv1net", (328,)),
        ("conv2net", (28, 28)),
        ("resnet18", (320,)),
        ("resnet50", (2, 3, 4, 5, 6)),
        ("r3d", (3, 40, 40)),
        ("ip_csn", (40, 40)),
        ("mnist_convnet", (28, 28)),
        ("inception_v3", (3, 74, 80)),
        ("identity", (3, 4, 5)),
        ("mlp", (3, 4, 5)),
        ("timm", (320,)),
    ],
)
def test_a_shape_it_cannot_read_is_the_users_error(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"reads \[.*found \["):
        build(name, shape)
