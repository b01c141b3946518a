"""ResNet-18 with adjustable width and number of input channels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from avbalance.cli import UserError
from avbalance.encoders.base import Encoder


class ResNet18(Encoder):
    """Four stages of two residual blocks, then the mean over the image, and over the frames of a video.

    He et al., CVPR 2016, table 1. MMCosine (Xu et al., ICASSP 2023) uses it for the frames of a face and, with one
    input channel, for spectrograms. Layers are named, shaped and initialised as in torchvision: at width 64 a state
    of its `resnet18` without `fc` fits. Importing it from there would cost four seconds.

        conv 7x7, width, stride 2 -> max-pool 3, stride 2 -> 2 blocks each of width, 2, 4 and 8 width -> mean

    Args:
        shape: (height, width) of one spectrogram, (channels, height, width) of one image or (channels, frames, height,
            width) of one video.
        width: Channels of the first stage; 64 in the paper.
        frames: `apart`: each frame is encoded by itself; `stacked`: they are the channels of one image, so that the
            first convolution sees motion.
    """

    def __init__(self, shape: Sequence[int], width: int = 64, frames: Literal["apart", "stacked"] = "apart") -> None:
        super().__init__()
        if len(shape) not in (2, 3, 4):
            raise UserError(
                "encoder ResNet18 reads [height, width], [channels, height, width] or [channels, frames, height, "
                f"width], found {list(shape)}"
            )
        self.feature_dim = 8 * width
        self.num_channels = 1 if len(shape) == 2 else shape[0]
        self.num_frames = shape[1] if len(shape) == 4 and frames == "apart" else 1
        if len(shape) == 4 and frames == "stacked":
            self.num_channels *= shape[1]
        self.conv1 = nn.Conv2d(self.num_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, (channels, (frames,)) height, width] -> [batch, 8 * width]."""
        if self.num_frames > 1:
            inputs = inputs.transpose(1, 2)  # a frame is an image
        image = inputs.reshape(-1, self.num_channels, *inputs.shape[-2:])
        hidden = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        features: Tensor = hidden.mean(dim=(2, 3)).view(-1, self.num_frames, self.feature_dim).mean(dim=1)
        return features


class _Block(nn.Module):
    """relu(x + bn2(conv2(relu(bn1(conv1(x)))))), where x passes a 1x1 convolution if its shape changes."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential()
        if stride != 1:
            self.downsample.append(nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, channels, height / stride, width / stride]."""
        hidden = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.downsample(x) + self.bn2(self.conv2(hidden)))


def _stage(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(_Block(in_channels, channels, stride), _Block(channels, channels, stride=1))
