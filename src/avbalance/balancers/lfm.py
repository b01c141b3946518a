"""LFM, learning the modality gap."""

from itertools import combinations
from math import log
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Count
from avbalance.types import Batch, Loaders, Output

FITTED = (0.204623704, 0.00335472727, 1.22989557e-4, -2.92947416e-6, 2.23835486e-8, -5.39717505e-11)
"""Coefficients of alpha_1 by powers of the epoch, of the authors' 200 epochs."""
NUM_HELD = 16


class LFM(Balancer):
    """Draw the modalities' predictions together first, and classify later.

    After Yang et al., NeurIPS 2024. Of a linear head with M modalities, o_m = M z_m, so that z = mean_m o_m,

        L = 2 (alpha_1 CE(z, y) + alpha_2 A);   alpha_1 + alpha_2 = 1
        A = mean over pairs m, n of D(softmax(o_m), softmax(o_n))
        D(p, q) = (KL(mid || p) + KL(mid || q)) / 2;   mid = (p + q) / 2

    alpha_1 is a polynomial of the epoch, `fitted` by the authors and stretched here over `epochs`; or `learned`:

        alpha_2 <- clamp(alpha_2 - eta x, 0.05, 0.95) before each epoch but the first;   alpha_2 starts at 0.95
        x = mean over the first weight of the model of H g;   H: Hessian of L, g: gradient of CE

    on 16 training clips, with eta 0.0001 halved every 20 epochs. Our clips are evenly spaced and are trained on too.
    Terms are `joint` and `gap`.

    Paper: The second term contrasts the features of the modalities without labels.
    Code: The second term is a divergence of the modalities' predictions, with the arguments of Jensen-Shannon's the
    other way round; its weight is a polynomial of the epoch, or follows x, which is no gradient of a loss by that
    weight.
    Here: As the code, `swapped: true`, in the rows `lfm` and `lfm_learned` (`schedule: learned`); the Jensen-Shannon
    divergence, `swapped: false`, in row `lfm_paper`; no row contrasts features.

    Args:
        model: The model to train.
        loss: Cross-entropy of the joint logits.
        schedule: Origin of alpha.
        epochs: Epochs over which alpha_1 rises.
        swapped: D of the authors' code.
    """

    requires_head = ("linear",)
    requires_loss = ("joint",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_apart = True
    curve_names = ("alpha_joint",)
    alpha: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        schedule: Literal["fitted", "learned"] = "fitted",
        epochs: Count = 200,
        swapped: bool = True,
    ) -> None:
        super().__init__(model, loss)
        self.schedule, self.epochs, self.swapped = schedule, epochs, swapped
        self.num_clips = 0
        self.register_buffer("alpha", torch.tensor(0.05))  # alpha_1

    def expect(self, num_clips: int) -> None:
        """Note the number of training clips."""
        self.num_clips = num_clips

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Set alpha."""
        if self.schedule == "fitted":
            self.alpha.fill_(fitted(min(epoch * 200 / self.epochs, 199)))  # not fitted to later epochs
        elif epoch > 0:
            places = torch.linspace(0, self.num_clips - 1, min(NUM_HELD, self.num_clips)).long()
            held = list(loaders.plain.of(places))
            inputs = {m: torch.cat([batch.inputs[m] for batch in held]) for m in self.model.encoders}
            x = self.curvature(inputs, torch.cat([batch.labels for batch in held]))
            eta = 1e-4 / 2 ** (epoch // 20)
            self.alpha.copy_(1 - (1 - self.alpha - eta * x).clamp(0.05, 0.95))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """{"joint": scalar, "gap": scalar}."""
        joint, gap = cross_entropy(output.logits, batch.labels), self.gap(output)
        return {"joint": 2 * self.alpha * joint, "gap": 2 * (1 - self.alpha) * gap}

    def gap(self, output: Output) -> Tensor:
        """A, scalar."""
        o = {m: len(output.features) * z_m for m, z_m in self.model.masked(output).items()}
        return torch.stack([divergence(o[m], o[n], self.swapped) for m, n in combinations(o, 2)]).mean()

    def curvature(self, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
        """x, scalar, of clips as in `Batch`, in evaluation mode and in float32."""
        self.model.eval()
        with torch.autocast(labels.device.type, enabled=False):
            weights = list(self.model.parameters())
            output = self.model(inputs)
            joint = cross_entropy(output.logits, labels)
            L = 2 * (self.alpha * joint + (1 - self.alpha) * self.gap(output))
            g = torch.autograd.grad(joint, weights, retain_graph=True, materialize_grads=True)
            slopes = torch.autograd.grad(L, weights, create_graph=True, materialize_grads=True)
            along_g = torch.stack([(slope * g_w).sum() for slope, g_w in zip(slopes, g, strict=True)]).sum()
            (first,) = torch.autograd.grad(along_g, weights[:1])
        self.model.train()
        return first.mean()

    def curves(self) -> dict[str, float]:
        """alpha_1 of the epoch."""
        return {**super().curves(), "alpha_joint": float(self.alpha)}


def fitted(epoch: float) -> float:
    """alpha_1 of an epoch of 200, from 0."""
    return sum(c * epoch**power for power, c in enumerate(FITTED))


def divergence(o_m: Tensor, o_n: Tensor, swapped: bool) -> Tensor:
    """D of logits [batch, num_classes], mean over clips; or the Jensen-Shannon divergence."""
    log_p, log_q = o_m.log_softmax(dim=1), o_n.log_softmax(dim=1)
    log_mid = torch.logaddexp(log_p, log_q) - log(2)  # finite where both p and q round to 0
    if swapped:
        return ((2 * log_mid - log_p - log_q) * log_mid.exp()).sum(dim=1).mean() / 2
    return ((log_p - log_mid) * log_p.exp() + (log_q - log_mid) * log_q.exp()).sum(dim=1).mean() / 2
