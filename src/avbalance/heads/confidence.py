"""Streams weighted by their confidence."""

import torch
from torch import Tensor, nn

from avbalance.heads.base import Head


class Confidence(Head):
    """Weigh the logits of every stream by a confidence that its own energy gives.

    QMF (Zhang et al., ICML 2023), its dynamic fusion.

        z_s = W_s s + b_s;    c_s = log sum_c exp(z_s[c]) / 10
        z   = sum_s detach(c_s) z_s

    The share of a stream is detach(c_s) z_s.
    """

    def __init__(self, streams: dict[str, int], num_classes: int) -> None:
        super().__init__(streams, num_classes)
        self.classifiers = nn.ModuleDict({s: nn.Linear(dim, num_classes) for s, dim in streams.items()})

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        return torch.stack(list(self.split(streams).values())).sum(dim=0)

    def each(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """z_s, {stream: [batch, num_classes]}."""
        return {s: classifier(streams[s]) for s, classifier in self.classifiers.items()}

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """c_s z_s, {stream: [batch, num_classes]}."""
        return {s: confidence(z_s).detach().unsqueeze(1) * z_s for s, z_s in self.each(streams).items()}


def confidence(z_s: Tensor) -> Tensor:
    """c_s of logits [batch, num_classes], [batch]."""
    return z_s.logsumexp(dim=1) / 10
