"""A deep perceptron with a skip connection past its first half."""

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Count, Sixteens

NUM_GROUPS = 8
"""Number of groups of layers in each half."""


class SkipMLP(Encoder):
    """Fully connected layers of one width, with one long skip connection past the first half of them.

    Alain & Bengio, 2016, section 5.1 and Fig. 6: 128 layers of 128 units on MNIST.

        h_0 = x;   h_k = relu(W_k h_{k-1} + c_k)
        at k = depth / 2 + 1, with the skip:  h_k = relu(W_k [h_{k-1}; x] + c_k)

    Each half is `first` or `second` and has eight groups of depth / 16 layers: of 128 layers, `first.0` is h_8 and
    `second.7` is h_128, and `first.0.0` is h_1. The paper leaves open how the connection enters, the activation and the
    first weights. Here the input is put beside the output of the first half, and W_k is orthogonal times sqrt(2), so
    that the length of what passes a ReLU stays about the same; c_k = 0.

    Args:
        shape: Shape of one clip's input, which is read as one vector.
        depth: Number of layers, a multiple of 16.
        width: Units of each layer.
        skip: True for a network with the skip connection.
    """

    layer_names = ("{first,second}", "{first,second}.{0..7}", "{first,second}.{0..7}.{0..63}{,.0,.1}")

    def __init__(
        self,
        shape: Sequence[int],
        depth: Sixteens = 128,
        width: Count = 128,
        skip: bool = True,
    ) -> None:
        super().__init__()
        if depth < 1 or depth % (2 * NUM_GROUPS):
            raise UserError(f"encoder SkipMLP has depth {depth}; allowed: a multiple of {2 * NUM_GROUPS}")
        self.feature_dim = width
        self.skip = skip
        num_inputs, num_layers = prod(shape), depth // 2 // NUM_GROUPS
        self.first = _half(num_inputs, width, num_layers)
        self.second = _half(width + num_inputs if skip else width, width, num_layers)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.orthogonal_(module.weight, gain=sqrt(2))
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, width]."""
        x = inputs.flatten(1)
        hidden: Tensor = self.first(x)
        features: Tensor = self.second(torch.cat([hidden, x], dim=1) if self.skip else hidden)
        return features


def _half(num_entering: int, width: int, num_layers: int) -> nn.Sequential:
    """Groups of `num_layers` layers; the first layer of all gets `num_entering` numbers."""
    groups = []
    for _ in range(NUM_GROUPS):
        layers = []
        for _ in range(num_layers):
            layers.append(nn.Sequential(nn.Linear(num_entering, width), nn.ReLU()))
            num_entering = width
        groups.append(nn.Sequential(*layers))
    return nn.Sequential(*groups)
