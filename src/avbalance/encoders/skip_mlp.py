"""A perceptron so deep that it trains only past half of itself."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from avbalance.cli import UserError
from avbalance.encoders.base import Encoder


class SkipMLP(Encoder):
    """Fully connected layers of one width, with one long skip connection past the first half.

    Alain & Bengio, 2016, section 5.1 and Fig. 6: 128 layers of 128 units.

        h_0 = x;   h_k = relu(W_k h_{k-1} + c_k);   with the skip, for k = depth / 2 + 1:  h_k = relu(W_k [h_{k-1}, x] + c_k)

    Layers are named layer1 to layer<depth>, which are h_1 to h_depth. The paper says that the connection "bypasses the
    first half of the model completely", and leaves open how it enters, the activation and the first weights. Ours: the
    input is put beside the output of the first half.

    Args:
        shape: Of one clip's input; it is read as one vector.
        depth: Number of layers, even.
        width: Units of each.
        skip: Whether the connection is there.
    """

    def __init__(self, shape: Sequence[int], depth: int = 128, width: int = 128, skip: bool = True, init: str = "he", act: str = "relu") -> None:
        super().__init__()
        if depth < 2 or depth % 2:
            raise UserError(f"encoder SkipMLP has depth {depth}; allowed: an even number from 2")
        self.feature_dim = width
        self.skip_into = f"layer{depth // 2 + 1}" if skip else None
        num_inputs = num_entering = prod(shape)
        for number in range(1, depth + 1):
            name = f"layer{number}"
            if name == self.skip_into:
                num_entering += num_inputs
            linear = nn.Linear(num_entering, width)
            if init == "he":
                nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                nn.init.zeros_(linear.bias)
            elif init == "glorot":
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
            elif init == "glorotg":
                nn.init.xavier_uniform_(linear.weight, gain=1.2)
                nn.init.zeros_(linear.bias)
            elif init == "orth":
                nn.init.orthogonal_(linear.weight, gain=2**.5)
                nn.init.zeros_(linear.bias)
            self.add_module(name, nn.Sequential(linear, nn.ReLU() if act == "relu" else nn.Tanh()))
            num_entering = width

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, *shape] -> [batch, width]."""
        x = hidden = inputs.flatten(1)
        for name, layer in self.named_children():
            hidden = layer(torch.cat([hidden, x], dim=1) if name == self.skip_into else hidden)
        return hidden
