"""The head of late concatenation in G-Blend."""

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.heads.base import Head
from avbalance.ranges import Count


class TwoLayer(Head):
    """A network of two fully connected layers over the concatenated streams, then one prediction layer.

    G-Blend (Wang et al., CVPR 2020), section 3.1.

        z = W_3 relu(W_2 relu(W_1 [s_1; ...; s_M] + b_1) + b_2) + b_3

    The paper leaves open the lengths of the two layers and what stands between them: one length and ReLUs here.

    Args:
        streams: {stream: dim}.
        num_classes: Number of logits.
        hidden: Length of both layers.
    """

    def __init__(self, streams: dict[str, int], num_classes: int, hidden: Count = 512) -> None:
        super().__init__(streams, num_classes)
        if hidden < 1:
            raise UserError(f"head TwoLayer has hidden {hidden}; allowed: 1 or more")
        self.linear1 = nn.Linear(sum(streams.values()), hidden)
        self.linear2 = nn.Linear(hidden, hidden)
        self.linear3 = nn.Linear(hidden, num_classes)

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        hidden = torch.relu(self.linear1(torch.cat([streams[s] for s in self.dims], dim=1)))
        logits: Tensor = self.linear3(torch.relu(self.linear2(hidden)))
        return logits
