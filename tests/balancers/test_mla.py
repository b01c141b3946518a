from copy import deepcopy

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from affine import DIMS, build, random_batch, start
from avbalance.balancers.base import Balancer
from avbalance.errors import UserError
from avbalance.registry import load
from avbalance.training.optimization import make_optimizer
from avbalance.types import Batch

ORDERS = [["visual", "audio"], ["audio", "visual"]]
LR, MOMENTUM = 0.1, 0.9


def alternate(
    balancer: Balancer, batches: list[Batch], order: list[str], modify: bool
) -> dict[str, list[torch.Tensor]]:
    """The weights after steps that are written out, with momentum, and with recursive least squares in NumPy."""
    weights = {
        m: [weight.detach().clone().requires_grad_() for weight in balancer.model.encoders[m].parameters()]
        for m in DIMS
    }
    head = [weight.detach().clone().requires_grad_() for weight in balancer.head.parameters()]
    speeds: dict[int, torch.Tensor] = {}
    P, num_steps = np.eye(5), 0
    for place, batch in enumerate(batches):
        features = {m: linear(batch.inputs[m], *weights[m]) for m in DIMS}
        for m in order:
            L = cross_entropy(linear(features[m], *head), batch.labels)
            own = [*weights[m], *head]
            found = list(torch.autograd.grad(L, own))
            if modify and num_steps > 0:
                r = features[m].detach().numpy().mean(axis=0, dtype=np.float64)
                k = P @ r
                P = P - np.outer(k, k) / (0.1 ** (1 + place / len(batches)) + r @ k)
                found[2] = torch.from_numpy(found[2].numpy() @ P.T).float()
            num_steps += 1
            for weight, gradient in zip(own, found, strict=True):
                speeds[id(weight)] = MOMENTUM * speeds.get(id(weight), 0) + gradient
                weight.data -= LR * speeds[id(weight)]
    return {**weights, "head": head}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("modify", [False, True])
def test_an_epoch_is_a_step_for_each_modality_in_turn(order: list[str], modify: bool) -> None:
    balancer, batches = build({"mla": {"order": order, "modify": modify}}), [random_batch(seed=s) for s in range(3)]
    expected = alternate(deepcopy(balancer), batches, order, modify)
    start(balancer, batches[0])
    balancer.num_batches = len(batches)
    training = {"optimizer": "sgd", "learning_rate": LR, "momentum": MOMENTUM, "weight_decay": 0.0, "clip_norm": None}
    optimizer = make_optimizer(balancer.groups(), training)  # that of runs, whose step is fused
    for batch in batches:
        balancer.step(batch, optimizer)
    for part, weights in expected.items():
        module = balancer.head if part == "head" else balancer.model.encoders[part]
        for found, weight in zip(module.parameters(), weights, strict=True):
            torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-5)


def test_an_order_without_a_modality_is_refused() -> None:
    with pytest.raises(UserError, match="allowed: all of visual, audio, once"):
        build({"mla": {"order": ["audio", "audio"]}})


def test_a_prediction_by_entropies_does_not_depend_on_the_other_clips() -> None:
    head = load("head", {"shared": {"combine": "entropy"}}, {"audio": 4, "visual": 4}, 3)
    streams = {m: torch.randn(6, 4, generator=torch.Generator().manual_seed(place)) for place, m in enumerate(DIMS)}
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    permuted = head({m: stream[order] for m, stream in streams.items()})
    torch.testing.assert_close(permuted, head(streams)[order])
    same = {"audio": streams["audio"], "visual": streams["audio"]}
    torch.testing.assert_close(head(same), head.classifier(streams["audio"]))
