"""The mean over positions."""

from collections.abc import Sequence

from torch import Tensor

from avbalance.reductions.base import Reduction


class Mean(Reduction):
    """One number a channel: its mean over all positions (Alain & Bengio, 2016, sections 3.4 and 4.1).

    Args:
        shape: (channels, *positions); without positions every feature stays.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.num_features = shape[0]

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        return features if features.dim() == 2 else features.flatten(2).mean(dim=2)
