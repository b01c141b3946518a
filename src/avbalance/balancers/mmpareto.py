"""MMPareto, the joint and each uni-modal gradient without conflict."""

from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Positive
from avbalance.types import Batch, Loaders, Output


class MMPareto(Balancer):
    """Train every encoder along a direction that raises neither the joint loss nor its own.

    After Wei and Hu, ICML 2024. For encoder m, g is the gradient of the joint loss and h that of its own loss,

        a  = 1 / 2                                                         if cos(g, h) > 0
        a  = clamp((|h|^2 - g.h) / (|g|^2 + |h|^2 - 2 g.h), 0, 1)          else: the shortest point between g and h
        d  = 2 a g + 2 (1 - a) h
        d <- gamma d max(1, |g + h| / |d|)

    Other weights get the gradient of the sum of losses. The paper restores the length of d over the whole encoder, the
    authors' code for each weight, which made its numbers; then d may turn against g or h. gamma is void under Adam, so
    rows are trained with SGD. Curves: the share of steps with cos(g, h) <= 0, and the mean cosine.

    Args:
        model: The model to train.
        loss: Its heads' losses.
        gamma: Factor of the encoders' gradients.
        per_tensor: Restore the length for each weight, as the code, and not over the encoder, as the paper.
    """

    requires_loss = ("unimodal",)
    several_modalities = True
    scales_gradients = True
    curve_names = ("conflict_<modality>", "cosine_<modality>")
    sums: Tensor
    num_steps: Tensor

    def __init__(self, model: Model, loss: Unimodal, gamma: Positive = 1.5, per_tensor: bool = True) -> None:
        super().__init__(model, loss)
        self.gamma, self.per_tensor = gamma, per_tensor
        self.register_buffer("sums", torch.zeros(2, len(model.encoders)))
        self.register_buffer("num_steps", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Reset the curves."""
        self.sums.zero_()
        self.num_steps.zero_()

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Compute both gradients of every weight, add them, and replace the sums of the encoders."""
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        own = torch.stack([losses[m] for m in self.model.encoders]).sum()  # only that of m has a gradient in encoder m
        joint = torch.autograd.grad(losses["joint"], weights, retain_graph=True, materialize_grads=True)
        unimodal = torch.autograd.grad(own, weights, materialize_grads=True)
        gradients = {}
        for weight, g, h in zip(weights, joint, unimodal, strict=True):
            weight.grad = torch.empty_like(weight).copy_(g + h)  # laid out in memory as the weight
            gradients[weight] = (g, h)
        for place, encoder in enumerate(self.model.encoders.values()):
            trained = [weight for weight in encoder.parameters() if weight in gradients]
            if trained:
                g_m, h_m = zip(*(gradients[weight] for weight in trained), strict=True)
                d = self.direction(list(g_m), list(h_m), place)
                for weight, d_w in zip(trained, d, strict=True):
                    cast(Tensor, weight.grad).copy_(d_w)
        self.num_steps += 1

    def direction(self, g: list[Tensor], h: list[Tensor], place: int) -> list[Tensor]:
        """d of an encoder, weight by weight; also counts a conflict of the encoder at this place."""
        dot = torch.stack([(x * y).sum() for x, y in zip(g, h, strict=True)]).sum()
        g_squared, h_squared = (torch.stack(torch._foreach_norm(each)).square().sum() for each in (g, h))
        a = weight_of_joint(dot, g_squared, h_squared)
        d = torch._foreach_add(torch._foreach_mul(g, 2 * a), torch._foreach_mul(h, 2 * (1 - a)))
        lengths = [torch.stack(torch._foreach_norm(each)) for each in (d, torch._foreach_add(g, h))]
        if not self.per_tensor:
            lengths = [each.norm().expand(len(d)) for each in lengths]
        factors = self.gamma * torch.where(lengths[0] > 0, lengths[1] / lengths[0], 1.0).clamp(min=1)
        torch._foreach_mul_(d, list(factors.unbind()))
        cosine = dot / (g_squared.sqrt() * h_squared.sqrt()).clamp(min=torch.finfo(dot.dtype).tiny)
        self.sums[:, place] += torch.stack([(dot <= 0).to(dot.dtype), cosine])
        return list(d)

    def curves(self) -> dict[str, float]:
        """Share of the epoch's steps in which an encoder's gradients were in conflict, and their mean cosine."""
        means = self.sums / self.num_steps.clamp(min=1)
        named = {
            f"{name}_{m}": value
            for name, values in zip(("conflict", "cosine"), means.tolist(), strict=True)
            for m, value in zip(self.model.encoders, values, strict=True)
        }
        return {**super().curves(), **named}


def weight_of_joint(dot: Tensor, g_squared: Tensor, h_squared: Tensor) -> Tensor:
    """a, from g.h, |g|^2 and |h|^2, all scalar."""
    apart = g_squared + h_squared - 2 * dot
    shortest = torch.where(apart > 0, (h_squared - dot) / apart, 0.5).clamp(0, 1)
    return torch.where(dot > 0, 0.5, shortest)
