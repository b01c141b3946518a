"""Joint training, and the six stages that a balancing method may change."""

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Batch, Loader, Loaders, Output


class Balancer(nn.Module):
    """Joint training: every modality is trained by the one objective.

    A method overrides one or two stages. All its state lives in parameters, buffers or submodules, so
    that a checkpoint holds it. A subclass takes `model` and `loss` first; its options follow by keyword.

    Attributes:
        requires_loss: Losses this method can be trained with, by name; empty for any.
    """

    requires_loss: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def start_epoch(self, epoch: int, loaders: Loaders) -> None:
        """Look at the whole data before epoch `epoch` (from 0)."""

    def batches(self, loader: Loader) -> Iterator[Batch]:
        """Data level: the batches of one training epoch."""
        yield from loader

    def forward(self, batch: Batch) -> Output:
        """Feed-forward level."""
        output: Output = self.model(batch.inputs)
        return output

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Objective level: named, already weighted scalar terms; their sum is the objective.

        In float32 also under autocast, for a loss may own parameters.
        """
        with torch.autocast(output.logits.device.type, enabled=False):
            terms: dict[str, Tensor] = self.loss(output, batch.labels)
        return terms

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Optimisation level: leaves gradients in `.grad`."""
        sum(losses.values(), start=output.logits.new_zeros(())).backward()

    def step(self, batch: Batch, optimizer: Optimizer) -> dict[str, Tensor]:
        """One update; returns the detached loss terms."""
        optimizer.zero_grad(set_to_none=True)
        output = self(batch)
        losses = self.losses(output, batch)
        self.backward(losses, output, batch)
        optimizer.step()
        return {name: value.detach() for name, value in losses.items()}
