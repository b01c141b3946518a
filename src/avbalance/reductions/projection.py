"""A fixed random projection of the features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from avbalance.errors import UserError
from avbalance.ranges import Count, Whole
from avbalance.reductions.base import Reduction


class Projection(Reduction):
    """h R with entries of R drawn from N(0, 1 / num), always the same ones; distances are kept approximately.

    Alain & Bengio, 2016, section 3.4, who would learn R; a random one needs no training, which might overfit. R is as
    large as num times the layer's features.

    Args:
        shape: Shape of one clip's features.
        num: Number of features that are left; a layer with fewer keeps all.
        seed: Seed of R.
    """

    def __init__(self, shape: Sequence[int], num: Count, seed: Whole = 0) -> None:
        super().__init__(shape)
        if num < 1:
            raise UserError(f"reduction projection: num is {num}, but must be at least 1")
        self.num_features, self.seed = min(num, self.num_given), seed
        self.num_bytes = 4 * num * self.num_given if num < self.num_given else 0
        self.matrix: Tensor | None = None  # made when first used, so that num_bytes can be checked before

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        if self.num_features == self.num_given:
            return features.flatten(1)
        if self.matrix is None:
            generator = torch.Generator().manual_seed(self.seed)
            matrix = torch.randn(self.num_given, self.num_features, generator=generator)
            self.matrix = matrix.div_(self.num_features**0.5).to(features.device)
        return features.flatten(1) @ self.matrix
