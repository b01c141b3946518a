"""What holds for every registered fusion."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from avbalance.errors import UserError
from avbalance.fusions.base import Fusion
from avbalance.registry import load
from avbalance.types import mean_over_positions
from registered import names

EQUAL = {"visual": 6, "audio": 6}
UNEQUAL = {"visual": 6, "audio": 4}
THREE = {"visual": 6, "audio": 6, "flow": 6}
POSITIONS = {"visual": (3, 4, 5), "audio": (7, 6), "flow": (2, 4, 3)}  # of the maps of fusions that read maps

SIDE_BY_SIDE: dict[str, dict[str, list[int]]] = {"film": {}, "mid_concat": {"trunk.0.weight": [1]}}
"""{name: {parameter: axes along which modalities stand side by side}} where these are not all axes of that length."""
BY_ROLE = {  # {name: parts of the first and of the second modality}
    "factorised_bilinear": ("W_img", "W_aud"),
    "film": ("F_x", "F_y"),
    "gated": ("F_x", "F_y"),
}


def build(name: str, dims: dict[str, int]) -> Fusion:
    torch.manual_seed(0)
    fusion: Fusion = load("fusion", name, dims)
    if fusion.joins_stages:
        fusion.join({modality: (dim,) for modality, dim in dims.items()})
    return fusion


def fused(fusion: Fusion, features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Streams of features; a fusion that joins stages has them as its maps first, with one junction."""
    for junction in fusion.junctions:
        features = mean_over_positions(junction(features))
    return fusion(features)


def random_features(name: str, dims: dict[str, int], num_clips: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    fusion = build(name, dims)
    positions = POSITIONS if fusion.reads_maps or fusion.joins_stages else dict.fromkeys(dims, ())
    return {
        modality: torch.randn(num_clips, dim, *positions[modality], generator=generator).requires_grad_()
        for modality, dim in dims.items()
    }


def side_by_side(value: Tensor, axis: int, dims: dict[str, int], order: list[str]) -> Tensor:
    """The blocks of modalities along an axis, in another order."""
    blocks = dict(zip(dims, value.split(list(dims.values()), dim=axis), strict=True))
    return torch.cat([blocks[modality] for modality in order], dim=axis)


def permuted_parameters(name: str, fusion: Fusion, dims: dict[str, int], order: list[str]) -> dict[str, Tensor]:
    """The parameters of the same fusion of modalities in another order."""
    state = fusion.state_dict()
    whole = sum(dims.values())
    axes_of = {key: [axis for axis, size in enumerate(value.shape) if size == whole] for key, value in state.items()}
    for key, axes in SIDE_BY_SIDE.get(name, axes_of).items():
        for axis in axes:
            state[key] = side_by_side(state[key], axis, dims, order)
    if name in BY_ROLE and order != list(dims):
        first, second = BY_ROLE[name]
        swap = {first: second, second: first}
        state = {".".join([swap.get(part, part) for part in key.split(".")]): value for key, value in state.items()}
    if name == "bilinear" and order != list(dims):
        state["W"] = state["W"].transpose(1, 2)
    return state


def admitted(name: str) -> list[dict[str, int]]:
    """The dims that a fusion says it takes."""
    fusion = build(name, EQUAL)
    choices = [EQUAL]
    if not fusion.equal_dims:
        choices.append(UNEQUAL)
    if not fusion.two_modalities:
        choices.append(THREE)
    return choices


CASES = [(name, dims) for name in names("fusion") for dims in admitted(name)]


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_streams_have_the_declared_names_and_shapes(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    streams = fused(fusion, random_features(name, dims))
    assert {stream: tuple(value.shape) for stream, value in streams.items()} == {
        stream: (5, dim) for stream, dim in fusion.streams.items()
    }
    assert {value.dtype for value in streams.values()} == {torch.float32}
    assert list(streams) in ([*dims], ["joint"])


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_finite_gradients_reach_every_parameter_and_feature(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    features = random_features(name, dims)
    # The weights keep the sum of normalised features from being constant.
    sum(
        (value * torch.arange(value.numel()).view_as(value)).sum() for value in fused(fusion, features).values()
    ).backward()
    for key, value in [*fusion.named_parameters(), *features.items()]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_the_order_of_the_features_does_not_matter(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims)
    features = random_features(name, dims)
    torch.testing.assert_close(fused(fusion, dict(reversed(features.items()))), fused(fusion, features))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_clip_does_not_depend_on_its_batch(name: str, dims: dict[str, int]) -> None:
    fusion = build(name, dims).eval()
    features = random_features(name, dims)
    alone = fused(fusion, {modality: feature[2:3] for modality, feature in features.items()})
    torch.testing.assert_close(alone, {stream: value[2:3] for stream, value in fused(fusion, features).items()})


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_permuting_the_modalities_permutes_the_streams(name: str, dims: dict[str, int]) -> None:
    fusion, features = build(name, dims), random_features(name, dims)
    expected = fused(fusion, features)
    if name == "gated_units":  # its joint stream holds the modalities' features one after another
        (joint,) = expected.values()
    for order in map(list, permutations(dims)):
        other = build(name, {modality: dims[modality] for modality in order})
        other.load_state_dict(permuted_parameters(name, fusion, dims, order))
        if name == "gated_units":
            expected = {"joint": side_by_side(joint, 1, dims, order)}
        torch.testing.assert_close(fused(other, {modality: features[modality] for modality in order}), expected)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_batch_of_one_clip_trains(name: str, dims: dict[str, int]) -> None:
    fusion, features = build(name, dims), random_features(name, dims, num_clips=1)
    streams = fused(fusion, features)
    sum(value.square().sum() for value in streams.values()).backward()
    for key, value in [*streams.items(), *((key, parameter.grad) for key, parameter in fusion.named_parameters())]:
        assert value is not None, key
        assert value.isfinite().all(), key


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_modality_that_is_zero_gives_finite_streams_and_gradients(name: str, dims: dict[str, int]) -> None:
    for constant in dims:
        fusion, features = build(name, dims), random_features(name, dims)
        features[constant] = torch.zeros_like(features[constant]).requires_grad_()
        streams = fused(fusion, features)
        sum(value.square().sum() for value in streams.values()).backward()
        assert all(value.isfinite().all() for value in streams.values())
        for key, value in [*fusion.named_parameters(), *features.items()]:
            assert value.grad is not None, key
            assert value.grad.isfinite().all(), key


@pytest.mark.parametrize("name", names("fusion"))
def test_it_mixes_exactly_if_it_says_so(name: str) -> None:
    fusion = build(name, EQUAL)
    features = random_features(name, EQUAL)
    streams = fused(fusion, features)
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


@pytest.mark.parametrize("name", [name for name in names("fusion") if build(name, EQUAL).two_modalities])
def test_a_third_modality_where_two_are_meant_is_the_users_error(name: str) -> None:
    with pytest.raises(UserError, match="exactly two modalities, found visual, audio, flow"):
        build(name, THREE)


@pytest.mark.parametrize("name", [name for name in names("fusion") if build(name, EQUAL).equal_dims])
def test_unequal_features_where_equal_ones_are_needed_are_the_users_error(name: str) -> None:
    with pytest.raises(UserError, match="visual 6, audio 4"):
        build(name, UNEQUAL)


def test_one_modality_can_be_concatenated() -> None:
    feature = torch.randn(5, 6)
    assert build("concat", {"audio": 6})({"audio": feature}) == {"audio": feature}
