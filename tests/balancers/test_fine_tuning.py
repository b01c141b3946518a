import pytest
import torch
from torch import nn

from affine import DIMS, build, random_batch, start
from avbalance.balancers.base import Balancer
from avbalance.training.optimization import make_optimizer, set_learning_rate

TRAINING = {"learning_rate": 0.1, "weight_decay": 0.1, "clip_norm": None, "optimizer": "sgd", "momentum": 0.9}
SCHEDULE = {"decay_epochs": None, "decay_factor": 1.0}


def with_norms(frozen_epochs: int | None) -> Balancer:
    balancer = build({"fine_tuning": {"frozen_epochs": frozen_epochs}})
    for m, dim in DIMS.items():
        balancer.model.encoders[m] = nn.Sequential(balancer.model.encoders[m], nn.BatchNorm1d(dim))
    return balancer


@pytest.mark.parametrize(("frozen_epochs", "expected"), [(None, [True] * 3), (2, [True, True, False])])
def test_frozen_encoders_keep_their_weights_and_running_means(frozen_epochs: int | None, expected: list[bool]) -> None:
    balancer, batch = with_norms(frozen_epochs), random_batch()
    optimizer = make_optimizer(balancer.groups(), TRAINING)
    for epoch, is_frozen in enumerate(expected):
        before = {name: value.clone() for name, value in balancer.model.state_dict().items()}
        start(balancer, batch, epoch)
        balancer.step(batch, optimizer)
        for name, value in balancer.model.state_dict().items():
            is_same = torch.equal(value, before[name])
            assert is_same == (is_frozen and name.startswith("encoders.")), name


def test_encoders_have_a_tenth_of_the_learning_rate() -> None:
    balancer = build({"fine_tuning": {"frozen_epochs": 0}})
    optimizer = make_optimizer(balancer.groups(), TRAINING)
    set_learning_rate(optimizer, {**TRAINING, **SCHEDULE}, 0)
    rate_of = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in balancer.named_parameters():
        assert rate_of[id(weight)] == pytest.approx(0.01 if "encoders" in name else 0.1)
