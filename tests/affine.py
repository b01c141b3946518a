"""Balancers on encoders of one linear layer, for tests of methods."""

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe
from avbalance.data.packed import Batches, Split
from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.registry import Spec, load, parse
from avbalance.types import Batch, Loaders

DIMS = {"visual": 6, "audio": 4}
OPTIONS: dict[str, dict[str, Any]] = {
    "aug": {"every": 1, "train_added": True},
    "fine_tuning": {"frozen_epochs": 0},  # frozen encoders have no gradient
    "greedy": {"start": 0},
    "midas": {"warmup": 0},
    "mslr": {"rates": [1.0, 0.5]},
    "reconboost": {"first": 1, "second": 1},
}
"""Options with which a method does what it is for, where the default does not."""
AT_WORK: dict[str, dict[str, Any]] = {
    **OPTIONS,
    "arl": {"asymmetric": True},
    "mla": {"modify": True},
    "opm": {"p_exe": 1.0},
    "pmr": {"mu": 0.1},
}
"""Options with which a method decides or computes most."""
LATE = 7
"""An epoch in which all methods are at work."""


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
    is_equal = declared["equal_dims"] or describe("head", parse(chosen)[0]).attributes["equal_dims"]
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


def random_batch(num_clips: int = 8, seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = {modality: torch.randn(num_clips, dim, generator=generator) for modality, dim in DIMS.items()}
    return Batch(inputs, torch.arange(num_clips) % 3, torch.arange(num_clips))


def packed_loaders(folder: Path, num_clips: int = 20, batch_size: int = 6) -> Loaders:
    """The loaders of a run's first epoch, over random clips on disk."""
    folder.mkdir(exist_ok=True)
    batch = random_batch(num_clips)
    np.save(folder / "train_label.npy", batch.labels.numpy())
    np.save(folder / "train_clip.npy", np.arange(len(batch.labels)))
    for modality, values in batch.inputs.items():
        np.save(folder / f"train_{modality}.npy", values.numpy())
    modalities = {modality: {"shape": [dim]} for modality, dim in DIMS.items()}
    (folder / "dataset.json").write_text(json.dumps({"num_classes": 3, "modalities": modalities}), encoding="utf-8")
    split = Split(dict.fromkeys(list(DIMS), folder), "train", torch.device("cpu"))
    plain = Batches(split, batch_size)
    return Loaders(Batches(split, batch_size, (0, 0)), plain, plain)


def sgd(balancer: Balancer, **options: float) -> torch.optim.SGD:
    return torch.optim.SGD(balancer.groups(), **{"lr": 0.1, **options})


def start(balancer: Balancer, batch: Batch, epoch: int = 0) -> Balancer:
    """The balancer in training mode at the start of an epoch."""
    balancer.train().start_epoch(epoch, Loaders([batch], [batch], [batch]), sgd(balancer))
    return balancer


def gradients(balancer: Balancer, batch: Batch) -> dict[str, Tensor]:
    """Gradients that the next step descends, {weight: gradient}; zeros for weights without any."""
    balancer.zero_grad(set_to_none=True)
    output = balancer(batch)
    balancer.backward(balancer.losses(output, batch), output, batch)
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        for name, weight in balancer.named_parameters()
    }


def train_one_step(balancer: Balancer, batch: Batch, epoch: int = 0) -> dict[str, Tensor]:
    balancer.train()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.1)
    balancer.start_epoch(epoch, Loaders([batch], [batch], [batch]), optimizer)
    return balancer.step(batch, optimizer)
