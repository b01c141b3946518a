"""Methods that train the modalities in turn within each step."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Batch


class Alternating(Balancer):
    """Train the modalities in turn within each step, each by a loss of its own, through the head.

    Features of all modalities are computed before the first of these updates. Terms are named by modality.

    Attributes:
        order: Order of the modalities; by default that of the encoders.
    """

    requires_loss = ("joint",)
    keeps_apart = True

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__(model, loss)
        self.order = list(model.encoders)

    def term(self, m: str, stream: Tensor, labels: Tensor) -> Tensor:
        """Loss of modality m, scalar, from its stream [batch, dim] and labels [batch]."""
        raise NotImplementedError

    def change_gradients(self, m: str, stream: Tensor) -> None:
        """Change the gradients of modality m's loss before the update; its stream [batch, dim] is detached."""

    def step(self, batch: Batch, optimizer: Optimizer) -> dict[str, Tensor]:
        """One update for each modality; every weight keeps its last gradient."""
        optimizer.zero_grad(set_to_none=True)
        streams = self.model.fusion({m: f_m.float() for m, f_m in self.model.encode(batch.inputs).items()})
        aside: dict[nn.Parameter, Tensor] = {}
        terms = {}
        for m in self.order:
            with torch.autocast(batch.labels.device.type, enabled=False):
                terms[m] = self.term(m, streams[m], batch.labels)
                terms[m].backward()
                self.change_gradients(m, streams[m].detach())
            self.update(optimizer)
            for weight in self.parameters():
                if weight.grad is not None:
                    aside[weight], weight.grad = weight.grad, None
        for weight, gradient in aside.items():
            weight.grad = gradient
        return {m: term.detach() for m, term in terms.items()}
