"""R(2+1)D: space first, time second."""

from torch import nn

from avbalance.encoders.resnet3d import ResNet3D


class R2Plus1D(ResNet3D):
    """A ResNet in which a 2-D convolution over the image and a 1-D convolution over time stand for each 3-D one.

    Tran et al., CVPR 2018, section 3.5. With N_{i-1} input and N_i output channels, t = d = 3,

        1 x d x d, M_i channels -> batch normalisation -> ReLU -> t x 1 x 1, N_i channels

        M_i = floor(t d^2 N_{i-1} N_i / (d^2 N_{i-1} + t N_i))       as many parameters as the 3-D convolution

    With 101 layers the visual backbone of Gradient-Blending (Wang et al., CVPR 2020) on AudioSet.

    Departs from the paper, so that torchvision's state of depth 18 fits: in blocks of two convolutions, both have the
    M_i of the first, and the stem's M is 45 for 64 channels (in proportion for another width).
    """

    def begin(self, in_channels: int, width: int) -> nn.Sequential:
        """The stem, in space and then in time."""
        M = max(1, 45 * width // 64)
        return nn.Sequential(
            nn.Conv3d(in_channels, M, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
            nn.BatchNorm3d(M),
            nn.ReLU(),
            nn.Conv3d(M, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
        )

    def convolution(self, in_channels: int, channels: int, stride: int, entering: int) -> nn.Module:
        """One convolution over height and width, one over frames."""
        M = 3 * 3 * 3 * entering * channels // (3 * 3 * entering + 3 * channels)
        return nn.Sequential(
            nn.Conv3d(in_channels, M, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False),
            nn.BatchNorm3d(M),
            nn.ReLU(),
            nn.Conv3d(M, channels, (3, 1, 1), stride=(stride, 1, 1), padding=(1, 0, 0), bias=False),
        )
