"""One classifier for all streams."""

from typing import Literal

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.heads.base import Head
from avbalance.ranges import Count


class Shared(Head):
    """Classify every stream by the same weights, and combine the streams' logits.

    MLA (Zhang et al., CVPR 2024) and ReconBoost (Hua et al., ICML 2024). With M streams s of one length,

        z_s = W s + b, or of two layers W_2 relu(W_1 s + b_1) + b_2
        z   = sum_s w_s z_s         w_s = 1 (sum), 1 / M (mean), or exp(-H_s) / sum_t exp(-H_t) (entropy)

    H_s is the entropy of softmax(z_s), in nats, of each clip for itself; the released code of MLA takes its softmax
    over the clips of a batch, so that a prediction depends on its neighbours. The share of a stream is w_s z_s.

    Args:
        streams: {stream: dim}, all of one length.
        num_classes: Number of logits.
        combine: Weights of the streams.
        hidden: Units of the first of two layers; None for one layer.
    """

    equal_dims = True

    def __init__(
        self,
        streams: dict[str, int],
        num_classes: int,
        combine: Literal["sum", "mean", "entropy"] = "sum",
        hidden: Count | None = None,
    ) -> None:
        super().__init__(streams, num_classes)
        lengths = set(streams.values())
        if len(lengths) > 1:
            raise UserError(
                f"head Shared needs streams of one length, found {streams}; choose encoders of one feature_dim"
            )
        self.combine = combine
        (dim,) = lengths
        self.classifier: nn.Module = nn.Linear(dim, num_classes)
        if hidden is not None:
            self.classifier = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        return torch.stack(list(self.split(streams).values())).sum(dim=0)

    def each(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """z_s, {stream: [batch, num_classes]}."""
        return {s: self.classifier(streams[s]) for s in self.dims if s in streams}

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """w_s z_s, {stream: [batch, num_classes]}."""
        z = self.each(streams)
        if self.combine == "sum":
            return z
        if self.combine == "mean":
            return {s: z_s / len(z) for s, z_s in z.items()}
        log_p = torch.stack(list(z.values())).log_softmax(dim=2)
        w = (log_p.exp() * log_p).sum(dim=2).softmax(dim=0)  # minus the entropies
        return {s: w_s.unsqueeze(1) * z_s for w_s, (s, z_s) in zip(w, z.items(), strict=True)}
