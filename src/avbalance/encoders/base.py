"""What every encoder promises."""

from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turns one modality of a clip into one feature vector.

    A subclass takes `shape`, the shape of one clip's input without the batch dimension, as its first
    argument; its options follow by keyword.

    Attributes:
        feature_dim: Length of the feature vector.
        layer_names: Of its modules at any of its options, `{a,b}` being one of both and `{0..3}` a number, by which
            probes of other layers are refused before anything runs; empty where it does not say.
        has_maps: Whether `cut` is there, so that a fusion inside the encoders can be used.
    """

    layer_names: ClassVar[tuple[str, ...]] = ()
    has_maps: ClassVar[bool] = False
    feature_dim: int

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, feature_dim]."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Start from trained weights, such as another run's encoder; a family may know other layouts too."""
        self.load_state_dict(state)

    def cut(self) -> None:
        """Drop the last stage and the mean over positions; from then on `forward` gives feature maps.

        `feature_dim` becomes their number of channels: [batch, *shape] -> [batch, feature_dim, *positions], positions
        being (height, width) of an image or spectrogram, or (frames, height, width) of a video.
        """
        raise NotImplementedError
