"""Bilinear fusion."""

import torch
from torch import Tensor, nn

from avbalance.fusions.base import Fusion
from avbalance.ranges import Count


class Bilinear(Fusion):
    """Every product of an image feature and an audio feature has its own weight.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1d.

        f_fused_i = f_img^T W_i f_aud        W in R^{n_f x n_i x n_a}

    The paper leaves open how W starts: N(0, 1 / (n_i n_a)) here, which gives f_fused variance 1 if the mean
    squares of the features are 1.

    Args:
        dims: {modality: feature_dim} of two modalities.
        dim: n_f, length of the fused feature.
    """

    two_modalities = True

    def __init__(self, dims: dict[str, int], dim: Count = 128) -> None:
        super().__init__(dims)
        self.img, self.aud = dims
        n_i, n_a = dims[self.img], dims[self.aud]
        self.streams = {"joint": dim}
        self.W = nn.Parameter(torch.randn(dim, n_i, n_a) / (n_i * n_a) ** 0.5)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]} -> {"joint": [batch, dim]}."""
        return {"joint": torch.einsum("bi,fia,ba->bf", features[self.img], self.W, features[self.aud])}
