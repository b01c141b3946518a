"""MLB, multi-loss gradient modulation."""

import torch
from torch import Tensor

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import mean_of_others, true_probabilities
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Positive
from avbalance.types import Batch, Output


class MLB(Coefficients):
    """With uni-modal losses, slow down the more confident modality and speed up the other.

    After Kontras et al., BMVC 2024. With u_m the logits of modality m's own head,

        L     = CE(z, y) + sum_m CE(u_m, y)
        s_m   = mean_i softmax(u_m(x_i))[y_i];    rho_m = s_n / s_m            n: the other modality
        k_m   = 1 + tanh(alpha (rho_m - 1))                                    rho_m <= 1
        k_m   = 1 + (beta - 1) tanh(alpha (rho_m - 1))                         rho_m > 1
        g_m  <- k_m g_m        of encoder m, of its own head, and of its block W_m of the joint head where it has one

    Unlike OGM it also speeds up, to beta at most, and never slows down below 1 - tanh(alpha). Adam undoes the scaling,
    so rows are trained with SGD.

    Paper: The method is defined for two modalities.
    Code: We know of no difference.
    Here: As the paper; with more than two modalities s_n is the mean over the others; row `mlb`.

    Args:
        model: The model to train.
        loss: Its heads' losses.
        alpha: Strength of the modulation; 0.8 for ResNets on CREMA-D.
        beta: Largest coefficient, > 1.
    """

    requires_loss = ("unimodal",)
    tasks = ("single_label",)
    several_modalities = True
    scales_gradients = True
    loss: Unimodal

    def __init__(self, model: Model, loss: Unimodal, alpha: Positive = 0.8, beta: Positive = 2.0) -> None:
        super().__init__(model, loss)
        self.alpha, self.beta = alpha, beta

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and modulate them."""
        super().backward(losses, output, batch)
        k = self.coefficients(output, batch.labels)
        for m, k_m in k.items():
            self.scale_modality(m, k_m)
        self.record(k)

    @torch.no_grad()
    def coefficients(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """k_m, {modality: scalar}."""
        with torch.autocast(output.logits.device.type, enabled=False):
            u = self.loss.logits(output)
        s = {m: p_m.mean() for m, p_m in true_probabilities(u, labels).items()}
        k = {}
        for m, s_m in s.items():
            change = torch.tanh(self.alpha * (mean_of_others(s, m) / s_m.clamp(min=1e-8) - 1))
            k[m] = 1 + torch.where(change > 0, self.beta - 1, 1.0) * change
        return k
