"""Balancers on encoders of one linear layer, for tests of methods."""

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe
from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.registry import Spec, load, parse
from avbalance.types import Batch, Loaders

DIMS = {"visual": 6, "audio": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "aug": {"every": 1, "train_added": True},
    "fine_tuning": {"frozen_epochs": 0},  # frozen encoders have no gradient
    "greedy": {"start": 0},
    "mslr": {"rates": {"audio": 0.5}},
    "reconboost": {"first": 1, "second": 1},
}
"""Options with which a method does what it is for, where the default does not."""


class Affine(Encoder):
    """One linear layer, which is also an auxiliary branch and a stage with maps of one position."""

    branch_layer = "linear"

    def __init__(self, dim: int, feature_dim: int | None = None) -> None:
        super().__init__()
        self.feature_dim = self.branch_dim = feature_dim or dim
        self.stage_dims = (self.feature_dim,)
        self.linear = nn.Linear(dim, self.feature_dim)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features

    def stages(self, inputs: Tensor) -> Generator[Tensor, Tensor, None]:
        maps = yield self.linear(inputs)[:, :, None]
        yield maps.squeeze(2)


def build(spec: Spec, loss: Spec | None = None, head: Spec | None = None, num_classes: int = 3) -> Balancer:
    """A balancer with a loss and a head that it can be trained with, if none is given, and with its inputs."""
    torch.manual_seed(0)
    name, options = parse(spec)
    declared = describe("balancer", name).attributes
    required = declared["requires_loss"]
    chosen = head or (*declared["requires_head"], "linear")[0]
    is_equal = describe("head", parse(chosen)[0]).attributes["equal_dims"]
    dims = dict.fromkeys(DIMS, 5) if is_equal else DIMS
    fusion = load("fusion", (*declared["requires_fusion"], "concat")[0], dims)
    encoders = {modality: Affine(dim, dims[modality]) for modality, dim in DIMS.items()}
    if fusion.joins_stages:
        fusion.join({modality: encoder.stage_dims for modality, encoder in encoders.items()})
    model = Model(encoders, fusion, load("head", chosen, fusion.streams, num_classes))
    own_loss = load("loss", loss or (*required, "joint")[0], dims, num_classes)
    balancer: Balancer = load("balancer", {name: options or OPTIONS.get(name, {})}, model, own_loss)
    balancer.expect(num_clips=8)
    if balancer.uses_teachers:
        balancer.receive_teachers({modality: alone(modality, num_classes) for modality in DIMS})
    if balancer.uses_blend:
        values = {"joint": 0.5, "visual": 0.25, "audio": 0.25}
        balancer.receive({"weights": values, "ogr": values, "fallback": False})
    return balancer


def alone(modality: str, num_classes: int = 3) -> Model:
    """A model of one modality, as a teacher is."""
    fusion = load("fusion", "concat", {modality: DIMS[modality]})
    model = Model({modality: Affine(DIMS[modality])}, fusion, load("head", "linear", fusion.streams, num_classes))
    return model.eval().requires_grad_(False)


def random_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = {modality: torch.randn(8, dim, generator=generator) for modality, dim in DIMS.items()}
    return Batch(inputs, torch.tensor([0, 1, 2, 0, 1, 2, 0, 1]), torch.arange(8))


def train_one_step(balancer: Balancer, batch: Batch, epoch: int = 0) -> dict[str, Tensor]:
    balancer.train()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.1)
    balancer.start_epoch(epoch, Loaders([batch], [batch], [batch]), optimizer)
    return balancer.step(batch, optimizer)
