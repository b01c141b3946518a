"""Sum of features."""

import torch
from torch import Tensor

from avbalance.fusions.base import Fusion


class Addition(Fusion):
    """Features are added element by element.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1d.

        f_fused = f_img + f_aud

    Any number of modalities; nothing is learned.
    """

    equal_dims = True

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = {"joint": next(iter(dims.values()))}

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> {"joint": [batch, dim]}."""
        return {"joint": torch.stack(list(features.values())).sum(dim=0)}
