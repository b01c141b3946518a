"""Non-local gate."""

import torch
from torch import Tensor, nn

from avbalance.errors import UserError
from avbalance.fusions.base import Fusion
from avbalance.ranges import Even


class NLGate(Fusion):
    """Add to each modality an attention-weighted sum over all modalities, itself included.

    G-Blend (Wang et al., CVPR 2020), fig. 1, with the non-local block (Wang et al., CVPR 2018, embedded Gaussian).

        x_i = P_i f_i + p_i                                  i: modality
        y_i = sum_j softmax_j(theta_i . phi_j) g_j           theta_i = W_theta x_i, phi_j = W_phi x_j, g_j = W_g x_j
        z_i = W_z y_i + x_i

    G-Blend gives no equation. Our reading: modalities take the place of positions, after each is projected to one
    length. As in the block theta, phi and g are half as long as x, without biases, and theta . phi is not scaled.
    Departs from the block: no batch norm, and W_z does not start at zero, for no trained network is to be kept.
    Stream z_i bears the name of modality i. Any number of modalities, of any lengths.

    Args:
        dims: {modality: feature_dim}.
        dim: Length of every x_i and z_i.
    """

    def __init__(self, dims: dict[str, int], dim: Even = 128) -> None:
        super().__init__(dims)
        if dim < 2:
            raise UserError(f"fusion NLGate has dim {dim}; allowed: 2 or more, for theta, phi and g are half as long")
        self.streams = dict.fromkeys(dims, dim)
        self.P = nn.ModuleDict({modality: nn.Linear(n, dim) for modality, n in dims.items()})
        self.W_theta = nn.Linear(dim, dim // 2, bias=False)
        self.W_phi = nn.Linear(dim, dim // 2, bias=False)
        self.W_g = nn.Linear(dim, dim // 2, bias=False)
        self.W_z = nn.Linear(dim // 2, dim, bias=False)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]} -> {modality: [batch, dim]}."""
        x = torch.stack([P(features[modality]) for modality, P in self.P.items()], dim=1)
        theta, phi, g = self.W_theta(x), self.W_phi(x), self.W_g(x)
        y = torch.softmax(theta @ phi.transpose(1, 2), dim=2) @ g
        z = self.W_z(y) + x
        return dict(zip(self.streams, z.unbind(dim=1), strict=True))
