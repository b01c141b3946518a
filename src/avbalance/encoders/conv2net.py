"""Conv2Net, the image encoder of the AV-MNIST study."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Rate


class Conv2Net(Encoder):
    """Two convolutions, each with ReLU and max-pooling, and one linear layer.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1a.

        conv 3x3, 32 -> ReLU -> max-pool 2 -> conv 3x3, 64 -> ReLU -> max-pool 2 -> linear 128 -> ReLU

    The paper's second linear layer is the head here. The paper leaves open the padding (1 here, so that only
    the pooling shrinks the image) and where dropout acts (on the 128 features here). It takes 28 x 28 images;
    any [channels, height, width] works.

    Args:
        shape: (channels, height, width) of one image.
        dropout: Probability that a feature is dropped in training.
    """

    feature_dim = 128
    layer_names = ("conv{1,2}", "linear", "dropout")

    def __init__(self, shape: Sequence[int], dropout: Rate = 0.5) -> None:
        super().__init__()
        if len(shape) != 3:
            raise UserError(f"encoder Conv2Net reads [channels, height, width], found {list(shape)}")
        channels, height, width = shape
        self.conv1 = nn.Conv2d(channels, 32, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3, padding=1)
        self.linear = nn.Linear(64 * (height // 4) * (width // 4), self.feature_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, 128]."""
        hidden = F.max_pool2d(torch.relu(self.conv1(inputs)), 2)
        hidden = F.max_pool2d(torch.relu(self.conv2(hidden)), 2)
        features: Tensor = self.dropout(torch.relu(self.linear(hidden.flatten(1))))
        return features
