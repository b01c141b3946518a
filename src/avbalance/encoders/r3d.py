"""R3D, the 3-D ResNet."""

from torch import nn

from avbalance.encoders.resnet3d import ResNet3D


class R3D(ResNet3D):
    """A ResNet of full 3x3x3 convolutions.

    Tran et al., CVPR 2018, section 3.2. With 50 layers the visual backbone of Gradient-Blending (Wang et al., CVPR
    2020, section 4.1), for colour and for optical flow.
    """

    def convolution(self, in_channels: int, channels: int, stride: int, entering: int) -> nn.Module:
        """One convolution over frames, height and width."""
        return nn.Conv3d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
