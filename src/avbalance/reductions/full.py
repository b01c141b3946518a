"""All features."""

from collections.abc import Sequence

from torch import Tensor

from avbalance.reductions.base import Reduction


class Full(Reduction):
    """Every feature at every position (Alain & Bengio, 2016, section 3.5)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        self.num_features = self.num_given

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        return features.flatten(1)
