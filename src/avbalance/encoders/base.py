"""Base class of encoders."""

from collections.abc import Generator
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turn one modality of a clip into one feature vector.

    A subclass takes `shape`, the shape of one clip's input without the batch dimension, as its first
    argument; its options follow by keyword.

    Attributes:
        feature_dim: Length of the feature vector.
        layer_names: Names of its modules at any of its options; `{a,b}` stands for either, `{0..3}` for a number.
            Probes of other layers are refused before anything runs. Empty if unknown.
        has_maps: True if the encoder has `cut` and `stages`, which fusions of feature maps need.
        requires_package: Package of an extra that the encoder is made of, which has the name of the extra.
        stage_dims: Channels of each of the maps that `stages` yields; only there with `has_maps`.
    """

    layer_names: ClassVar[tuple[str, ...]] = ()
    has_maps: ClassVar[bool] = False
    requires_package: ClassVar[tuple[str, ...]] = ()
    feature_dim: int
    stage_dims: tuple[int, ...]

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

    def stages(self, inputs: Tensor) -> Generator[Tensor, Tensor, None]:
        """Run `forward` in parts, so that a fusion can exchange maps between encoders.

        Yields the maps after each of several stages, [batch, channels, *positions], each time goes on with the maps
        that are sent, and yields the features last, [batch, feature_dim].
        """
        raise NotImplementedError
