"""Base class of losses."""

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from avbalance.types import Output


def objective(logits: Tensor, labels: Tensor, reduction: Literal["mean", "none"] = "mean") -> Tensor:
    """Objective of the dataset's task: its mean over clips, scalar, or with `none` that of each clip, [batch].

    Cross-entropy for labels [batch], int64. Where a clip has several classes, labels are zeros and ones
    [batch, num_classes], float32, and it is binary cross-entropy, mean over classes.
    """
    if labels.dim() == 2:
        losses = binary_cross_entropy_with_logits(logits, labels, reduction=reduction)
        return losses if reduction == "mean" else losses.mean(dim=1)
    return cross_entropy(logits, labels, reduction=reduction)


class Loss(nn.Module):
    """Compute the terms of the objective from one batch's output and labels alone.

    A subclass takes `dims`, {modality: feature_dim}, and `num_classes` as its first arguments; its
    options follow by keyword. It may own parameters; it keeps no memory of the data.

    Attributes:
        tasks: Tasks of datasets for which the loss is defined.
        curve_names: As of `Balancer`.
    """

    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")
    curve_names: ClassVar[tuple[str, ...]]

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Named, already weighted scalar terms; their sum is the objective."""
        raise NotImplementedError

    def curves(self) -> dict[str, float]:
        """{name: value} of the loss's state to plot after an epoch."""
        return {}
