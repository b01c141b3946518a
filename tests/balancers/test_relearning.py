from pathlib import Path

import numpy as np
import pytest
import torch

from affine import DIMS, build, packed_loaders, sgd
from avbalance.balancers.base import Balancer
from avbalance.types import Loaders

OPTIONS = {"relearning": {"every": 2, "times": 2, "lam": 5.0}}


def train(balancer: Balancer, loaders: Loaders, epochs: range, optimizer: torch.optim.Optimizer) -> None:
    for epoch in epochs:
        balancer.train().start_epoch(epoch, loaders, optimizer)
        for batch in loaders.plain:
            balancer.step(batch, optimizer)


def test_a_run_that_is_killed_between_two_restarts_ends_with_the_same_bits(tmp_path: Path) -> None:
    loaders = packed_loaders(tmp_path)
    loaders.val = packed_loaders(tmp_path / "val", num_clips=9).val
    whole, killed, resumed = (build(OPTIONS) for _ in range(3))
    train(whole, loaders, range(7), sgd(whole))
    first = sgd(killed)
    train(killed, loaders, range(4), first)  # restarts are before the epochs 3 and 5
    for weight in resumed.parameters():
        weight.data += 1  # another start, which the checkpoint replaces
    resumed.load_state_dict(killed.state_dict())
    second = sgd(resumed)
    second.load_state_dict(first.state_dict())
    train(resumed, loaders, range(4, 7), second)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert all(value > 0 for name, value in whole.curves().items() if name.startswith("alpha"))


def test_an_encoder_moves_by_alpha_before_the_epochs_that_are_due(tmp_path: Path) -> None:
    balancer, loaders = build(OPTIONS), packed_loaders(tmp_path)
    started = {name: weight.detach().clone() for name, weight in balancer.model.encoders.named_parameters()}
    purities = {"plain": dict.fromkeys(DIMS, 0.9), "val": {"visual": 0.7, "audio": 0.9}}
    balancer.purities = lambda loader: purities["plain" if loader is loaders.plain else "val"]
    loaders.val = loaders.train
    balancer.start_epoch(0, loaders, sgd(balancer))
    for epoch in range(1, 9):
        for weight in balancer.model.encoders.parameters():
            weight.data += 1
        before = {name: weight.detach().clone() for name, weight in balancer.model.encoders.named_parameters()}
        balancer.start_epoch(epoch, loaders, sgd(balancer))
        for name, weight in balancer.model.encoders.named_parameters():
            alpha = np.tanh(5 * 0.2) if epoch in (3, 5) and name.startswith("visual") else 0.0
            torch.testing.assert_close(weight.data, alpha * started[name] + (1 - alpha) * before[name])


def test_a_gap_that_is_weighed_without_end_restarts_the_encoder_exactly() -> None:
    balancer = build("relearning")
    balancer.start_epoch(0, Loaders([], [], []), sgd(balancer))
    started = [weight.detach().clone() for weight in balancer.model.encoders["audio"].parameters()]
    for weight in balancer.model.parameters():
        weight.data += 0.3
    balancer.move_back("audio", float(np.tanh(1e3 * 0.1)))
    for weight, first in zip(balancer.model.encoders["audio"].parameters(), started, strict=True):
        assert torch.equal(weight, first)


@pytest.mark.parametrize("every", [1, 20])
def test_patience_counts_from_the_last_restart(every: int) -> None:
    balancer = build({"relearning": {"every": every, "times": 2}})
    assert balancer.earliest_stop == 2 * every + 1
