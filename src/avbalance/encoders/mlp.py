"""A perceptron on features that were extracted elsewhere."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.encoders.identity import check_shape, mean_over_steps
from avbalance.ranges import Rate, Widths


class MLP(Encoder):
    """Linear layers with ReLU and dropout, on features or on their mean over time.

    The mean leaves out steps of zeros, as that of `identity` does.

        h_0 = x;   h_k = dropout(relu(W_k h_{k-1} + c_k))

    Args:
        shape: (dim,) of one feature vector, or (steps, dim) of a sequence of them.
        hidden: Units of each layer, at most 16 layers; the last number is the length of the features.
        dropout: Probability that a unit is dropped in training.
    """

    layer_names = ("layer{1..16}{,.linear,.relu,.dropout}",)

    def __init__(self, shape: Sequence[int], hidden: Widths, dropout: Rate = 0.0) -> None:
        super().__init__()
        check_shape("MLP", shape)
        num_entering = shape[-1]
        for number, width in enumerate(hidden, start=1):
            parts = {"linear": nn.Linear(num_entering, width), "relu": nn.ReLU(), "dropout": nn.Dropout(dropout)}
            self.add_module(f"layer{number}", nn.Sequential(OrderedDict(parts)))
            num_entering = width
        self.feature_dim = hidden[-1]

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, (steps,) dim] -> [batch, hidden[-1]]."""
        x = mean_over_steps(inputs)
        for layer in self.children():
            x = layer(x)
        return x
