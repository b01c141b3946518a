"""What every reduction promises."""

from collections.abc import Sequence
from math import prod

from torch import Tensor


class Reduction:
    """Turns a layer's features of one clip into one vector, the same way for every clip.

    A subclass takes `shape`, the shape of one clip's features, as its first argument; its options follow by keyword.

    Attributes:
        num_given: How many features a clip has.
        num_features: How many are left.
        num_bytes: Of what it keeps in memory.
    """

    num_features: int
    num_bytes = 0

    def __init__(self, shape: Sequence[int]) -> None:
        self.num_given = prod(shape)

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        raise NotImplementedError
