"""What every loss promises."""

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from avbalance.types import Output


def objective(logits: Tensor, labels: Tensor) -> Tensor:
    """What the data's task minimises, mean over clips; scalar.

    Cross-entropy for labels [batch], int64. Where a clip has several classes, labels are zeros and ones
    [batch, num_classes], float32, and it is binary cross-entropy, mean over classes.
    """
    if labels.dim() == 2:
        return binary_cross_entropy_with_logits(logits, labels)
    return cross_entropy(logits, labels)


class Loss(nn.Module):
    """Says which terms make the objective, from one batch's output and labels alone.

    A subclass takes `dims`, {modality: feature_dim}, and `num_classes` as its first arguments; its
    options follow by keyword. It may own parameters; it keeps no memory of the data.

    Attributes:
        tasks: Of data, on which it is defined.
        curve_names: As of `Balancer`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")
    curve_names: ClassVar[tuple[str, ...]]

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Named, already weighted scalar terms; their sum is the objective."""
        raise NotImplementedError

    def curves(self) -> dict[str, float]:
        """What of its state is worth a curve over the epochs, by name."""
        return {}
