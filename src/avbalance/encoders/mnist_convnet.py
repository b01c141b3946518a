"""The convolutional network of TensorFlow's MNIST tutorial."""

from collections.abc import Sequence

from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Count, Rate

DEVIATION = 0.1
"""Standard deviation of the initial weights, drawn from a normal distribution cut off at two deviations."""


class MNISTConvNet(Encoder):
    """Two convolutions, each with ReLU and max-pooling, and one fully connected layer.

    Alain & Bengio, 2016, section 3.5 and Fig. 2: the model image/mnist/convolutional.py of tensorflow/models. The paper
    prints neither sizes nor first weights; those here are that file's.

        conv 5x5, 32 -> ReLU -> max-pool 2 -> conv 5x5, 64 -> ReLU -> max-pool 2 -> linear 512 -> ReLU

    Layers are named as in the paper's figures, so that a probe sits on each side of every convolution, activation and
    pooling: conv1_preact, conv1_postact, conv1_postpool, the same of conv2, fc1_preact and fc1_postact. Convolutions
    are padded so that only pooling shrinks the image. The last fully connected layer is the head here. It takes 28 x 28
    images; any [channels, height, width] from 4 x 4 works.

    Args:
        shape: (channels, height, width) of one image.
        width: Channels of the first convolution; the second has twice, the linear layer 16 times as many.
        dropout: Probability that a feature is dropped in training, behind fc1_postact.
    """

    layer_names = ("conv{1,2}_{preact,postact,postpool}", "flatten", "fc1_{preact,postact}", "dropout")

    def __init__(self, shape: Sequence[int], width: Count = 32, dropout: Rate = 0.5) -> None:
        super().__init__()
        if len(shape) != 3:
            raise UserError(f"encoder MNISTConvNet reads [channels, height, width], found {list(shape)}")
        channels, height, image_width = shape
        self.feature_dim = 16 * width
        self.conv1_preact = nn.Conv2d(channels, width, kernel_size=5, padding=2)
        self.conv1_postact = nn.ReLU()
        self.conv1_postpool = nn.MaxPool2d(2)
        self.conv2_preact = nn.Conv2d(width, 2 * width, kernel_size=5, padding=2)
        self.conv2_postact = nn.ReLU()
        self.conv2_postpool = nn.MaxPool2d(2)
        self.flatten = nn.Flatten()
        self.fc1_preact = nn.Linear(2 * width * (height // 4) * (image_width // 4), 16 * width)
        self.fc1_postact = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        for layer, bias in ((self.conv1_preact, 0.0), (self.conv2_preact, 0.1), (self.fc1_preact, 0.1)):
            nn.init.trunc_normal_(layer.weight, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, 16 * width]."""
        hidden = inputs
        for layer in self.children():
            hidden = layer(hidden)
        return hidden
