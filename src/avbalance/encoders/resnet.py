"""ResNet-18, 34, 50, 101 and 152 (He et al., CVPR 2016) with adjustable width and number of input channels."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from avbalance.encoders.residual import Residual
from avbalance.errors import UserError
from avbalance.ranges import Count


class _Basic(nn.Module):
    """relu(x + bn2(conv2(relu(bn1(conv1(x)))))), where x passes a 1x1 convolution if its shape changes."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, channels, height / stride, width / stride]."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.downsample(x) + self.bn2(self.conv2(hidden)))


class _Bottleneck(nn.Module):
    """relu(x + bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x))))))))): 1x1 to `channels`, 3x3, 1x1 to four times as many.

    Departs from the paper: the stride is on the 3x3 convolution, as in torchvision.
    """

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, 4 * channels, kernel_size=1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * channels)
        self.downsample = _shortcut(in_channels, 4 * channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, 4 * channels, height / stride, width / stride]."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        hidden = torch.relu(self.bn2(self.conv2(hidden)))
        return torch.relu(self.downsample(x) + self.bn3(self.conv3(hidden)))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


class ResNet(Residual):
    """Four stages of residual blocks, then the mean over the image, and over the frames of a video.

    He et al., CVPR 2016, table 1. MMCosine (Xu et al., ICASSP 2023) uses ResNet-18 and 50 for the frames of a face or
    a bird and, with one input channel, for spectrograms; Gradient-Blending (Wang et al., CVPR 2020) ResNet-50 to 152
    for sound. Layers are named, shaped and initialised as in torchvision: at width 64 a state of its ResNets without
    `fc` fits. Importing them from there would cost four seconds.

        conv 7x7, width, stride 2 -> max-pool 3, stride 2 -> stages of width, 2, 4 and 8 width -> mean

    Args:
        shape: (height, width) of one spectrogram, (channels, height, width) of one image or (channels, frames, height,
            width) of one video.
        width: Channels of the first stage; 64 in the paper.
        frames: `apart`: each frame is encoded by itself; `stacked`: they are the channels of one image, so that the
            first convolution sees motion.
    """

    layer_names = (
        "{conv1,bn1,maxpool,linear}",
        "layer{1..4}{,.0.downsample.0,.0.downsample.1}",
        "layer{1..4}.{0..35}{,.conv1,.bn1,.conv2,.bn2,.conv3,.bn3,.downsample}",
    )
    first = "conv1.weight"
    block: ClassVar[type[_Basic] | type[_Bottleneck]] = _Basic
    num_blocks: ClassVar[tuple[int, int, int, int]]

    def __init__(self, shape: Sequence[int], width: Count = 64, frames: Literal["apart", "stacked"] = "apart") -> None:
        super().__init__()
        if len(shape) not in (2, 3, 4):
            raise UserError(
                f"encoder {type(self).__name__} reads [height, width], [channels, height, width] or [channels, frames, "
                f"height, width], found {list(shape)}"
            )
        self.feature_dim = 8 * width
        self.num_channels = 1 if len(shape) == 2 else shape[0]
        self.is_video = len(shape) == 4 and frames == "apart"
        self.num_frames = shape[1] if self.is_video else 1
        if len(shape) == 4 and frames == "stacked":
            self.num_channels *= shape[1]
        self.conv1 = nn.Conv2d(self.num_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.add_stages(self.block, self.block.expansion, width, self.num_blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def enter(self, inputs: Tensor) -> Tensor:
        """[batch, (channels, (frames,)) height, width] -> [images, width, *positions]; frames apart are images."""
        if self.is_video:
            inputs = inputs.transpose(1, 2)  # a frame is an image
        image = inputs.reshape(-1, self.num_channels, *inputs.shape[-2:])
        if self.conv1.weight.is_contiguous(memory_format=torch.channels_last):
            image = image.contiguous(memory_format=torch.channels_last)  # or conv1 would copy it in both directions
        x: Tensor = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        return x

    def leave(self, maps: Tensor) -> Tensor:
        """[images, channels, height, width] -> [batch, feature_dim]; once cut, maps by clip."""
        if self.is_cut:
            return self.by_clip(maps)
        return maps.mean(dim=(2, 3)).view(-1, self.num_frames, maps.shape[1]).mean(dim=1)

    def by_clip(self, maps: Tensor) -> Tensor:
        """[images, channels, height, width] -> [batch, channels, frames, height, width] where frames are apart."""
        return maps.unflatten(0, (-1, self.num_frames)).transpose(1, 2) if self.is_video else maps

    def by_frame(self, maps: Tensor) -> Tensor:
        """[batch, channels, frames, height, width] -> [images, channels, height, width] where frames are apart."""
        return maps.transpose(1, 2).flatten(0, 1) if self.is_video else maps


class ResNet18(ResNet):
    """ResNet with 2, 2, 2 and 2 blocks of two convolutions."""

    num_blocks = (2, 2, 2, 2)


class ResNet34(ResNet):
    """ResNet with 3, 4, 6 and 3 blocks of two convolutions."""

    num_blocks = (3, 4, 6, 3)


class ResNet50(ResNet):
    """ResNet with 3, 4, 6 and 3 bottlenecks, whose outputs are four times as wide.

    Args:
        shape, width, frames: As of ResNet.
        feature_dim: Length of the features, by one linear layer; MMCosine has 1024. None leaves them 32 * width long.
    """

    block = _Bottleneck
    num_blocks = (3, 4, 6, 3)

    def __init__(
        self,
        shape: Sequence[int],
        width: Count = 64,
        frames: Literal["apart", "stacked"] = "apart",
        feature_dim: Count | None = None,
    ) -> None:
        super().__init__(shape, width, frames)
        self.feature_dim = feature_dim or 32 * width
        self.linear = nn.Linear(32 * width, feature_dim) if feature_dim else nn.Identity()

    def leave(self, maps: Tensor) -> Tensor:
        """As of ResNet, then the linear layer."""
        features: Tensor = self.linear(super().leave(maps))
        return features

    def cut(self) -> None:
        """Drop the linear layer too."""
        super().cut()
        self.linear = nn.Identity()


class ResNet101(ResNet50):
    """ResNet with 3, 4, 23 and 3 bottlenecks."""

    num_blocks = (3, 4, 23, 3)


class ResNet152(ResNet50):
    """ResNet with 3, 8, 36 and 3 bottlenecks."""

    num_blocks = (3, 8, 36, 3)
