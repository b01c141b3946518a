"""Layers whose logits add up, more of them for some streams."""

import torch
from torch import Tensor, nn

from avbalance.heads.base import Head
from avbalance.ranges import Count, NotNegative, Whole
from avbalance.types import in_order


class Boosted(Head):
    """Classify every stream by one layer or more, whose logits add up.

    AUG (Jiang et al., NeurIPS 2025), its configurable classifier. Of the layers k = 1 ... n_s in use of stream s,

        e_k = relu(U_k s + c_k)
        z_s = sum_k (W e_k + b)         W and b are the same for all layers and streams
        z   = sum_s w_s z_s

    Every stream starts with one layer in use; the weights of all others are there from the start. The share of a stream
    is w_s z_s.

    Args:
        streams: {stream: dim}.
        num_classes: Number of logits.
        hidden: Length of e_k.
        num_added: Layers of each stream beyond the first.
        shares: w_s in the order of the streams; 1 / M of M streams for those beyond its end. [0.4, 0.6], audio first,
            in the authors' code.
    """

    by_modality = ("shares",)

    def __init__(
        self,
        streams: dict[str, int],
        num_classes: int,
        hidden: Count = 256,
        num_added: Whole = 10,
        shares: list[NotNegative] | None = None,
    ) -> None:
        super().__init__(streams, num_classes)
        self.hidden, self.num_layers = hidden, 1 + num_added
        self.shares = in_order(streams, shares, 1 / len(streams))
        self.layers = nn.ModuleDict({s: nn.Linear(dim, self.num_layers * hidden) for s, dim in streams.items()})
        self.classifier = nn.Linear(hidden, num_classes)
        for s in streams:
            self.register_buffer(f"num_used_{s}", torch.tensor(1))

    def num_used(self, s: str) -> Tensor:
        """n_s, scalar."""
        return self.get_buffer(f"num_used_{s}")

    def add_layer(self, s: str) -> None:
        """Take the next layer of a stream in use, if there is one."""
        self.num_used(s).add_(1).clamp_(max=self.num_layers)

    def by_layer(self, s: str, stream: Tensor) -> Tensor:
        """W e_k + b of all layers, [batch, layers, num_classes], from the stream [batch, dim]."""
        e = torch.relu(self.layers[s](stream)).unflatten(1, (self.num_layers, self.hidden))
        logits: Tensor = self.classifier(e)
        return logits

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> [batch, num_classes]."""
        return torch.stack(list(self.split(streams).values())).sum(dim=0)

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor]:
        """w_s z_s, {stream: [batch, num_classes]}."""
        place = torch.arange(self.num_layers, device=self.classifier.weight.device)
        used = {s: (place < self.num_used(s)).unsqueeze(1) for s in self.dims}
        return {s: w_s * (self.by_layer(s, streams[s]) * used[s]).sum(dim=1) for s, w_s in self.shares.items()}
