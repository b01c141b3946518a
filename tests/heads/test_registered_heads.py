"""What holds for every registered head."""

from collections.abc import Sequence
from itertools import permutations

import pytest
import torch
from torch import Tensor

from avbalance.heads.base import Head
from avbalance.registry import find, load
from registered import names

DIMS = [{"joint": 6}, {"visual": 6, "audio": 4}, {"visual": 6, "audio": 6, "flow": 3}]
EQUAL = [{"joint": 6}, {"visual": 5, "audio": 5}, {"visual": 3, "audio": 3, "flow": 3}]


def dims_of(name: str) -> list[dict[str, int]]:
    return EQUAL if find("head", name).equal_dims else DIMS


CASES = [(name, dims) for name in names("head") for dims in dims_of(name)]


def build(name: str, dims: dict[str, int]) -> tuple[Head, dict[str, Tensor]]:
    torch.manual_seed(0)
    return load("head", name, dims, 7), {stream: torch.randn(5, dim) for stream, dim in dims.items()}


def side_by_side(value: Tensor, dims: dict[str, int], order: Sequence[str]) -> Tensor:
    """A weight with a column for each feature of all streams, with the streams in another order; others as they are."""
    if value.dim() < 2 or value.shape[1] != sum(dims.values()):
        return value
    blocks = dict(zip(dims, value.split(list(dims.values()), dim=1), strict=True))
    return torch.cat([blocks[stream] for stream in order], dim=1)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_logits_are_float32_of_one_column_a_class(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    assert head(streams).shape == (5, 7)
    assert head(streams).dtype == torch.float32


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_finite_gradients_reach_every_parameter(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    head(streams).square().sum().backward()
    for key, parameter in head.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_the_order_of_the_streams_does_not_matter(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    torch.manual_seed(1)
    expected = head(streams)
    torch.manual_seed(1)
    assert torch.equal(head(dict(reversed(streams.items()))), expected)


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_permuting_the_streams_permutes_the_shares_and_leaves_the_logits(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    head.eval()  # no two draws of dropout are alike
    state = head.state_dict()
    for order in permutations(dims):
        other = load("head", name, {stream: dims[stream] for stream in order}, 7).eval()
        other.load_state_dict({key: side_by_side(value, dims, order) for key, value in state.items()})
        torch.testing.assert_close(other(streams), head(streams))
        torch.testing.assert_close(other.split(streams), head.split(streams))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_shares_where_there_are_any_sum_to_the_logits(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    head.eval()
    shares = head.split(streams)
    if shares is not None:
        assert list(shares) == list(dims)
        torch.testing.assert_close(sum(shares.values()), head(streams))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_an_embedding_holds_all_streams_and_has_length_one(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    embedding = head.embedding(streams)
    assert embedding.shape == (5, sum(dims.values()))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(5))
    assert torch.equal(head.embedding(streams), embedding)  # no draw of dropout


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_a_batch_of_one_clip_trains(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    logits = head({stream: value[:1] for stream, value in streams.items()})
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_weights_where_there_are_any_are_of_one_row_a_class_for_each_stream(name: str, dims: dict[str, int]) -> None:
    weights = getattr(build(name, dims)[0], "weights", None)
    if weights is not None:
        assert {stream: W.shape for stream, W in weights.items()} == {stream: (7, dim) for stream, dim in dims.items()}


@pytest.mark.parametrize("name", names("head"))
def test_features_of_zeros_give_finite_logits_and_gradients(name: str) -> None:
    dims = dims_of(name)[1]
    head, streams = build(name, dims)
    streams = {**streams, "audio": torch.zeros(5, dims["audio"], requires_grad=True)}
    logits = head(streams)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert streams["audio"].grad is not None
    assert streams["audio"].grad.isfinite().all()
