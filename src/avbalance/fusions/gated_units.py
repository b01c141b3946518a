"""Gated multimodal units."""

import torch
from torch import Tensor, nn

from avbalance.fusions.base import Fusion


class GatedUnits(Fusion):
    """Every modality gates itself; the gated features, side by side, are gated once more.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1d, "gated", after
    Arevalo et al., ICLR workshop 2017.

        f_0     = [sigmoid(f_img W_img) * f_img, sigmoid(f_aud W_aud) * f_aud]
        f_fused = sigmoid(f_0 W_0) * f_0

    The paper asks for features of one length; the equations do not need it. Any number of modalities.
    """

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        total = sum(dims.values())
        self.streams = {"joint": total}
        self.W = nn.ModuleDict({modality: nn.Linear(dim, dim, bias=False) for modality, dim in dims.items()})
        self.W_0 = nn.Linear(total, total, bias=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> {"joint": [batch, sum of dims]}."""
        f_0 = torch.cat(
            [torch.sigmoid(W(features[modality])) * features[modality] for modality, W in self.W.items()],
            dim=1,
        )
        return {"joint": torch.sigmoid(self.W_0(f_0)) * f_0}
