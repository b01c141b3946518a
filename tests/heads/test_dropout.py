from typing import Any

import pytest
import torch
from torch import Tensor

from avbalance.errors import UserError
from avbalance.heads.cosine import Cosine
from avbalance.heads.dropout import Dropout
from avbalance.heads.linear import Linear
from avbalance.registry import load

DIMS = {"visual": 200, "audio": 100}


def seen_by_the_other_head(head: Dropout, streams: dict[str, Tensor]) -> dict[str, Tensor]:
    seen: list[dict[str, Tensor]] = []
    head.head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    head(streams)
    return seen[0]


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_in_training_each_element_is_dropped_by_itself_and_the_others_make_up_for_it(probability: float) -> None:
    torch.manual_seed(0)
    head = Dropout(DIMS, 3, probability=probability)
    seen = seen_by_the_other_head(head, {stream: torch.ones(50, dim) for stream, dim in DIMS.items()})
    for stream, dim in DIMS.items():
        values = seen[stream]
        assert values.shape == (50, dim)
        torch.testing.assert_close(values.unique(), torch.tensor([0, 1 / (1 - probability)]))
        dropped = (values == 0).float()
        # At least 5,000 draws: a standard deviation of the share is at most sqrt(.25 / 5000) = .007.
        assert dropped.mean().item() == pytest.approx(probability, abs=0.03)
        # No clip and no feature is spared or lost as a whole, as it would be if draws were shared.
        assert dropped.mean(dim=0).min() > 0
        assert dropped.mean(dim=0).max() < 1
        assert dropped.mean(dim=1).min() > 0
        assert dropped.mean(dim=1).max() < 1


@pytest.mark.parametrize("spec", ["linear", {"cosine": {"scale": 3.0}}, "mlp"])
def test_in_evaluation_and_at_probability_zero_it_is_the_other_head(spec: Any) -> None:  # noqa: ANN401
    torch.manual_seed(0)
    streams = {stream: torch.randn(5, dim) for stream, dim in DIMS.items()}
    other = load("head", spec, DIMS, 3)
    for head in (Dropout(DIMS, 3, head=spec).eval(), Dropout(DIMS, 3, head=spec, probability=0.0).train()):
        head.head.load_state_dict(other.state_dict())
        assert torch.equal(head(streams), other(streams))


@pytest.mark.parametrize("other", [Linear, Cosine])
def test_shares_and_weights_are_those_of_the_other_head_in_training_too(other: type[Linear] | type[Cosine]) -> None:
    torch.manual_seed(0)
    streams = {stream: torch.randn(5, dim) for stream, dim in DIMS.items()}
    inner = other(DIMS, 3)
    head = Dropout(DIMS, 3, head=other.__name__.lower()).train()
    head.head.load_state_dict(inner.state_dict())
    torch.testing.assert_close(head.split(streams), inner.split(streams), rtol=0, atol=0)
    torch.testing.assert_close(head.weights, inner.weights, rtol=0, atol=0)


@pytest.mark.parametrize("other", ["mlp", "two_layer"])
def test_a_head_that_is_no_sum_over_streams_has_neither_shares_nor_weights(other: str) -> None:
    head = Dropout(DIMS, 3, head=other)
    assert head.split({stream: torch.randn(5, dim) for stream, dim in DIMS.items()}) is None
    assert getattr(head, "weights", None) is None


def test_a_stream_that_is_dropped_whole_gives_finite_cosines_and_gradients() -> None:
    torch.manual_seed(0)
    head = Dropout({"visual": 1, "audio": 1}, 3, head="cosine", probability=0.9)
    streams = {stream: torch.randn(40, 1).requires_grad_() for stream in ("visual", "audio")}
    logits = head(streams)
    assert (logits == 0).all(dim=1).any()  # both streams of a clip: .9 * .9 of the clips
    logits.sum().backward()
    for value in (logits, streams["visual"].grad, streams["audio"].grad, head.head.linear.weight.grad):
        assert value is not None
        assert value.isfinite().all()


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_probability_that_leaves_nothing_is_the_users_error(probability: float) -> None:
    with pytest.raises(UserError, match=r"^head Dropout has probability .*; allowed: from 0 to less than 1$"):
        Dropout(DIMS, 3, probability=probability)
