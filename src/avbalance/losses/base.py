"""What every loss promises."""

from torch import Tensor, nn

from avbalance.types import Output


class Loss(nn.Module):
    """Says which terms make the objective, from one batch's output and labels alone.

    A subclass takes `dims`, {modality: feature_dim}, and `num_classes` as its first arguments; its
    options follow by keyword. It may own parameters; it keeps no memory of the data.
    """

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """Named, already weighted scalar terms; their sum is the objective."""
        raise NotImplementedError
