"""OLM, online logit modulation."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.losses.base import objective
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Positive
from avbalance.types import Batch, Loaders, Output


class OLM(Balancer):
    """Scale the logits of every head so that their lengths follow how far each has still to go.

    After the code of Zong et al., IJCAI 2024. For the heads h, joint and one of each modality, with the logits z_h and
    their coefficients w_h, at first 1,

        L    = sum_h L_h;   L_h = CE(w_h z_h, y)
        r_h  = (L_h / L_h^0) / mean_k (L_k / L_k^0)                        L^0: of the last batch of the first epoch
        w   <- Adam with the rate `rate` on L + sum_i sum_h | w_h |z_h,i| - r_h mean_k w_k |z_k,i| |

    in which w alone has a gradient in the second sum, and the target no gradient. In the first epoch r_h = 1. A head
    that lags gets longer logits, so that its loss has a smaller gradient where it is right and a larger one where it is
    wrong. Predictions are those of the joint logits without w. Curves `scale_<head>` are w_h.

    Paper: We have seen a part of it.
    Code: In the first of two forms r_h is the softmax over heads of the fall of a validation batch's loss over the
    growth of the gap, which needs labels of validation in each step; these r_h sum to 1 and not to the number of heads,
    so that all w_h fall to 0 in some thousand steps.
    Here: The second form, which the code calls a variant.

    Args:
        model: The model to train.
        loss: Its heads' losses, each with weight 1.
        rate: Learning rate of w.
    """

    requires_loss = ("unimodal",)
    tasks = ("single_label",)
    several_modalities = True
    weighs_heads = True
    curve_names = ("scale_<head>",)
    loss: Unimodal
    w: Tensor
    first: Tensor
    moments: Tensor
    t: Tensor

    def __init__(self, model: Model, loss: Unimodal, rate: Positive = 0.001) -> None:
        super().__init__(model, loss)
        self.rate, self.heads = rate, ["joint", *model.encoders]
        self.is_first = False
        for name in ("w", "first"):
            self.register_buffer(name, torch.ones(len(self.heads)))
        self.register_buffer("moments", torch.zeros(2, len(self.heads)))
        self.register_buffer("t", torch.tensor(0))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Note whether this is the first epoch."""
        self.is_first = epoch == 0

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """L_h by head; in training w takes this step in."""
        with torch.autocast(output.logits.device.type, enabled=False):
            z = torch.stack([output.logits, *self.loss.logits(output).values()])
            L = [objective(w_h * z_h, batch.labels) for w_h, z_h in zip(self.w.clone(), z, strict=True)]
            if self.training:
                self.renew(z.detach(), torch.stack(L).detach(), batch.labels)
        return dict(zip(self.heads, L, strict=True))

    @torch.no_grad()
    def renew(self, z: Tensor, L: Tensor, labels: Tensor) -> None:
        """A step of Adam on w, from logits [heads, batch, num_classes], losses [heads] and labels [batch]."""
        if self.is_first:
            self.first.copy_(L)
        g = gradient(self.w, z, relative_progress(L, self.first), labels)
        self.t += 1
        self.moments.copy_(torch.stack([0.9 * self.moments[0] + 0.1 * g, 0.999 * self.moments[1] + 0.001 * g.square()]))
        mean, square = self.moments[0] / (1 - 0.9**self.t), self.moments[1] / (1 - 0.999**self.t)
        self.w -= self.rate * mean / (square.sqrt() + 1e-8)

    def curves(self) -> dict[str, float]:
        """w_h of each head."""
        return {**super().curves(), **{f"scale_{h}": w_h for h, w_h in zip(self.heads, self.w.tolist(), strict=True)}}


def relative_progress(L: Tensor, first: Tensor) -> Tensor:
    """r, [heads]."""
    ratio = L / first.clamp(min=1e-8)
    return torch.where(ratio.mean() > 0, ratio / ratio.mean(), 1.0)


def gradient(w: Tensor, z: Tensor, r: Tensor, labels: Tensor) -> Tensor:
    """Gradient by w of both sums, [heads]."""
    error = (w[:, None, None] * z).softmax(dim=2)
    error.scatter_add_(2, labels.expand(len(z), -1)[..., None], -torch.ones_like(error[..., :1]))
    of_losses = (error * z).sum(dim=2).mean(dim=1)
    lengths = z.norm(dim=2)  # [heads, batch]
    scaled = w[:, None] * lengths
    of_lengths: Tensor = ((scaled - r[:, None] * scaled.mean(dim=0)).sign() * lengths).sum(dim=1)
    return of_losses + of_lengths
