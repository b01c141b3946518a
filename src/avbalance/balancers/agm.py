"""AGM, adaptive gradient modulation."""

from dataclasses import replace
from itertools import product
from math import factorial

import torch
from torch import Tensor

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive
from avbalance.types import Batch, Output


class AGM(Coefficients):
    """Scale the gradients through each modality's Shapley value of the logits.

    After Li et al., ICCV 2023. With z(S) the logits if the features of all modalities outside S are zeros, z() = 0,

        phi^m = sum over S without m of |S|! (M - |S| - 1)! / M! (z(S + m) - z(S))
        s^m   = mean_i -log max(softmax(phi^m_i)[y_i], 1e-8)                 a cross-entropy: small is good
        r^m   = exp(M / (M - 1) (mean_n s^n - s^m));   tau^m: the same of the running means s_hat, before this step
        k^m   = exp(alpha min(tau^m - r^m, cap))
        z    <- z + sum_m (k^m - 1) (phi^m - detach(phi^m))                  the value of z stays

    The phi^m sum to z, so every gradient through phi^m is multiplied by k^m: with a linear head, those of encoder m and
    of W_m by k^m, and that of the bias by the mean of all k. s_hat^m is the mean of s^m over the steps so far. Departs
    from the authors' code, which puts zeros into the encoders where we put them behind, and which shortens gradients
    longer than 1 (`training: {clip_norm: 1}`). Adam undoes the scaling, so rows are trained with SGD.

    Args:
        model: The model to train.
        loss: Its objective.
        alpha: Strength of the modulation; 1.5 for CREMA-D.
        cap: Largest tau - r that counts; 7 for three modalities.
    """

    tasks = ("single_label",)
    several_modalities = True
    scales_gradients = True
    s_hat: Tensor
    t: Tensor

    def __init__(self, model: Model, loss: Loss, alpha: Positive = 1.0, cap: Positive = 10.0) -> None:
        super().__init__(model, loss)
        self.alpha, self.cap = alpha, cap
        self.register_buffer("s_hat", torch.zeros(len(model.encoders)))
        self.register_buffer("t", torch.tensor(0))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The terms of the loss, of the modulated logits."""
        phi = self.shapley(output)
        k = self.coefficients(phi, batch.labels)
        z = output.logits
        for m, phi_m in phi.items():
            z = z + (k[m] - 1) * (phi_m - phi_m.detach())
        return super().losses(replace(output, logits=z), batch)

    def shapley(self, output: Output) -> dict[str, Tensor]:
        """phi^m, {modality: [batch, num_classes]}, with gradient; fusion and head in evaluation mode."""
        modalities, M = list(output.features), len(output.features)
        z = {frozenset[str](): torch.zeros_like(output.logits), frozenset(modalities): output.logits}
        for size in range(1, M):
            z |= {frozenset(name.split("+")): z_S for name, z_S in self.model.masked(output, size).items()}
        phi = dict.fromkeys(modalities, torch.zeros_like(output.logits))
        for m, (S, z_S) in product(modalities, z.items()):
            if m not in S:
                phi[m] = phi[m] + factorial(len(S)) * factorial(M - len(S) - 1) / factorial(M) * (z[S | {m}] - z_S)
        return phi

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
            self.record(k)
        return k


def _ratios(s: Tensor) -> Tensor:
    """exp(M / (M - 1) (mean_n s^n - s^m)), [modalities]."""
    return torch.exp(len(s) / (len(s) - 1) * (s.mean() - s))
