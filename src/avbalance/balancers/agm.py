"""AGM, adaptive gradient modulation."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import logits_of_groups, shapley, true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive, Whole
from avbalance.types import Batch, Loaders, Output


class AGM(Coefficients):
    """Scale the gradients through each modality's Shapley value of the logits.

    After Li et al., ICCV 2023. With z(S) the logits if the features of all modalities outside S are zeros, z() = 0,

        phi^m = sum over S without m of |S|! (M - |S| - 1)! / M! (z(S + m) - z(S))
        s^m   = mean_i -log max(softmax(phi^m_i)[y_i], 1e-8)                 a cross-entropy: small is good
        r^m   = exp(M / (M - 1) (mean_n s^n - s^m));   tau^m: the same of the running means s_hat, before this step
        k^m   = exp(alpha min(tau^m - r^m, cap))
        z    <- z + sum_m (k^m - 1) (phi^m - detach(phi^m))                  the value of z stays

    The phi^m sum to z, so every gradient through phi^m is multiplied by k^m: with a linear head, those of encoder m and
    of W_m by k^m, and that of the bias by the mean of all k. s_hat^m is the mean of s^m over all steps so far, at first
    0. For z(S) of smaller groups fusion and head are in evaluation mode. Adam undoes the scaling, so rows are trained
    with SGD.

    Paper: A modality's share of the logits is its Shapley value, a mean over all groups of others, the empty one
    included.
    Code: The empty group is left out for two modalities; a missing modality is an input of zeros; gradients longer than
    1 are shortened.
    Here: Logits of the empty group are 0; a missing modality is a feature of zeros; row `agm`, with `training:
    {clip_norm: 1}`.

    Args:
        model: The model to train.
        loss: Its objective.
        alpha: Strength of the modulation; 1.5 for CREMA-D.
        cap: Largest tau - r that counts; 7 for three modalities.
        start: First epoch (from 0) with modulated gradients.
        end: First epoch without them again; None for never.
    """

    tasks = ("single_label",)
    several_modalities = True
    scales_gradients = True
    s_hat: Tensor
    t: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        alpha: Positive = 1.0,
        cap: Positive = 10.0,
        start: Whole = 0,
        end: Whole | None = None,
    ) -> None:
        super().__init__(model, loss)
        self.alpha, self.cap, self.start, self.end = alpha, cap, start, end
        self.modulates = False
        self.register_buffer("s_hat", torch.zeros(len(model.encoders)))
        self.register_buffer("t", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide whether gradients are modulated in this epoch."""
        super().start_epoch(epoch, loaders, optimizer)
        self.modulates = self.start <= epoch and (self.end is None or epoch < self.end)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss, of the modulated logits."""
        phi = shapley(logits_of_groups(self.model, output), list(output.features))
        k = self.coefficients(phi, batch.labels)
        if not self.modulates:
            return super().losses(output, batch)
        if self.training:
            self.record(k)
        z = output.logits
        for m, phi_m in phi.items():
            z = z + (k[m] - 1) * (phi_m - phi_m.detach())
        return super().losses(replace(output, logits=z), batch)

    @torch.no_grad()
    def coefficients(self, phi: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """k^m, {modality: scalar}; in training s_hat takes this step in."""
        p = true_probabilities(phi, labels)
        s = torch.stack([-p_m.clamp(min=1e-8).log().mean() for p_m in p.values()])
        r, tau = (_ratios(of) for of in (s, self.s_hat))
        k = dict(zip(phi, torch.exp(self.alpha * (tau - r).clamp(max=self.cap)), strict=True))
        if self.training:
            self.t += 1
            self.s_hat += (s - self.s_hat) / self.t
        return k


def _ratios(s: Tensor) -> Tensor:
    """exp(M / (M - 1) (mean_n s^n - s^m)), [modalities]."""
    return torch.exp(len(s) / (len(s) - 1) * (s.mean() - s))
