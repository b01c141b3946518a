"""A fixed random subset of the features."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avbalance.errors import UserError
from avbalance.ranges import Count, Whole
from avbalance.reductions.base import Reduction


class Subset(Reduction):
    """Features drawn at random without replacement, always the same ones (Alain & Bengio, 2016, sections 3.4 and 4.2).

    Args:
        shape: Shape of one clip's features.
        num: Number of features that are left; a layer with fewer keeps all.
        seed: Seed of the choice.
    """

    def __init__(self, shape: Sequence[int], num: Count, seed: Whole = 0) -> None:
        super().__init__(shape)
        if num < 1:
            raise UserError(f"reduction subset: num is {num}, but must be at least 1")
        self.num_features = min(num, self.num_given)
        chosen = np.random.default_rng(seed).choice(self.num_given, self.num_features, replace=False)
        self.chosen = torch.from_numpy(np.sort(chosen))
        self.num_bytes = self.chosen.nbytes

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        self.chosen = self.chosen.to(features.device)
        return features.flatten(1)[:, self.chosen]
