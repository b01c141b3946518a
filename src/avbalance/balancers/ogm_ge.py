"""OGM-GE, on-the-fly gradient modulation with generalisation enhancement."""

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Batch, Loaders, Output


class OGMGE(Balancer):
    """The encoder of the more confident modality is slowed down; noise makes up for its lost randomness.

    Peng et al., CVPR 2022, eqs. 5-10. In each step, for a batch of clips x_i with labels y_i,

        s_m   = sum_i softmax(z_m(x_i))[y_i]          z_m: masked logits, W_m f_m + b / M
        rho_m = s_m / s_n                             n: the other modality
        k_m   = 1 - tanh(alpha rho_m) if rho_m > 1 else 1
        g_m  <- k_m g_m + h,  h ~ N(0, std(g_m)^2)    every weight of encoder m with more than one dimension

    The authors modulate convolutions only; here linear layers of an encoder count as well. Departs from the
    paper for more than two modalities: s_n is the mean over the others.

    Args:
        model: The model to train.
        loss: Its objective.
        alpha: Strength of the modulation, > 0.
        start: First epoch (from 0) with modulated gradients.
        end: First epoch without them again.
    """

    epoch: Tensor

    def __init__(self, model: Model, loss: Loss, alpha: float = 0.8, start: int = 0, end: int = 50) -> None:
        super().__init__(model, loss)
        self.alpha, self.start, self.end = alpha, start, end
        self.register_buffer("epoch", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders) -> None:
        """Remember the epoch."""
        self.epoch.fill_(epoch)

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Gradients of the objective, then modulated."""
        super().backward(losses, output, batch)
        if self.start <= int(self.epoch) < self.end:
            for modality, k in self.coefficients(output, batch.labels).items():
                for weight in self.model.encoders[modality].parameters():
                    if weight.dim() > 1 and weight.grad is not None:
                        h = torch.randn_like(weight.grad) * weight.grad.std(correction=0)
                        weight.grad.mul_(k).add_(h)

    @torch.no_grad()
    def coefficients(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """k_m, {modality: scalar}."""
        s = {
            modality: logits.softmax(dim=1).gather(1, labels.unsqueeze(1)).sum()
            for modality, logits in self.model.masked(output).items()
        }
        k = {}
        for m, s_m in s.items():
            s_n = torch.stack([other for n, other in s.items() if n != m]).mean()
            rho = s_m / s_n
            k[m] = torch.where(rho > 1, 1 - torch.tanh(self.alpha * rho), torch.ones_like(rho))
        return k
