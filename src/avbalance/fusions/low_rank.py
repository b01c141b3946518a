"""Low-rank multi-modal fusion."""

from functools import reduce

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.fusions.base import Fusion
from avbalance.ranges import Count


class LowRank(Fusion):
    """LMF: every product of features, one a modality, has a weight, and the tensor of weights is of low rank.

    Liu et al., ACL 2018; in G-Blend (Wang et al., CVPR 2020), section 3.3.

        h = W . ([f_1; 1] x ... x [f_M; 1]) + b            x: outer product
        W = sum_r w_1^(r) x ... x w_M^(r)                  for each element of h
        h = sum_r prod_m W_m^(r) [f_m; 1] + b              the same, without ever forming W; prod by element

    The 1 keeps products of fewer modalities, down to single features. Any number of modalities. The paper leaves
    open how W_m starts: N(0, R^(-1/M) / (n_m + 1)) for n_m features here, which gives h variance 1 if the mean
    squares of the features are 1; b starts at 0.

    Args:
        dims: {modality: feature_dim}.
        rank: R, number of terms.
        dim: Length of h.
    """

    def __init__(self, dims: dict[str, int], rank: Count = 4, dim: Count = 128) -> None:
        super().__init__(dims)
        if rank < 1 or dim < 1:
            raise UserError(f"fusion LowRank has rank {rank} and dim {dim}; allowed: 1 or more")
        self.streams = {"joint": dim}
        variance = rank ** (-1 / len(dims))
        self.W = nn.ParameterDict(
            {modality: torch.randn(rank, n + 1, dim) * (variance / (n + 1)) ** 0.5 for modality, n in dims.items()}
        )
        self.b = nn.Parameter(torch.zeros(dim))

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]} -> {"joint": [batch, dim]}."""
        factors = []
        for modality, W in self.W.items():
            f = features[modality]
            f_1 = torch.cat([f, torch.ones_like(f[:, :1])], dim=1)
            factors.append(torch.einsum("bn,rnd->brd", f_1, W))
        return {"joint": reduce(torch.mul, factors).sum(dim=1) + self.b}
