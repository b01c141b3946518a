"""Factorised bilinear fusion."""

from torch import Tensor, nn

from avbalance.fusions.base import Fusion
from avbalance.ranges import Count


class FactorisedBilinear(Fusion):
    """Bilinear fusion of low rank: both features meet in one hidden space.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1d, after
    Fukui et al., EMNLP 2016.

        f_fused = ((f_img W_img) * (f_aud W_aud)) W_f

    The paper leaves the sizes of the hidden space and of f_fused open.

    Args:
        dims: {modality: feature_dim} of two modalities.
        hidden: h, length of the space in which they meet.
        dim: n_f, length of the fused feature.
    """

    two_modalities = True

    def __init__(self, dims: dict[str, int], hidden: Count = 128, dim: Count = 128) -> None:
        super().__init__(dims)
        self.img, self.aud = dims
        self.streams = {"joint": dim}
        self.W_img = nn.Linear(dims[self.img], hidden, bias=False)
        self.W_aud = nn.Linear(dims[self.aud], hidden, bias=False)
        self.W_f = nn.Linear(hidden, dim, bias=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]} -> {"joint": [batch, dim]}."""
        return {"joint": self.W_f(self.W_img(features[self.img]) * self.W_aud(features[self.aud]))}
