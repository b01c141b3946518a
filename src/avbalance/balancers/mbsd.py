"""MBSD, self-distillation between modalities."""

from itertools import combinations

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.losses.unimodal import Unimodal
from avbalance.types import Batch, Output


class MBSD(Balancer):
    """With uni-modal losses, let each clip's better modality teach the other one.

    Our reading of Liu et al., WSDM 2023, whose authors published no code. With p_m = softmax(u_m) of modality m's own
    head, and for each clip the strong modality, whose p[y] is higher, and the weak one,

        w = p_strong[y] - p_weak[y] if either modality predicts y, else 0
        L = CE(z, y) + sum_m CE(u_m, y) + mean_i w (KL(detach(p_strong) || p_weak) + |p_strong - p_weak|^2 / C)

    w has no gradient. Of more than two modalities every pair has such a term. Terms are those of the loss and
    `distillation`.

    Paper: In pre-training on product data, the better modality of a clip teaches the other one.
    Code: None; BalanceBenchmark takes the KL divergence of p[y] in place of distributions, and squares of logits for
    two modalities.
    Here: Our reading; row `mbsd`.
    """

    requires_loss = ("unimodal",)
    tasks = ("single_label",)
    several_modalities = True
    loss: Unimodal

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """The loss's terms and the distillation."""
        terms = super().losses(output, batch)
        with torch.autocast(output.logits.device.type, enabled=False):
            log_p = {m: u_m.log_softmax(dim=1) for m, u_m in self.loss.logits(output).items()}
            pairs = [distillation(log_p[m], log_p[n], batch.labels) for m, n in combinations(log_p, 2)]
            terms["distillation"] = torch.stack(pairs).sum()
        return terms


def distillation(log_p_a: Tensor, log_p_v: Tensor, labels: Tensor) -> Tensor:
    """The term of two modalities, scalar, from log-probabilities [batch, num_classes] and labels [batch]."""
    true = [log_p.gather(1, labels.unsqueeze(1)) for log_p in (log_p_a, log_p_v)]
    a_is_strong = true[0] >= true[1]
    strong = torch.where(a_is_strong, log_p_a, log_p_v).detach()
    weak = torch.where(a_is_strong, log_p_v, log_p_a)
    is_right = (log_p_a.argmax(dim=1) == labels) | (log_p_v.argmax(dim=1) == labels)
    w = (is_right.unsqueeze(1) * (true[0].exp() - true[1].exp()).abs()).squeeze(1).detach()
    divergence = (strong.exp() * (strong - weak)).sum(dim=1)
    square = (log_p_a.exp() - log_p_v.exp()).square().mean(dim=1)
    return (w * (divergence + square)).mean()
