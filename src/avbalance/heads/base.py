"""Base class of heads."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Head(nn.Module):
    """Turn streams into logits.

    A subclass takes `streams`, {stream: dim}, and `num_classes` as its first arguments; its options
    follow by keyword.

    Attributes:
        dims: {stream: dim}.
        num_classes: Number of logits.
        equal_dims: True if all streams, and so all features, must have one length.
        by_modality: Options that list a value for each modality, in the order of the modalities.
    """

    equal_dims: ClassVar[bool] = False
    by_modality: ClassVar[tuple[str, ...]] = ()

    def __init__(self, streams: dict[str, int], num_classes: int) -> None:
        super().__init__()
        self.dims, self.num_classes = dict(streams), num_classes

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> logits [batch, num_classes], float32."""
        raise NotImplementedError

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Start from trained weights, such as another run's head; a head may know a published classifier's too."""
        self.load_state_dict(state)

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Each stream's share of the logits, {stream: [batch, num_classes]}; the shares sum to the logits.

        None if the logits are not such a sum.
        """
        return None

    def embedding(self, streams: dict[str, Tensor]) -> Tensor:
        """Input of the decision, scaled to length 1, {stream: [batch, dim]} -> [batch, dims].

        Two clips show one person where the cosine of their embeddings is high: of a head that looks at all streams
        together, the concatenated streams.
        """
        return normalize(torch.cat(list(streams.values()), dim=1))
