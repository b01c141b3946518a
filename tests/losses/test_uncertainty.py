from math import exp, isfinite

import pytest
import torch
from torch import nn

from avbalance.errors import UserError
from avbalance.losses.uncertainty import Uncertainty
from avbalance.types import Output

DIMS = {"visual": 2, "audio": 3}
LABELS = torch.tensor([0, 1])
HEADS = ("joint", *DIMS)


def output(margin: float) -> Output:
    """The true class of both clips is ahead by this much in every head of `build`."""
    features = {m: torch.eye(2, dim) for m, dim in DIMS.items()}
    return Output(features, features, margin * torch.eye(2))


def build(margin: float, bound: float = 3.0) -> Uncertainty:
    loss = Uncertainty(DIMS, 2, bound=bound)
    for head in loss.heads.values():
        head.linear.weight.data = margin * torch.eye(2, head.linear.in_features)
        nn.init.zeros_(head.linear.bias)
    return loss


def learn(loss: Uncertainty, margin: float, optimizer: torch.optim.Optimizer, num_steps: int = 2000) -> None:
    """Learn the weights alone: the losses stay what they are."""
    for _ in range(num_steps):
        optimizer.zero_grad()
        sum(loss(output(margin), LABELS).values()).backward()
        optimizer.step()


def test_all_weights_start_at_one() -> None:
    loss, margin = build(1.0), 1.0
    assert loss.curves() == dict.fromkeys([f"weight_{name}" for name in HEADS], 1.0)
    terms = loss(output(margin), LABELS)
    # CE = ln(1 + exp(-1)) in every head.
    assert {name: terms[name].item() for name in HEADS} == pytest.approx(dict.fromkeys(HEADS, 0.3132617))
    assert terms["uncertainty"].item() == 0


def test_the_weight_of_a_constant_loss_is_learned_to_be_half_its_inverse() -> None:
    loss, margin = build(1.0), 1.0
    learn(loss, margin, torch.optim.SGD(loss.r.parameters(), lr=0.1), num_steps=500)
    # 1 / (2 * 0.3132617)
    assert loss.curves() == pytest.approx(dict.fromkeys([f"weight_{name}" for name in HEADS], 1.5961093), rel=1e-4)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad])
def test_weights_of_losses_of_zero_stay_bounded(optimizer: type[torch.optim.Optimizer]) -> None:
    margin = 1000.0  # ln(1 + exp(-1000)) is 0 in float32
    loss = build(margin)
    learn(loss, margin, optimizer(loss.r.parameters(), lr=0.1))  # type: ignore[call-arg]
    terms = loss(output(margin), LABELS)
    assert all(2 < weight <= exp(3) * (1 + 1e-6) for weight in loss.curves().values())
    assert terms["uncertainty"].item() >= -3 * 3 / 2 - 1e-5
    assert {terms[name].item() for name in HEADS} == {0.0}


def test_without_a_bound_to_speak_of_they_would_diverge() -> None:
    margin = 1000.0
    loss = build(margin, bound=1e6)
    learn(loss, margin, torch.optim.SGD(loss.r.parameters(), lr=0.1))
    # Each step lowers s by 0.1 / 2: after 2,000 steps exp(100) would be the weight, which float32 does not hold.
    assert not any(isfinite(weight) for weight in loss.curves().values())


def test_a_weight_at_its_bound_finds_back_when_the_loss_returns() -> None:
    loss = build(1000.0)
    optimizer = torch.optim.SGD(loss.r.parameters(), lr=0.1)
    learn(loss, 1000.0, optimizer)
    for head in loss.heads.values():
        head.linear.weight.data /= 1000
    learn(loss, 1.0, optimizer)
    assert loss.curves() == pytest.approx(dict.fromkeys([f"weight_{name}" for name in HEADS], 1.5961093), rel=1e-3)


@pytest.mark.parametrize("bound", [0.0, -1.0])
def test_a_bound_that_leaves_nothing_is_the_users_error(bound: float) -> None:
    with pytest.raises(UserError, match=r"^loss Uncertainty has bound .*; allowed: more than 0$"):
        Uncertainty(DIMS, 2, bound=bound)
