"""What holds for every registered fusion."""

import pytest
import torch
from torch import Tensor

from avbalance.cli import UserError
from avbalance.fusions import REGISTRY
from avbalance.fusions.base import Fusion
from avbalance.registry import load

EQUAL = {"visual": 6, "audio": 6}
UNEQUAL = {"visual": 6, "audio": 4}
THREE = {"visual": 6, "audio": 6, "flow": 6}


def build(name: str, dims: dict[str, int]) -> Fusion:
    torch.manual_seed(0)
    fusion: Fusion = load("fusion", name, dims)
    return fusion


def random_features(dims: dict[str, int]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {modality: torch.randn(5, dim, generator=generator).requires_grad_() for modality, dim in dims.items()}


def admitted(name: str) -> list[dict[str, int]]:
    """The dims that a fusion says it takes."""
    fusion = build(name, EQUAL)
    choices = [EQUAL]
    if not fusion.equal_dims:
        choices.append(UNEQUAL)
    if not fusion.two_modalities:
        choices.append(THREE)
    return choices


CASES = [(name, dims) for name in REGISTRY for dims in admitted(name)]


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_streams_have_the_declared_names_and_shapes(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    streams = fusion(random_features(dims))
    assert {stream: tuple(value.shape) for stream, value in streams.items()} == {
        stream: (5, dim) for stream, dim in fusion.streams.items()
    }
    assert {value.dtype for value in streams.values()} == {torch.float32}
    assert list(streams) in ([*dims], ["joint"])


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_finite_gradients_reach_every_parameter_and_feature(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    features = random_features(dims)
    # The weights keep the sum of normalised features from being constant.
    sum((value * torch.arange(value.numel()).view_as(value)).sum() for value in fusion(features).values()).backward()
    for key, value in [*fusion.named_parameters(), *features.items()]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_the_order_of_the_features_does_not_matter(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    features = random_features(dims)
    torch.testing.assert_close(fusion(dict(reversed(features.items()))), fusion(features))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_clip_does_not_depend_on_its_batch(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    features = random_features(dims)
    alone = fusion({modality: feature[2:3] for modality, feature in features.items()})
    torch.testing.assert_close(alone, {stream: value[2:3] for stream, value in fusion(features).items()})


@pytest.mark.parametrize("name", REGISTRY)
def test_it_mixes_exactly_if_it_says_so(name: str) -> None:
    fusion = build(name, EQUAL)
    features = random_features(EQUAL)
    streams = fusion(features)
    reached = {
        stream: {
            modality
            for modality, gradient in zip(
                features,
                torch.autograd.grad(
                    value.square().sum(), list(features.values()), retain_graph=True, materialize_grads=True
                ),
                strict=True,
            )
            if gradient.any()
        }
        for stream, value in streams.items()
    }
    if fusion.mixes:
        assert any(len(modalities) > 1 for modalities in reached.values())
    else:
        assert reached == {modality: {modality} for modality in EQUAL}


@pytest.mark.parametrize("name", [name for name in REGISTRY if build(name, EQUAL).two_modalities])
def test_a_third_modality_where_two_are_meant_is_the_users_error(name: str) -> None:
    with pytest.raises(UserError, match="exactly two modalities, found 3: visual, audio, flow"):
        build(name, THREE)


@pytest.mark.parametrize("name", [name for name in REGISTRY if build(name, EQUAL).equal_dims])
def test_unequal_features_where_equal_ones_are_needed_are_the_users_error(name: str) -> None:
    with pytest.raises(UserError, match="'visual': 6, 'audio': 4"):
        build(name, UNEQUAL)


def test_one_modality_can_be_concatenated() -> None:
    feature = torch.randn(5, 6)
    assert build("concat", {"audio": 6})({"audio": feature}) == {"audio": feature}
