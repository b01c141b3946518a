"""ip-CSN, the interaction-preserved channel-separated network."""

from torch import nn

from avbalance.encoders.resnet3d import ResNet3D


class IPCSN(ResNet3D):
    """A ResNet in which channels meet only in 1x1x1 convolutions, and positions only within a channel.

    Tran et al., ICCV 2019, figure 2b. Each 3x3x3 convolution is replaced by

        1 x 1 x 1, all channels -> batch normalisation -> 3 x 3 x 3 within each channel

    and after the stem comes a max-pooling 1x3x3 of stride 1x2x2. With 152 layers it is the visual backbone of
    Gradient-Blending (Wang et al., CVPR 2020) on Kinetics and EPIC-Kitchens.

    Departs from the paper's figure, which has a ReLU after every convolution: there is none between these two, as in
    the authors' published models, from which the paper's numbers come.
    """

    def begin(self, in_channels: int, width: int) -> nn.Sequential:
        """The stem, then a quarter of the positions."""
        return super().begin(in_channels, width).append(nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)))

    def convolution(self, in_channels: int, channels: int, stride: int, entering: int) -> nn.Module:
        """One convolution over channels, one over frames, height and width."""
        return nn.Sequential(
            nn.Conv3d(in_channels, channels, kernel_size=1, bias=False),
            nn.BatchNorm3d(channels),
            nn.Conv3d(channels, channels, kernel_size=3, stride=stride, padding=1, groups=channels, bias=False),
        )
