"""The frame that R3D, R(2+1)D and ip-CSN fill with convolutions of their own."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from avbalance.encoders.residual import Residual
from avbalance.errors import UserError
from avbalance.ranges import Count

Convolution = Callable[[int, int, int, int], nn.Module]
NUM_BLOCKS = {
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}


class ResNet3D(Residual):
    """A ResNet whose convolutions span frames too: stem -> four stages -> mean over all positions.

    Tran et al., CVPR 2018, table 1; Tran et al., ICCV 2019. Depths 18 and 34 have blocks of two 3x3x3 convolutions,
    the others bottlenecks of 1x1x1, 3x3x3 and 1x1x1. From the second stage on, each halves frames, height and width.
    A subclass defines the replacement of a 3x3x3 convolution and the stem. Layers are named, shaped and
    initialised as in torchvision.

    Args:
        shape: (channels, frames, height, width) of one video; 3 channels of colour, 2 of optical flow, or any other.
        depth: Number of layers.
        width: Channels of the first stage; 64 in the paper.
    """

    layer_names = (
        "stem{,.0,.1,.2,.3,.4,.5}",
        "layer{1..4}{,.0.downsample.0,.0.downsample.1}",
        "layer{1..4}.{0..35}{,.conv1,.conv2,.conv3,.downsample}",
        "layer{1..4}.{0..35}.conv{1..3}.{0..2}{,.0,.1,.2,.3}",
    )
    first = "stem.0.weight"

    def __init__(self, shape: Sequence[int], depth: Literal[18, 26, 34, 50, 101, 152] = 50, width: Count = 64) -> None:
        super().__init__()
        if len(shape) != 4:
            raise UserError(
                f"encoder {type(self).__name__} reads [channels, frames, height, width], found {list(shape)}"
            )
        if depth not in NUM_BLOCKS:
            allowed = ", ".join(map(str, NUM_BLOCKS))
            raise UserError(f"encoder {type(self).__name__}: depth {depth} is not there; allowed: {allowed}")
        self.feature_dim = (8 if depth in (18, 34) else 32) * width
        self.stem = self.begin(shape[0], width)
        block = partial(_Basic if depth in (18, 34) else _Bottleneck, self.convolution)
        self.add_stages(block, self.feature_dim // (8 * width), width, NUM_BLOCKS[depth])
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def begin(self, in_channels: int, width: int) -> nn.Sequential:
        """The stem: `width` channels, height and width halved."""
        convolution = nn.Conv3d(in_channels, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU())

    def convolution(self, in_channels: int, channels: int, stride: int, entering: int) -> nn.Module:
        """Layers in place of a 3x3x3 convolution; `entering` channels enter its block."""
        raise NotImplementedError

    def enter(self, inputs: Tensor) -> Tensor:
        """[batch, channels, frames, height, width] -> [batch, width, *positions], by the stem."""
        x: Tensor = self.stem(inputs)
        return x

    def leave(self, maps: Tensor) -> Tensor:
        """[batch, channels, *positions] -> [batch, feature_dim], their mean; once cut, the maps."""
        return maps if self.is_cut else maps.mean(dim=(2, 3, 4))


class _Basic(nn.Module):
    """relu(x + conv2(conv1(x))), where x passes a 1x1x1 convolution if its shape changes."""

    def __init__(self, convolution: Convolution, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        first = convolution(in_channels, channels, stride, in_channels)
        self.conv1 = nn.Sequential(first, nn.BatchNorm3d(channels), nn.ReLU())
        self.conv2 = nn.Sequential(convolution(channels, channels, 1, in_channels), nn.BatchNorm3d(channels))
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, *positions] -> [batch, channels, *positions / stride]."""
        return torch.relu(self.downsample(x) + self.conv2(self.conv1(x)))


class _Bottleneck(nn.Module):
    """relu(x + conv3(conv2(conv1(x)))): 1x1x1 to `channels`, 3x3x3 with the stride, 1x1x1 to four times as many."""

    def __init__(self, convolution: Convolution, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        narrowing = nn.Conv3d(in_channels, channels, kernel_size=1, bias=False)
        self.conv1 = nn.Sequential(narrowing, nn.BatchNorm3d(channels), nn.ReLU())
        middle = convolution(channels, channels, stride, channels)
        self.conv2 = nn.Sequential(middle, nn.BatchNorm3d(channels), nn.ReLU())
        widening = nn.Conv3d(channels, 4 * channels, kernel_size=1, bias=False)
        self.conv3 = nn.Sequential(widening, nn.BatchNorm3d(4 * channels))
        self.downsample = _shortcut(in_channels, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, *positions] -> [batch, 4 * channels, *positions / stride]."""
        return torch.relu(self.downsample(x) + self.conv3(self.conv2(self.conv1(x))))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    convolution = nn.Conv3d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(out_channels))
