"""The linear head."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from avbalance.heads.base import Head


class Linear(Head):
    """One linear layer over the concatenated streams.

    MMCosine (Xu et al., ICASSP 2023), eqs. 1 and 2. With M streams s,

        z   = W [s_1; ...; s_M] + b = sum_s W_s s + b
        z_s = W_s s + b / M                                  the share of a stream
    """

    def __init__(self, streams: dict[str, int], num_classes: int) -> None:
        super().__init__(streams, num_classes)
        self.linear = nn.Linear(sum(streams.values()), num_classes)

    @property
    def weights(self) -> dict[str, Tensor]:
        """W_s, {stream: [num_classes, dim]}."""
        blocks = self.linear.weight.split(list(self.dims.values()), dim=1)
        return dict(zip(self.dims, blocks, strict=True))

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Start from the classifier `fc` of a network of torchvision, or from another run's head."""
        classifier = {f"linear.{name}": state[f"fc.{name}"] for name in ("weight", "bias") if f"fc.{name}" in state}
        self.load_state_dict(classifier or state)

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        logits: Tensor = self.linear(torch.cat([streams[s] for s in self.dims], dim=1))
        return logits

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """{stream: [batch, dim]} -> {stream: [batch, num_classes]}."""
        b, M = self.linear.bias, len(self.dims)
        return {s: streams[s] @ W_s.T + b / M for s, W_s in self.weights.items()}
