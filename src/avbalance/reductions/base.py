"""Base class of reductions."""

from collections.abc import Sequence
from math import prod

from torch import Tensor


class Reduction:
    """Turn a layer's features of one clip into one vector, the same way for every clip.

    A subclass takes `shape`, the shape of one clip's features, as its first argument; its options follow by keyword.

    Attributes:
        num_given: Number of features of a clip.
        num_features: Number of features that are left.
        num_bytes: Size of the tensors that it keeps in memory.
    """

    num_features: int
    num_bytes = 0

    def __init__(self, shape: Sequence[int]) -> None:
        self.num_given = prod(shape)

    def __call__(self, features: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, num_features]."""
        raise NotImplementedError
