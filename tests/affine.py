"""Balancers on encoders of one linear layer, for tests of methods."""

import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe
from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.registry import Spec, load, parse
from avbalance.types import Batch, Loaders

DIMS = {"visual": 6, "audio": 4}


class Affine(Encoder):
    """One linear layer, which is also an auxiliary branch."""

    branch_layer = "linear"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.feature_dim = self.branch_dim = dim
        self.linear = nn.Linear(dim, dim)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


def build(spec: Spec, loss: Spec | None = None, head: Spec | None = None, num_classes: int = 3) -> Balancer:
    """A balancer with a loss and a head that it can be trained with, if none is given, and with its inputs."""
    torch.manual_seed(0)
    declared = describe("balancer", parse(spec)[0]).attributes
    required = declared["requires_loss"]
    fusion = load("fusion", "concat", DIMS)
    encoders = {modality: Affine(dim) for modality, dim in DIMS.items()}
    chosen = head or (*declared["requires_head"], "linear")[0]
    model = Model(encoders, fusion, load("head", chosen, fusion.streams, num_classes))
    own_loss = load("loss", loss or (*required, "joint")[0], DIMS, num_classes)
    balancer: Balancer = load("balancer", spec, model, own_loss)
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
