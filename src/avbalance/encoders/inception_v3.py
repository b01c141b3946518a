"""Inception v3 with adjustable width, and its auxiliary branch."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Even, Rate

Size = tuple[int, int]
Step = tuple[int, Size] | tuple[int, Size, Size]
"""A convolution: its channels and kernel; with two kernels, two side by side, whose channels are concatenated."""
FIRST_CHANNELS = 32
"""Channels are given for this width, which is the paper's."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEVIATION, BRANCH_DEVIATION = 0.1, 0.01
"""Standard deviations of the initial weights, and of those of the auxiliary branch's 5x5 convolution."""
LEAST_SIZE, LEAST_SIZE_WITH_BRANCH = 75, 107


class InceptionV3(Encoder):
    """Five convolutions and eleven inception modules, then the mean over the image.

    Szegedy et al., CVPR 2016, table 1; Alain & Bengio, 2016, Figs. 5, 8 and 9. Layers are named, shaped and initialised
    as in torchvision: at width 32 its public weights fit. Importing it from there would cost four seconds.

        299 -> conv 3x3, 32, stride 2 -> conv 3x3, 32 -> conv 3x3, 64 -> max-pool 3, stride 2
        -> conv 1x1, 80 -> conv 3x3, 192 -> max-pool 3, stride 2 -> Mixed_5b to 5d, 35 x 35 x 288
        -> Mixed_6a to 6e, 17 x 17 x 768 -> Mixed_7a to 7c, 8 x 8 x 2048 -> mean

    The auxiliary branch AuxLogits starts at Mixed_6e: mean 5x5, stride 3 -> conv 1x1, 128 -> conv 5x5, 768 -> mean. The
    balancer `auxiliary_branch` classifies by it; without that balancer nothing trains it.

    Three channels, standardised as ImageNet's, are brought to [-1, 1], as the public weights expect.

    Args:
        shape: (channels, height, width) of one image. 299 x 299 in the papers, at least 75 x 75; with the branch at
            least 107 x 107, and its 5x5 convolution spans what is left where that is less.
        width: Channels of the first convolution, even; 32 in the paper, and all others in proportion.
        branch: True for a network with the auxiliary branch.
        dropout: Probability that a feature is dropped in training.

    Attributes:
        branch_layer: The branch's last layer.
        branch_dim: Its features, 24 * width; only there with the branch.
    """

    layer_names = (
        "Conv2d_{1a_3x3,2a_3x3,2b_3x3,3b_1x1,4a_3x3}{,.conv,.bn}",
        "Mixed_{5b,5c,5d,6a,6b,6c,6d,6e,7a,7b,7c}{,.pool}",
        "Mixed_{5b,5c,5d,6b,6c,6d,6e,7b,7c}.{branch1x1,branch_pool}{,.conv,.bn}",
        "Mixed_5{b,c,d}.branch{5x5_1,5x5_2,3x3dbl_1,3x3dbl_2,3x3dbl_3}{,.conv,.bn}",
        "Mixed_6a.branch{3x3,3x3dbl_1,3x3dbl_2,3x3dbl_3}{,.conv,.bn}",
        "Mixed_6{b,c,d,e}.branch7x7{_1,_2,_3,dbl_1,dbl_2,dbl_3,dbl_4,dbl_5}{,.conv,.bn}",
        "Mixed_7a.branch{3x3_1,3x3_2,7x7x3_1,7x7x3_2,7x7x3_3,7x7x3_4}{,.conv,.bn}",
        "Mixed_7{b,c}.branch3x3{_1,_2a,_2b,dbl_1,dbl_2,dbl_3a,dbl_3b}{,.conv,.bn}",
        "AuxLogits{,.pool,.conv0,.conv0.conv,.conv0.bn,.conv1,.conv1.conv,.conv1.bn}",
        "maxpool{1,2}",
        "avgpool",
        "dropout",
    )
    branch_layer: ClassVar[str] = "AuxLogits"
    branch_dim: int

    def __init__(self, shape: Sequence[int], width: Even = 32, branch: bool = False, dropout: Rate = 0.5) -> None:
        super().__init__()
        least = LEAST_SIZE_WITH_BRANCH if branch else LEAST_SIZE
        if len(shape) != 3 or min(shape[1:]) < least:
            raise UserError(
                f"encoder InceptionV3 reads [channels, height, width] from {least} x {least}, found {list(shape)}"
            )
        if width < 2 or width % 2:
            raise UserError(f"encoder InceptionV3 has width {width}; allowed: an even number from 2")
        self.feature_dim = 64 * width
        self.Conv2d_1a_3x3 = _Convolution(shape[0], width, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = _Convolution(width, width, (3, 3), padded=False)
        self.Conv2d_2b_3x3 = _Convolution(width, 2 * width, (3, 3))
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = _Convolution(2 * width, 80 * width // FIRST_CHANNELS, (1, 1))
        self.Conv2d_4a_3x3 = _Convolution(80 * width // FIRST_CHANNELS, 6 * width, (3, 3), padded=False)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        channels = 6 * width
        for name, (branches, pooled) in MODULES.items():
            module = _Inception(channels, branches, pooled, width)
            channels = module.num_channels
            self.add_module(name, module)
            if branch and name == "Mixed_6e":
                self.branch_dim = channels
                self.AuxLogits = _Branch(channels, 4 * width, [_left_for_branch(size) for size in shape[1:]])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.standardised_as_imagenet = shape[0] == 3
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                deviation = BRANCH_DEVIATION if name == "AuxLogits.conv1.conv" else DEVIATION
                nn.init.trunc_normal_(module.weight, std=deviation, a=-2, b=2)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, 64 * width]."""
        maps = self._rescaled(inputs) if self.standardised_as_imagenet else inputs
        for name, layer in self.named_children():
            if name == self.branch_layer:
                layer(maps)  # for whoever listens, such as a balancer or a probe
            else:
                maps = layer(maps)
        return maps.flatten(1)

    def _rescaled(self, images: Tensor) -> Tensor:
        """Images (pixel - mean) / std of ImageNet -> (pixel - 0.5) / 0.5, pixels being in [0, 1]."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        return (images * std + mean - 0.5) / 0.5

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Start from a state of torchvision's network, or of this encoder.

        Classifiers `fc` and `AuxLogits.fc` are left out, and where this encoder has no auxiliary branch, that too.

        Raises:
            RuntimeError: The weights are those of another width or network, or lack the branch.
        """
        dropped = ("fc.", "AuxLogits.fc.") if hasattr(self, "AuxLogits") else ("fc.", "AuxLogits.")
        self.load_state_dict({name: value for name, value in state.items() if not name.startswith(dropped)})


class _Convolution(nn.Module):
    """Convolution, batch normalisation and ReLU. With stride 1 and `padded` it keeps the size of the maps."""

    def __init__(self, in_channels: int, channels: int, kernel: Size, stride: int = 1, padded: bool = True) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2) if padded and stride == 1 else (0, 0)
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, maps: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, channels, height / stride, width / stride]."""
        return torch.relu(self.bn(self.conv(maps)))


class _Inception(nn.Module):
    """Chains of convolutions side by side, and pooled maps beside them; the outputs are concatenated.

    Args:
        in_channels: Channels of the input maps.
        branches: {name: its convolutions}, at width 32.
        pooled: Channels of the 1x1 convolution behind a mean over 3x3; None if the module halves the maps: then the
            last convolution of every branch has stride 2, and the maps are max-pooled.
        width: Width of the network.

    Attributes:
        num_channels: Channels of the output.
    """

    def __init__(
        self, in_channels: int, branches: Mapping[str, Sequence[Step]], pooled: int | None, width: int
    ) -> None:
        super().__init__()
        self.num_channels = 0
        self.chains: list[list[list[str]]] = []
        for branch, steps in branches.items():
            entering, chain = in_channels, []
            for number, (channels, *kernels) in enumerate(steps, start=1):
                name = branch if len(steps) == 1 else f"{branch}_{number}"
                stride = 2 if pooled is None and number == len(steps) else 1
                names = [name + letter for letter in ("ab" if len(kernels) == 2 else [""])]
                leaving = channels * width // FIRST_CHANNELS
                for each, kernel in zip(names, kernels, strict=True):
                    self.add_module(each, _Convolution(entering, leaving, kernel, stride))
                entering = leaving
                chain.append(names)
            self.chains.append(chain)
            self.num_channels += entering * len(names)
        if pooled is None:
            self.pool: nn.Module = nn.MaxPool2d(3, stride=2)
            self.num_channels += in_channels
        else:
            self.pool = nn.AvgPool2d(3, stride=1, padding=1)
            self.branch_pool = _Convolution(in_channels, pooled * width // FIRST_CHANNELS, (1, 1))
            self.num_channels += pooled * width // FIRST_CHANNELS

    def forward(self, maps: Tensor) -> Tensor:
        """[batch, in_channels, height, width] -> [batch, num_channels, height, width], or half of both."""
        outputs = []
        for chain in self.chains:
            x = maps
            for names in chain:
                x = torch.cat([self.get_submodule(name)(x) for name in names], dim=1)
            outputs.append(x)
        pooled = self.pool(maps)
        outputs.append(self.branch_pool(pooled) if hasattr(self, "branch_pool") else pooled)
        return torch.cat(outputs, dim=1)


class _Branch(nn.Module):
    """The auxiliary branch without its classifier: mean 5x5, stride 3 -> conv 1x1 -> conv over what is left -> mean."""

    def __init__(self, channels: int, middle: int, left: Sequence[int]) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(5, stride=3)
        self.conv0 = _Convolution(channels, middle, (1, 1))
        self.conv1 = _Convolution(middle, channels, (min(left[0], 5), min(left[1], 5)), padded=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[batch, channels, height, width] -> [batch, channels]."""
        hidden: Tensor = self.conv1(self.conv0(self.pool(maps)))
        return hidden.mean(dim=(2, 3))


def _left_for_branch(size: int) -> int:
    """Positions that the auxiliary branch's mean leaves along an image's side; 5 of 299."""
    for kernel, stride in ((3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 2), (5, 3)):
        size = (size - kernel) // stride + 1
    return size


def _mixed_5(pooled: int) -> tuple[dict[str, list[Step]], int | None]:
    return {
        "branch1x1": [(64, (1, 1))],
        "branch5x5": [(48, (1, 1)), (64, (5, 5))],
        "branch3x3dbl": [(64, (1, 1)), (96, (3, 3)), (96, (3, 3))],
    }, pooled


def _mixed_6(c: int) -> tuple[dict[str, list[Step]], int | None]:
    return {
        "branch1x1": [(192, (1, 1))],
        "branch7x7": [(c, (1, 1)), (c, (1, 7)), (192, (7, 1))],
        "branch7x7dbl": [(c, (1, 1)), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))],
    }, 192


def _mixed_7() -> tuple[dict[str, list[Step]], int | None]:
    return {
        "branch1x1": [(320, (1, 1))],
        "branch3x3": [(384, (1, 1)), (384, (1, 3), (3, 1))],
        "branch3x3dbl": [(448, (1, 1)), (384, (3, 3)), (384, (1, 3), (3, 1))],
    }, 192


MODULES: dict[str, tuple[dict[str, list[Step]], int | None]] = {
    "Mixed_5b": _mixed_5(32),
    "Mixed_5c": _mixed_5(64),
    "Mixed_5d": _mixed_5(64),
    "Mixed_6a": (
        {"branch3x3": [(384, (3, 3))], "branch3x3dbl": [(64, (1, 1)), (96, (3, 3)), (96, (3, 3))]},
        None,
    ),
    "Mixed_6b": _mixed_6(128),
    "Mixed_6c": _mixed_6(160),
    "Mixed_6d": _mixed_6(160),
    "Mixed_6e": _mixed_6(192),
    "Mixed_7a": (
        {
            "branch3x3": [(192, (1, 1)), (320, (3, 3))],
            "branch7x7x3": [(192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3))],
        },
        None,
    ),
    "Mixed_7b": _mixed_7(),
    "Mixed_7c": _mixed_7(),
}
"""{module: its branches, and its pooled channels}: Szegedy et al., CVPR 2016, Figs. 5 to 7 and 10."""
