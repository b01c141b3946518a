"""What every head promises."""

from torch import Tensor, nn


class Head(nn.Module):
    """Turns streams into logits.

    A subclass takes `streams`, {stream: dim}, and `num_classes` as its first arguments; its options
    follow by keyword.
    """

    def forward(self, streams: dict[str, Tensor]) -> Tensor:
        """{stream: [batch, dim]} -> logits [batch, num_classes], float32."""
        raise NotImplementedError

    def split(self, streams: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """Each stream's share of the logits, {stream: [batch, num_classes]}; the shares sum to the logits.

        None where the logits are no such sum.
        """
        return None
