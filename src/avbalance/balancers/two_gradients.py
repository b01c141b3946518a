"""Methods that combine two gradients of each encoder: of the joint loss and of its modality's own."""

from typing import ClassVar, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Batch, Loaders, Output


class TwoGradients(Balancer):
    """Joint training with uni-modal losses that records how the two gradients of each encoder agree.

    For encoder m, g is the gradient of the joint loss and h that of the modality's own loss: no other loss reaches its
    weights, unless the fusion joins stages. All other weights get the gradient of the sum of losses. Curves: the share
    of steps with cos(g, h) <= 0, and the mean cosine.
    """

    requires_loss: ClassVar[tuple[str, ...]] = ("unimodal",)
    several_modalities = True
    keeps_encoders_apart = True
    scales_gradients = True
    curve_names = ("conflict_<modality>", "cosine_<modality>")
    sums: Tensor
    num_steps: Tensor

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__(model, loss)
        self.register_buffer("sums", torch.zeros(2, len(model.encoders)))
        self.register_buffer("num_steps", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Reset the curves."""
        self.sums.zero_()
        self.num_steps.zero_()

    def own_losses(self, losses: dict[str, Tensor]) -> Tensor:
        """Sum of the modalities' own losses, scalar, of which encoder m sees that of m alone."""
        return torch.stack([losses[m] for m in self.model.encoders]).sum()

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute both gradients of every weight, add them, and replace the sums of the encoders."""
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        joint = torch.autograd.grad(losses["joint"], weights, retain_graph=True, materialize_grads=True)
        own = torch.autograd.grad(self.own_losses(losses), weights, materialize_grads=True)
        gradients = {}
        for weight, g_w, h_w in zip(weights, joint, own, strict=True):
            weight.grad = torch.empty_like(weight).copy_(g_w + h_w)  # laid out in memory as the weight
            gradients[weight] = (g_w, h_w)
        encoders = self.model.encoders.values()
        trained = [[weight for weight in encoder.parameters() if weight in gradients] for encoder in encoders]
        pairs = [[[gradients[weight][which] for weight in of_m] for which in (0, 1)] for of_m in trained]
        gramians = torch.stack([gramian(g, h) if g else self.sums.new_zeros(2, 2) for g, h in pairs])
        self.count(gramians)
        for of_m, (g, h), (a, b) in zip(trained, pairs, self.weights(gramians), strict=True):
            if of_m:
                d = torch._foreach_add(torch._foreach_mul(g, a), torch._foreach_mul(h, b))
                for weight, d_w in zip(of_m, self.lengthened(list(d), g, h), strict=True):
                    cast(Tensor, weight.grad).copy_(d_w)

    def weights(self, gramians: Tensor) -> Tensor:
        """Weights of g and h of each encoder, [modalities, 2], from their `gramian` each, [modalities, 2, 2]."""
        raise NotImplementedError

    def lengthened(self, d: list[Tensor], g: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        """An encoder's combination d, weight by weight, with the length that the method gives it."""
        return d

    def count(self, gramians: Tensor) -> None:
        """Count a step's conflicts, [modalities, 2, 2]."""
        dot, squares = gramians[:, 0, 1], gramians.diagonal(dim1=1, dim2=2)
        cosine = dot / squares.sqrt().prod(dim=1).clamp(min=torch.finfo(dot.dtype).tiny)
        self.sums += torch.stack([(dot <= 0).to(dot.dtype), cosine])
        self.num_steps += 1

    def curves(self) -> dict[str, float]:
        """Share of the epoch's steps in which an encoder's gradients were in conflict, and their mean cosine."""
        means = self.sums / self.num_steps.clamp(min=1)
        named = {
            f"{name}_{m}": value
            for name, values in zip(("conflict", "cosine"), means.tolist(), strict=True)
            for m, value in zip(self.model.encoders, values, strict=True)
        }
        return {**super().curves(), **named}


def gramian(g: list[Tensor], h: list[Tensor]) -> Tensor:
    """[[g.g, g.h], [g.h, h.h]] of two gradients, weight by weight."""
    dot = torch.stack([(x * y).sum() for x, y in zip(g, h, strict=True)]).sum()
    g_squared, h_squared = (torch.stack(torch._foreach_norm(each)).square().sum() for each in (g, h))
    return torch.stack([g_squared, dot, dot, h_squared]).view(2, 2)
