"""Greedy, balanced learning by the conditional learning speed."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.fusions.mmtm import MMTM
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Count, NotNegative, Whole
from avbalance.types import Batch, Loaders, Output


class Greedy(Balancer):
    """Hold one modality's gates constant for some steps where they learn faster than the other's.

    After Wu et al., ICML 2022. The fusion is `mmtm`. For modality m, with sums over the steps so far,

        mu_m^gate += |g|^2 / |w|^2        w: all weights that make the gates of m, g: their gradient; V counts for both
        mu_m^main += |g|^2 / |w|^2        of all weights of encoder m
        d = log10(mu_0^gate / mu_0^main) - log10(mu_1^gate / mu_1^main)

    If |d| > epsilon, the next `window` steps care for modality 0 where d > 0, else for 1: its gates are their running
    mean, so that its encoder learns from its own input alone. In these steps the sums stand still. `curated_<modality>`
    is the share of an epoch's steps that care for it. Published with SGD without momentum, at a learning rate of 0.1.

    Paper: Gates that are held constant are the running mean of the modality's own gates.
    Code: The running mean of the second modality's gates takes in the first one's; means take in the step that they are
    used in.
    Here: As the paper, with means of the steps before; row `greedy`, beside `mmtm` without the method.

    Args:
        model: The model to train.
        loss: Its objective.
        epsilon: Difference of speeds up to which nothing is done; the paper's alpha.
        window: Number of steps that care for a modality.
        start: First epoch in which that may begin; speeds are summed from epoch 0.
    """

    requires_fusion = ("mmtm",)
    two_modalities = True
    curve_names = ("curated_<modality>",)
    sums: Tensor
    num_left: Tensor
    num_steps: Tensor

    def __init__(
        self, model: Model, loss: Loss, epsilon: NotNegative = 0.01, window: Count = 5, start: Whole = 2
    ) -> None:
        super().__init__(model, loss)
        self.epsilon, self.window, self.start = epsilon, window, start
        self.may_curate = False
        self.register_buffer("sums", torch.zeros(2, 2))
        self.register_buffer("num_left", torch.tensor(0))
        self.register_buffer("num_steps", torch.zeros(3))  # that care for modality 0, for 1 and for none

    @property
    def fusion(self) -> MMTM:
        """The fusion with the gates."""
        return cast(MMTM, self.model.fusion)

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Reset the curves."""
        self.may_curate = epoch >= self.start
        self.num_steps.zero_()

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective, and decide which modality the next step cares for."""
        super().backward(losses, output, batch)
        self.num_steps += torch.stack([self.fusion.care == place for place in (0, 1, -1)])
        encoders = self.model.encoders.items()
        mu = [[speed(self.fusion.gate_weights(m)), speed(encoder.parameters())] for m, encoder in encoders]
        self.decide(torch.stack([torch.stack(of_m) for of_m in mu]))

    def decide(self, mu: Tensor) -> None:
        """Add mu of gates and encoder of each modality, [modalities, 2], and set the fusion's `care`."""
        is_free = self.num_left == 0
        self.sums += torch.where(is_free, mu, 0.0)
        of_modality = (self.sums[:, 0] / self.sums[:, 1]).log10()
        d = of_modality[0] - of_modality[1]
        begins = is_free & (d.abs() > self.epsilon) & self.may_curate
        self.num_left.copy_(torch.where(begins, self.window, (self.num_left - 1).clamp(min=0)))
        chosen = torch.where(begins, (d < 0).long(), self.fusion.care)
        self.fusion.care_for(torch.where(self.num_left > 0, chosen, -1))

    def curves(self) -> dict[str, float]:
        """Share of the epoch's steps that care for each modality."""
        shares = (self.num_steps / self.num_steps.sum().clamp(min=1)).tolist()
        named = {f"curated_{m}": share for m, share in zip(self.model.encoders, shares[:2], strict=True)}
        return {**super().curves(), **named}


@torch.no_grad()
def speed(weights: Iterable[nn.Parameter]) -> Tensor:
    """|g|^2 / |w|^2 over weights with a gradient, scalar."""
    trained = [(weight, weight.grad) for weight in weights if weight.grad is not None]
    w, g = (torch.stack(torch._foreach_norm(each)).square().sum() for each in zip(*trained, strict=True))
    return g / w
