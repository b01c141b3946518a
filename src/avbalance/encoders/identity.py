"""Features that were extracted elsewhere, as they are."""

from collections.abc import Sequence

from torch import Tensor

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError


class Identity(Encoder):
    """Features as they are, or their mean over time; nothing is learned.

    A step whose numbers are all zero is padding (see the reader `features`), so that it does not count:

        feature = sum_t x_t / number of t with x_t != 0        zeros if there is no such t

    Methods that act on the gradients of encoders find none here; `mlp` has weights.

    Args:
        shape: (dim,) of one feature vector, or (steps, dim) of a sequence of them.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        check_shape("Identity", shape)
        self.feature_dim = shape[-1]

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, (steps,) dim] -> [batch, dim]."""
        return mean_over_steps(inputs)


def check_shape(encoder: str, shape: Sequence[int]) -> None:
    """Refuse a shape that is not that of features."""
    if len(shape) not in (1, 2):
        raise UserError(f"encoder {encoder} reads [dim] or [steps, dim], found {list(shape)}")


def mean_over_steps(inputs: Tensor) -> Tensor:
    """[batch, (steps,) dim] -> [batch, dim], without the steps that are all zeros."""
    if inputs.dim() == 2:
        return inputs
    num_steps = inputs.ne(0).any(dim=2).sum(dim=1, keepdim=True)
    return inputs.sum(dim=1) / num_steps.clamp(min=1)
