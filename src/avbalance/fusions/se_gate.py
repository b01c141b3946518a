"""Squeeze-and-excitation gate."""

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.fusions.base import Fusion
from avbalance.ranges import Count


class SEGate(Fusion):
    """Gate each feature by a factor that depends on all modalities.

    G-Blend (Wang et al., CVPR 2020), fig. 1: fusion by gating (Kiela et al., AAAI 2018) with the
    squeeze-and-excitation block (Hu et al., CVPR 2018).

        z             = [f_1; ...; f_M]
        g             = sigmoid(W_2 relu(W_1 z))        W_1 shortens z by the reduction, W_2 restores its length
        [s_1; ...; s_M] = g * z

    G-Blend gives no equation. Our reading: features are means over positions, so they are squeezed already; one
    block gates the concatenated features; as in Hu et al. it has no biases. Stream s_m bears the name of modality
    m, whose features it holds. Any number of modalities, of any lengths.

    Args:
        dims: {modality: feature_dim}.
        reduction: Factor by which the hidden layer is shorter than z; it has at least one unit.
    """

    def __init__(self, dims: dict[str, int], reduction: Count = 16) -> None:
        super().__init__(dims)
        if reduction < 1:
            raise UserError(f"fusion SEGate has reduction {reduction}; allowed: 1 or more")
        self.streams = dict(dims)
        total = sum(dims.values())
        hidden = max(1, total // reduction)
        self.W_1 = nn.Linear(total, hidden, bias=False)
        self.W_2 = nn.Linear(hidden, total, bias=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> the same shapes."""
        z = torch.cat([features[modality] for modality in self.streams], dim=1)
        g = torch.sigmoid(self.W_2(torch.relu(self.W_1(z))))
        return dict(zip(self.streams, (g * z).split(list(self.streams.values()), dim=1), strict=True))
