"""Methods that give each modality a coefficient in each step."""

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Loaders


class Coefficients(Balancer):
    """Joint training that records a coefficient of each modality, as a mean over the epoch's steps."""

    curve_names = ("coefficient_<modality>",)
    sum_k: Tensor
    num_steps: Tensor

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__(model, loss)
        self.register_buffer("sum_k", torch.zeros(len(model.encoders)))
        self.register_buffer("num_steps", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Reset the curves."""
        self.sum_k.zero_()
        self.num_steps.zero_()

    def record(self, k: dict[str, Tensor]) -> None:
        """Count a step with the coefficients k_m, {modality: scalar}."""
        self.sum_k += torch.stack([k[modality] for modality in self.model.encoders])
        self.num_steps += 1

    def scale_encoder(self, m: str, k: Tensor) -> None:
        """g <- k g, in place, for the gradient of every weight of an encoder."""
        _scale([weight.grad for weight in self.model.encoders[m].parameters()], k)

    def scale_modality(self, m: str, k: Tensor) -> None:
        """g <- k g, in place, for all weights that serve one modality alone.

        They are those of its encoder, of its own head if the loss has one, and the block W_m of a head that is linear
        in every stream, if the fusion keeps modalities apart.
        """
        self.scale_encoder(m, k)
        own_heads: dict[str, nn.Module] = getattr(self.loss, "heads", {})
        if m in own_heads:
            _scale([weight.grad for weight in own_heads[m].parameters()], k)
        if not self.model.fusion.mixes:
            _scale([self.model.weight_gradients().get(m)], k)

    def curves(self) -> dict[str, float]:
        """Each modality's mean coefficient over the epoch, 1 if no step had any."""
        num_steps = int(self.num_steps)
        mean_k = self.sum_k / num_steps if num_steps else torch.ones_like(self.sum_k)
        named = {f"coefficient_{m}": k for m, k in zip(self.model.encoders, mean_k.tolist(), strict=True)}
        return {**super().curves(), **named}


def _scale(gradients: list[Tensor | None], k: Tensor) -> None:
    if present := [gradient for gradient in gradients if gradient is not None]:
        torch._foreach_mul_(present, k)
