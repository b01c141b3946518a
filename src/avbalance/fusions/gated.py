"""Gated fusion, made symmetric."""

import torch
from torch import Tensor, nn

from avbalance.fusions.base import Fusion


class Gated(Fusion):
    """Each modality opens and closes the other's features.

    Kiela et al., AAAI 2018, with a second stream in which the roles are switched: MMCosine (Xu et al., ICASSP
    2023), section 3.2.

        x' = sigmoid(F_y y) * F_x x
        y' = sigmoid(F_x x) * F_y y

    F_x and F_y are one linear layer each, used in both streams, and keep the features' length. Stream x'
    bears the name of x, the modality that is gated.
    """

    two_modalities = True
    equal_dims = True

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = dict(dims)
        self.x, self.y = dims
        dim = dims[self.x]
        self.F_x = nn.Linear(dim, dim)
        self.F_y = nn.Linear(dim, dim)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> the same shapes."""
        x, y = self.F_x(features[self.x]), self.F_y(features[self.y])
        return {self.x: torch.sigmoid(y) * x, self.y: torch.sigmoid(x) * y}
