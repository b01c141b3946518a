"""What every encoder promises."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turns one modality of a clip into one feature vector.

    A subclass takes `shape`, the shape of one clip's input without the batch dimension, as its first
    argument; its options follow by keyword.

    Attributes:
        feature_dim: Length of the feature vector.
    """

    feature_dim: int

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, feature_dim]."""
        raise NotImplementedError
