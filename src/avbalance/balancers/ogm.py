"""OGM, on-the-fly gradient modulation."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.coefficients import Coefficients
from avbalance.balancers.scores import mean_of_others, true_probabilities
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive, Whole
from avbalance.types import Batch, Loaders, Output


class OGM(Coefficients):
    """Slow down the encoder of the more confident modality.

    Peng et al., CVPR 2022, eqs. 5-9. In each step, for a batch of clips x_i with labels y_i,

        s_m   = sum_i softmax(z_m(x_i))[y_i]          z_m: masked logits, W_m f_m + b / M
        rho_m = s_m / s_n                             n: the other modality
        k_m   = 1 - tanh(alpha rho_m) if rho_m > 1 else 1
        g_m  <- k_m g_m                               every weight of encoder m with more than one dimension

    Adam and Adagrad undo k_m, so a row is trained with SGD; another optimiser has to be named in the row itself. If a
    modality gives the true classes no probability, s_n = 0; it counts as the smallest step of float32 above 1, so that
    rho is finite. Masked logits are taken in evaluation mode: no dropout, and no running mean sees features that are
    masked.

    Paper: All weights of the encoder are modulated.
    Code: Convolutions alone are modulated, in the epochs 0 to 50 of 100; z_m is of training mode.
    Here: Weights with more than one dimension, in the epochs below `end: 51`; z_m is of evaluation mode; with more than
    two modalities s_n is the mean over the others; row `ogm`.

    Args:
        model: The model to train.
        loss: Its objective.
        alpha: Strength of the modulation, > 0.
        start: First epoch (from 0) with modulated gradients.
        end: First epoch without them again.
    """

    tasks = ("single_label", "verification")
    several_modalities = True
    scales_gradients = True

    def __init__(self, model: Model, loss: Loss, alpha: Positive = 0.8, start: Whole = 0, end: Whole = 51) -> None:
        super().__init__(model, loss)
        self.alpha, self.start, self.end = alpha, start, end
        self.modulates = False  # not read from a buffer in every step, which would wait for the device

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Decide whether gradients are modulated in this epoch, and reset the curves."""
        super().start_epoch(epoch, loaders, optimizer)
        self.modulates = self.start <= epoch < self.end

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute the gradients of the objective and modulate them."""
        super().backward(losses, output, batch)
        if self.modulates:
            k = self.coefficients(output, batch.labels)
            for modality, k_m in k.items():
                weights = [weight for weight in self.model.encoders[modality].parameters() if weight.dim() > 1]
                self.modulate([weight.grad for weight in weights if weight.grad is not None], k_m)
            self.record(k)

    @torch.no_grad()
    def coefficients(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """k_m, {modality: scalar}."""
        p = true_probabilities(self.model.masked(output), labels)
        s = {m: p_m.sum() for m, p_m in p.items()}
        k = {}
        for m, s_m in s.items():
            s_n = mean_of_others(s, m)
            rho = s_m / s_n.clamp(min=torch.finfo(s_n.dtype).eps)
            k[m] = torch.where(rho > 1, 1 - torch.tanh(self.alpha * rho), torch.ones_like(rho))
        return k

    def modulate(self, gradients: list[Tensor], k: Tensor) -> None:
        """g <- k g, in place, for the gradients of one encoder's weights."""
        if gradients:
            torch._foreach_mul_(gradients, k)
