"""MLA, alternating uni-modal adaptation."""

from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.alternating import Alternating
from avbalance.errors import UserError
from avbalance.heads.shared import Shared
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import Names
from avbalance.types import Loaders


class MLA(Alternating):
    """Train the modalities in turn within each step, through a head that they share.

    After Zhang et al., CVPR 2024. For each batch, for each modality m in order,

        L = CE(W f_m + b, y)        a step of encoder m and of the head
        r = mean_i f_m;  k = P r;  P <- P - k k^T / (alpha_t + r^T k);  alpha_t = 0.1^(1 + batch / batches)
        G <- G P^T                  G: the gradient of W

    P starts as I; the first step of all leaves G and P as they are. P keeps directions of W that earlier features have
    used from being changed. With its option `combine: entropy` the head predicts as in the paper. Features of all
    modalities are computed before the first of these steps. Terms are named by modality.

    Paper: G is changed by P; in predictions every clip weighs the modalities by its own entropies.
    Code: The change of G looks for a weight by a name that no weight has, so that G never changes; a prediction's
    weights are taken over the batch.
    Here: As the code, `modify: false`, in row `mla`; as the paper, `modify: true`, in row `mla_paper`; predictions are
    the paper's in both.

    Args:
        model: The model to train.
        loss: Not used: every modality has its cross-entropy.
        modify: Change G by P, as the paper, and do not leave it, as the code.
        normalise: Divide P by its Frobenius norm each time it is renewed, as the code would.
        order: Order of the modalities in a step, all of them; None for that of the encoders.
    """

    requires_head = ("shared",)
    several_modalities = True
    P: Tensor
    num_steps: Tensor

    def __init__(
        self,
        model: Model,
        loss: Loss,
        modify: bool = False,
        normalise: bool = False,
        order: Names | None = None,
    ) -> None:
        super().__init__(model, loss)
        self.modify, self.normalise, self.order = modify, normalise, order or self.order
        if sorted(self.order) != sorted(model.encoders):
            raise UserError(f"balancer MLA has the order {order}; allowed: all of {', '.join(model.encoders)}, once")
        dim = next(iter(self.head.dims.values()))
        self.register_buffer("P", torch.eye(dim))
        self.register_buffer("num_steps", torch.tensor(0))
        self.num_batches = 1

    @property
    def head(self) -> Shared:
        """The head that all modalities share."""
        return cast(Shared, self.model.head)

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Count the batches of an epoch."""
        self.num_batches = len(loaders.train)

    def term(self, m: str, stream: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the modality's logits."""
        return objective(self.head.each({m: stream})[m], labels)

    def change_gradients(self, m: str, stream: Tensor) -> None:
        """Change the gradient of W, if asked to."""
        if self.modify:
            self.modify_gradient(stream.mean(dim=0))

    @torch.no_grad()
    def modify_gradient(self, r: Tensor) -> None:
        """Renew P by the mean feature r, [dim], and change the gradient of W by it."""
        batch = self.num_steps // len(self.model.encoders) % self.num_batches
        k = self.P @ r
        P = self.P - torch.outer(k, k) / (0.1 ** (1 + batch / self.num_batches) + r @ k)
        if self.normalise:
            P = P / P.norm()
        W = next(self.head.parameters())
        if W.grad is not None:
            W.grad = torch.where(self.num_steps > 0, W.grad @ P.T, W.grad)
        self.P.copy_(torch.where(self.num_steps > 0, P, self.P))
        self.num_steps += 1
