"""Base class of fusions."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from avbalance.requirements import Combination, Encoder, check


class Fusion(nn.Module):
    """Combine the features of several modalities into streams.

    A subclass takes `dims`, {modality: feature_dim}, as its first argument; its options follow by keyword.

    Attributes:
        two_modalities: True if the method is defined for exactly two modalities.
        equal_dims: True if all features must have one length.
        reads_maps: True if features are feature maps [batch, feature_dim, *positions] of encoders without their last
            stage (see `Encoder.cut`).
        joins_stages: True if the encoders exchange maps between their stages, through `junctions`.
        junctions: A module for each of the maps that `Encoder.stages` yields, {modality: maps} -> the same shapes; none
            unless `joins_stages`.
        mixes: True if a stream depends on more than one modality. Streams of a fusion that does not mix
            are named by their modality, which makes the exact split of the logits possible.
        streams: {stream: dim}, what `forward` returns: one stream a modality, or one named `joint`.
    """

    two_modalities: ClassVar[bool] = False
    equal_dims: ClassVar[bool] = False
    reads_maps: ClassVar[bool] = False
    joins_stages: ClassVar[bool] = False
    mixes: ClassVar[bool] = True
    streams: dict[str, int]

    def __init__(self, dims: dict[str, int]) -> None:
        super().__init__()
        self.junctions = nn.ModuleList()
        declared = {"two_modalities": self.two_modalities, "equal_dims": self.equal_dims}
        row = Combination({modality: Encoder(modality, dim) for modality, dim in dims.items()})
        check("fusion", type(self).__name__, declared, row)

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]} -> {stream: [batch, dim]}."""
        raise NotImplementedError

    def join(self, stage_dims: Mapping[str, Sequence[int]]) -> None:
        """Make `junctions` for encoders of these `stage_dims`, {modality: channels}; called once if `joins_stages`."""
