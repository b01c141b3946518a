"""What holds for every registered balancer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers import REGISTRY
from avbalance.balancers.base import Balancer
from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.registry import load
from avbalance.signature import describe
from avbalance.types import Batch, Loaders

# Settings at which a method must be plain joint training, bit for bit.
NEUTRAL: dict[str, dict[str, Any]] = {
    "joint": {},
    "modality_dropout": {"probability": 0.0},
    "ogm_ge": {"start": 1, "end": 2},
}
DIMS = {"visual": 6, "audio": 4}


class Affine(Encoder):
    """One linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.feature_dim = dim
        self.linear = nn.Linear(dim, dim)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


def build(spec: str | dict[str, dict[str, Any]], loss: str = "joint") -> Balancer:
    torch.manual_seed(0)
    fusion = load("fusion", "concat", DIMS)
    encoders = {modality: Affine(dim) for modality, dim in DIMS.items()}
    model = Model(encoders, fusion, load("head", "linear", fusion.streams, 3))
    balancer: Balancer = load("balancer", spec, model, load("loss", loss, DIMS, 3))
    return balancer


def loss_for(name: str) -> str:
    """A loss the method can be trained with."""
    required = describe("balancer", name).attributes["requires_loss"]
    return required[0] if required else "joint"


def random_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = {modality: torch.randn(8, dim, generator=generator) for modality, dim in DIMS.items()}
    return Batch(inputs, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), torch.arange(8))


def train_one_step(balancer: Balancer, batch: Batch) -> dict[str, Tensor]:
    balancer.train()
    balancer.start_epoch(0, Loaders([batch], [batch], [batch]))
    return balancer.step(batch, torch.optim.SGD(balancer.parameters(), lr=0.1))


@pytest.mark.parametrize("name", REGISTRY)
def test_a_step_gives_every_parameter_a_finite_gradient_and_moves_it(name: str) -> None:
    balancer = build(name, loss_for(name))
    before = {key: parameter.detach().clone() for key, parameter in balancer.named_parameters()}
    terms = train_one_step(balancer, random_batch())
    assert terms
    assert all(value.isfinite() and not value.requires_grad for value in terms.values())
    for key, parameter in balancer.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert not torch.equal(parameter, before[key]), key


@pytest.mark.parametrize("name", REGISTRY)
def test_in_evaluation_the_output_is_the_models(name: str) -> None:
    balancer, batch = build(name, loss_for(name)).eval(), random_batch()
    assert torch.equal(balancer(batch).logits, balancer.model(batch.inputs).logits)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_same_seed_gives_the_same_weights(name: str) -> None:
    trained = []
    for _ in range(2):
        balancer = build(name, loss_for(name))
        train_one_step(balancer, random_batch())
        trained.append(balancer.state_dict())
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_settings_give_the_gradients_of_joint_training(name: str) -> None:
    balancer, joint, batch = build({name: NEUTRAL[name]}), build("joint"), random_batch()
    assert train_one_step(balancer, batch) == train_one_step(joint, batch)
    for (key, ours), (_, plain) in zip(balancer.named_parameters(), joint.named_parameters(), strict=True):
        assert ours.grad is not None
        assert plain.grad is not None
        assert torch.equal(ours.grad, plain.grad), key


def test_joint_training_descends_the_sum_of_all_terms() -> None:
    balancer, batch = build("joint", loss="unimodal"), random_batch()
    output = balancer(batch)
    objective = sum(balancer.losses(output, batch).values())
    gradients = torch.autograd.grad(objective, list(balancer.parameters()))
    train_one_step(balancer, batch)
    torch.testing.assert_close([parameter.grad for parameter in balancer.parameters()], list(gradients))


def test_losses_compute_in_float32_under_autocast() -> None:
    balancer, batch = build("joint", loss="unimodal"), random_batch()
    output = balancer(batch)
    exact = balancer.loss(output, batch.labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert balancer.losses(output, batch) == exact
