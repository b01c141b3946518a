"""AMCo, adaptive mask co-optimisation."""

from math import pi, sin

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import Positive, Share
from avbalance.types import Batch, Loaders, Output


class AMCo(Coefficients):
    """Hide classes from a modality on which the prediction depends too much.

    As in BalanceBenchmark [xu2025balancebenchmark]; the authors of the method (Zhou et al., ICASSP 2023) published no
    code. With the masked logits z_m, in each step,

        d_m = mean_i sum_c softmax([z_a; z_v])_m,c            share of the probability; m is dependent if d_m > sigma
        N   = floor(C sin(pi / 2 min(eps, l) / eps));   l = growth times the epoch
        z  <- z - z_m in N random classes                 for each m that was dependent in the step before
        L   = CE(z, y) + sum_m CE(z_m, y)

    The classes are drawn anew in each step. Terms are those of the loss and `unimodal_<modality>`; the curves
    `coefficient_<modality>` are the mean d_m.

    Paper: Classes are hidden from a modality on which the prediction depends too much; we have not seen the equations.
    Code: None; in BalanceBenchmark l grows in every batch, so that all classes are hidden after a few, and a layer
    follows the joint logits.
    Here: Our reading, after BalanceBenchmark: l grows by the epoch, and there is no such layer; row `amco`.

    Args:
        model: The model to train.
        loss: Its objective.
        sigma: Share of the probability above which a modality is dependent.
        eps: l at which all classes are hidden.
        growth: Growth of l in an epoch.
    """

    tasks = ("single_label",)
    several_modalities = True
    is_dependent: Tensor

    def __init__(
        self, model: Model, loss: Loss, sigma: Share = 0.5, eps: Positive = 0.3, growth: Positive = 0.1
    ) -> None:
        super().__init__(model, loss)
        self.sigma, self.eps, self.growth = sigma, eps, growth
        self.num_hidden = 0
        self.register_buffer("is_dependent", torch.zeros(len(model.encoders), dtype=torch.bool))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Set the number of hidden classes."""
        super().start_epoch(epoch, loaders, optimizer)
        self.num_hidden = num_hidden(self.model.num_classes, self.growth * epoch, self.eps)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms, of logits with hidden classes, and the uni-modal ones."""
        z = self.model.masked(output)
        logits = output.logits
        if self.training:
            for m, was_dependent in zip(z, self.is_dependent.clone(), strict=True):
                hidden = torch.rand(self.model.num_classes, device=logits.device).argsort() < self.num_hidden
                logits = logits - z[m] * (hidden & was_dependent)
            d = dependence(z)
            self.is_dependent.copy_(torch.stack(list(d.values())) > self.sigma)
            self.record(d)
        terms = super().losses(Output(output.features, output.streams, logits), batch)
        return {**terms, **{f"unimodal_{m}": objective(z_m, batch.labels) for m, z_m in z.items()}}


def num_hidden(num_classes: int, l: float, eps: float) -> int:
    """N."""
    return int(num_classes * sin(pi / 2 * min(eps, l) / eps))


@torch.no_grad()
def dependence(z: dict[str, Tensor]) -> dict[str, Tensor]:
    """d_m, {modality: scalar}, from {modality: [batch, num_classes]}."""
    shares = (
        torch.stack(list(z.values()), dim=1).flatten(1).softmax(dim=1).view(len(next(iter(z.values()))), len(z), -1)
    )
    return dict(zip(z, shares.sum(dim=2).mean(dim=0), strict=True))
