"""QMF, quality-aware multi-modal fusion."""

from typing import cast

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.heads.confidence import Confidence, confidence
from avbalance.losses.base import Loss, objective
from avbalance.model import Model
from avbalance.ranges import NotNegative
from avbalance.types import Batch, Output


class QMF(Balancer):
    """Make each modality's confidence follow the losses that its clips have had.

    After Zhang et al., ICML 2023. With z_m and c_m of the head `confidence`, and the ledger h_m[i], the sum of
    CE(z_m, y) over all times that clip i was seen, this step included, scaled to 0 to 1 over the clips,

        L = CE(z, y) + sum_m CE(z_m, y) + lam sum_m R_m
        R = mean_i relu(t (c_i - c_j) - |h_i - h_j|);   t = sign(h_i - h_j)         j: the next clip of the batch

    The last clip is paired with the first. Terms are `joint`, each modality's name and `rank`.

    Paper: R is that of Moon et al., ICML 2020: a clip with more loss must be less confident by a margin.
    Code: The difference of losses has the other sign, so that the margin is a tolerance.
    Here: As the code, `margin: false`, in row `qmf`; as the paper, `margin: true`, in row `qmf_paper`.

    Args:
        model: The model to train.
        loss: Cross-entropy of the joint logits.
        lam: Weight of the ranks; 0.1 for CREMA-D in public code, 1 in the authors' script for images and text.
        margin: Add the difference of losses, as the source, and do not subtract it, as the code.
    """

    requires_head = ("confidence",)
    requires_loss = ("joint",)
    tasks = ("single_label",)
    several_modalities = True
    keeps_apart = True
    ledger: Tensor

    def __init__(self, model: Model, loss: Loss, lam: NotNegative = 0.1, margin: bool = False) -> None:
        super().__init__(model, loss)
        self.lam, self.margin = lam, margin

    @property
    def head(self) -> Confidence:
        """The head that gives each modality a confidence."""
        return cast(Confidence, self.model.head)

    def expect(self, num_clips: int) -> None:
        """Open the ledger, [modalities, clips]."""
        device = next(self.parameters()).device
        self.register_buffer("ledger", torch.zeros(len(self.model.encoders), num_clips, device=device))

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """{"joint": scalar, modality: scalar, ..., "rank": scalar}; in training the ledger takes this step in."""
        terms = super().losses(output, batch)
        with torch.autocast(output.logits.device.type, enabled=False):
            z = self.head.each(output.streams)
            for m, ledger in zip(z, self.ledger, strict=True):
                each = objective(z[m], batch.labels, reduction="none")
                terms[m] = each.mean()
                if self.training:
                    ledger.index_add_(0, batch.index, each.detach())
            least, most = self.ledger.aminmax(dim=1, keepdim=True)
            h = torch.where(most > least, (self.ledger - least) / (most - least), 0.0)[:, batch.index]
            ranks = [rank(confidence(z_m), h_m, self.margin) for z_m, h_m in zip(z.values(), h, strict=True)]
            terms["rank"] = self.lam * torch.stack(ranks).sum()
        return terms


def rank(c: Tensor, h: Tensor, margin: bool) -> Tensor:
    """R of confidences and scaled ledgers, both [batch]; scalar."""
    difference = h - h.roll(-1)
    t = difference.sign()
    allowed = difference.abs() if margin else -difference.abs()
    return (t * (c - c.roll(-1)) + allowed).relu().mean()
