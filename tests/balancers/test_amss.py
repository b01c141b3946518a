from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from affine import DIMS, gradients, start
from avbalance.balancers.amss import mask
from avbalance.balancers.base import Balancer
from avbalance.train import build_balancer
from avbalance.types import Batch

PATTERNS = {"visual": (1, 8, 8), "audio": (160,)}
GENERATOR = torch.Generator().manual_seed(0)
INPUTS = {m: torch.randn(6, *shape, generator=GENERATOR) for m, shape in PATTERNS.items()}
CLIPS = Batch(INPUTS, torch.arange(6) % 3, torch.arange(6))


def convolutional(balancer: str) -> Balancer:
    settings = {
        "encoder": {"visual": {"conv2net": {"dropout": 0.0}}, "audio": {"conv1net": {"dropout": 0.0}}},
        "fusion": "concat",
        "head": "linear",
        "loss": "joint",
        "balancer": balancer,
        "seed": 0,
    }
    description = {"num_classes": 3, "modalities": {m: {"shape": shape} for m, shape in PATTERNS.items()}}
    return build_balancer(settings, description, torch.device("cpu"))


def kept(gradient: Tensor) -> Tensor:
    return gradient.flatten(1).any(dim=1)


def test_filters_of_all_convolutions_but_the_first_are_drawn_and_the_others_gradients_are_0() -> None:
    balancer, joint = start(convolutional("amss"), CLIPS), convolutional("joint").train()
    found, expected = gradients(balancer, CLIPS), gradients(joint, CLIPS)
    keep = dict(zip(PATTERNS, balancer.sum_k, strict=True))
    masked = {"model.encoders.visual.conv2.weight", "model.encoders.audio.conv2.weight"}
    assert masked < set(found), sorted(found)
    for name, gradient in found.items():
        if name in masked:
            remains = kept(gradient)
            m = name.split(".")[2]
            assert remains.sum() == np.ceil(keep[m].item() * len(gradient))
            assert torch.equal(gradient[remains], expected[name][remains])
        else:
            assert torch.equal(gradient, expected[name]), name


def test_filters_are_drawn_without_replacement_in_proportion_to_their_squared_gradients() -> None:
    p, size, num_draws = [0.4, 0.3, 0.2, 0.1], 2, 4000
    expected = np.zeros(4)
    for order in permutations(range(4), size):
        chance, left = 1.0, 1.0
        for each in order:
            chance, left = chance * p[each] / left, left - p[each]
        expected[list(order)] += chance
    gradient = torch.tensor(p).sqrt()[:, None, None] * torch.ones(4, 1, 1)
    torch.manual_seed(0)
    draws = torch.stack([kept(mask(gradient, torch.tensor(size / 4), plus=False)) for _ in range(num_draws)])
    assert (draws.sum(dim=1) == size).all()
    np.testing.assert_allclose(draws.float().mean(dim=0), expected, atol=0.03)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_plus_divides_kept_gradients_by_p_and_one_over_f(share: float) -> None:
    gradient = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(0))
    squares = gradient.square().sum(dim=(1, 2))
    torch.manual_seed(0)
    found = mask(gradient, torch.tensor(share), plus=True)
    assert kept(found).sum() == 10 * share
    factors = 1 / (squares / squares.sum() + 1 / 10)
    torch.testing.assert_close(found[kept(found)], (gradient * factors[:, None, None])[kept(found)])


def test_shares_follow_losses_and_entropies() -> None:
    balancer = start(convolutional("amss"), CLIPS)
    output = balancer(CLIPS)
    t = {}
    for m, z_m in balancer.model.masked(output).items():
        f = output.features[m].softmax(dim=1)
        own = -z_m.log_softmax(dim=1)[torch.arange(6), CLIPS.labels].mean()
        t[m] = (np.log(3) - own + 0.5) / (-(f * f.log()).sum(dim=1).mean()) / 0.5
    for m, n in zip(DIMS, reversed(DIMS), strict=True):
        expected = t[n].exp() / (t[m].exp() + t[n].exp())
        torch.testing.assert_close(balancer.shares(output, CLIPS.labels)[m], expected)
