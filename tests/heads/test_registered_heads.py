"""What holds for every registered head."""

import pytest
import torch
from torch import Tensor

from avbalance.heads import REGISTRY
from avbalance.heads.base import Head
from avbalance.registry import load

DIMS = [{"joint": 6}, {"visual": 6, "audio": 4}, {"visual": 6, "audio": 6, "flow": 3}]
CASES = [(name, dims) for name in REGISTRY for dims in DIMS]


def build(name: str, dims: dict[str, int]) -> tuple[Head, dict[str, Tensor]]:
    torch.manual_seed(0)
    return load("head", name, dims, 7), {stream: torch.randn(5, dim) for stream, dim in dims.items()}


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
    assert torch.equal(head(dict(reversed(streams.items()))), head(streams))


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_shares_where_there_are_any_sum_to_the_logits(name: str, dims: dict[str, int]) -> None:
    head, streams = build(name, dims)
    shares = head.split(streams)
    if shares is not None:
        assert list(shares) == list(dims)
        torch.testing.assert_close(sum(shares.values()), head(streams))


@pytest.mark.parametrize("name", REGISTRY)
def test_features_of_zeros_give_finite_logits_and_gradients(name: str) -> None:
    head, streams = build(name, {"visual": 6, "audio": 4})
    streams = {**streams, "audio": torch.zeros(5, 4, requires_grad=True)}
    logits = head(streams)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert streams["audio"].grad is not None
    assert streams["audio"].grad.isfinite().all()
