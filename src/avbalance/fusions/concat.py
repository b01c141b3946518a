"""Concatenation of features."""

from torch import Tensor

from avbalance.fusions.base import Fusion


class Concat(Fusion):
    """Features stand side by side; the head sees all of them.

    MMCosine (Xu et al., ICASSP 2023), eqs. 1 and 2, there called mid-concat.

        W [f_a; f_v] + b = W_a f_a + W_v f_v + b

    Concatenating is the head's summing over streams, so each modality simply is a stream.
    """

    mixes = False

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__(dims)
        self.streams = dict(dims)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, dim]} -> the same."""
        return features
