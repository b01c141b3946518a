"""MMPareto, the joint and each uni-modal gradient without conflict."""

import torch
from torch import Tensor

from avbalance.balancers.two_gradients import TwoGradients
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Positive


class MMPareto(TwoGradients):
    """Train every encoder along a direction that raises neither the joint loss nor its own.

    After Wei and Hu, ICML 2024. For encoder m, g is the gradient of the joint loss and h that of its own loss,

        a  = 1 / 2                                                         if cos(g, h) > 0
        a  = clamp((|h|^2 - g.h) / (|g|^2 + |h|^2 - 2 g.h), 0, 1)          else: the shortest point between g and h
        d  = 2 a g + 2 (1 - a) h
        d <- gamma d max(1, |g + h| / |d|)

    Other weights get the gradient of the sum of losses. gamma is void under Adam, so rows are trained with SGD. Curves:
    the share of steps with cos(g, h) <= 0, and the mean cosine.

    Paper: The length of d is restored over the whole encoder.
    Code: The length is restored for each weight, so that d may turn against g or h; a stays between 0.001 and 0.999.
    Here: As the code, `per_tensor: true`, in row `mmpareto`; as the paper, `per_tensor: false`, in row
    `mmpareto_paper`.

    Args:
        model: The model to train.
        loss: Its heads' losses.
        gamma: Factor of the encoders' gradients.
        per_tensor: Restore the length for each weight, as the code, and not over the encoder, as the paper.
    """

    def __init__(self, model: Model, loss: Unimodal, gamma: Positive = 1.5, per_tensor: bool = True) -> None:
        super().__init__(model, loss)
        self.gamma, self.per_tensor = gamma, per_tensor

    def weights(self, gramians: Tensor) -> Tensor:
        """2 a and 2 (1 - a)."""
        a = weight_of_joint(gramians[:, 0, 1], gramians[:, 0, 0], gramians[:, 1, 1])
        return torch.stack([2 * a, 2 * (1 - a)], dim=1)

    def lengthened(self, d: list[Tensor], g: list[Tensor], h: list[Tensor]) -> list[Tensor]:
        """Gamma d max(1, |g + h| / |d|)."""
        lengths = [torch.stack(torch._foreach_norm(each)) for each in (d, torch._foreach_add(g, h))]
        if not self.per_tensor:
            lengths = [each.norm().expand(len(d)) for each in lengths]
        factors = self.gamma * torch.where(lengths[0] > 0, lengths[1] / lengths[0], 1.0).clamp(min=1)
        torch._foreach_mul_(d, list(factors.unbind()))
        return d


def weight_of_joint(dot: Tensor, g_squared: Tensor, h_squared: Tensor) -> Tensor:
    """a, from g.h, |g|^2 and |h|^2, all of one shape."""
    apart = g_squared + h_squared - 2 * dot
    shortest = torch.where(apart > 0, (h_squared - dot) / apart, 0.5).clamp(0, 1)
    return torch.where(dot > 0, 0.5, shortest)
