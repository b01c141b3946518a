"""The perceptron head."""

import torch
from torch import Tensor, nn

from avbalance.heads.base import Head
from avbalance.ranges import Count


class MLP(Head):
    """Two linear layers with a ReLU in between over the concatenated streams.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1e.

        z = W_2 relu(W_1 [s_1; ...; s_M] + b_1) + b_2

    Args:
        streams: {stream: dim}.
        num_classes: Number of logits.
        hidden: Length of the layer in between; 64 in the paper.
    """

    def __init__(self, streams: dict[str, int], num_classes: int, hidden: Count = 64) -> None:
        super().__init__(streams, num_classes)
        self.linear1 = nn.Linear(sum(streams.values()), hidden)
        self.linear2 = nn.Linear(hidden, num_classes)

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        hidden = torch.relu(self.linear1(torch.cat([streams[s] for s in self.dims], dim=1)))
        logits: Tensor = self.linear2(hidden)
        return logits
