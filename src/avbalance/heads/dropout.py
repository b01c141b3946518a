"""Dropout before another head."""

from typing import Any

from torch import Tensor
from torch.nn.functional import dropout

from avbalance import registry
from avbalance.errors import UserError
from avbalance.heads.base import Head
from avbalance.ranges import Rate


class Dropout(Head):
    """Dropout at the concatenation layer, then another head.

    Srivastava et al., JMLR 2014; the baseline "dropout" of G-Blend (Wang et al., CVPR 2020), fig. 1 and table 5.

        z = head(d * [s_1; ...; s_M] / (1 - p))        d: 0 with probability p, else 1, each element for itself

    In training only. G-Blend leaves p open. Shares, weights and embedding are those of the other head without dropout,
    so shares sum to the logits in evaluation, and in training do not depend on a draw.

    Args:
        streams: {stream: dim}.
        num_classes: Number of logits.
        head: Head that follows: a name or {name: options}.
        probability: p, from 0 to less than 1.
    """

    def __init__(
        self,
        streams: dict[str, int],
        num_classes: int,
        head: str | dict[str, dict[str, Any]] = "linear",
        probability: Rate = 0.5,
    ) -> None:
        super().__init__(streams, num_classes)
        if not 0 <= probability < 1:
            raise UserError(f"head Dropout has probability {probability}; allowed: from 0 to less than 1")
        self.probability = probability
        self.head = registry.load("head", head, streams, num_classes)

    @property
    def weights(self) -> dict[str, Tensor]:
        """Those of the other head, {stream: [num_classes, dim]}, if it has any."""
        weights: dict[str, Tensor] = self.head.weights
        return weights

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        logits: Tensor = self.head({s: dropout(streams[s], self.probability, self.training) for s in self.dims})
        return logits

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """{stream: [batch, dim]} -> {stream: [batch, num_classes]} of the other head, or None."""
        shares: dict[str, Tensor] | None = self.head.split(streams)
        return shares

    def embedding(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, dims], that of the other head."""
        embedding: Tensor = self.head.embedding(streams)
        return embedding
