"""Conv1Net, the audio encoder of the AV-MNIST study."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.ranges import Count, Rate

STRIDE = 4


class Conv1Net(Encoder):
    """Two convolutions of stride 4 over the waveform, each with ReLU, and one linear layer.

    AV-MNIST study (NORA.ai Summer Research School, candidate 8), section 1b.

        conv 100, 32, stride 4 -> ReLU -> conv 25, 64, stride 4 -> ReLU -> linear 128 -> ReLU

    The paper's second linear layer is the head here. Each convolution is padded so that it leaves a quarter
    of the samples ("same"). The paper leaves open where dropout acts: on the 128 features here.

    Args:
        shape: (num_samples,) of one waveform; a multiple of 16.
        width: Channels of the first convolution; the second has twice as many.
        dropout: Probability that a feature is dropped in training.
    """

    feature_dim = 128
    layer_names = ("conv{1,2}", "linear", "dropout")

    def __init__(self, shape: Sequence[int], width: Count = 32, dropout: Rate = 0.5) -> None:
        super().__init__()
        if len(shape) != 1 or shape[0] % STRIDE**2:
            raise UserError(f"encoder Conv1Net reads [num_samples], a multiple of {STRIDE**2}, found {list(shape)}")
        self.conv1 = _StridedConv1d(1, width, kernel_size=100)
        self.conv2 = _StridedConv1d(width, 2 * width, kernel_size=25)
        self.linear = nn.Linear(2 * width * (shape[0] // STRIDE**2), self.feature_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """[batch, num_samples] -> [batch, 128]."""
        hidden = torch.relu(self.conv1(inputs.unsqueeze(2)))
        hidden = torch.relu(self.conv2(hidden))
        features: Tensor = self.dropout(torch.relu(self.linear(hidden.flatten(1))))
        return features


class _StridedConv1d(nn.Conv1d):
    """conv1d of stride 4 with "same" padding: the same numbers, 1.4 times as fast on a CPU.

    A convolution of stride 4 over samples is one of stride 1 over patches of 4 samples whose channels stand
    side by side. In the layout [batch, time, channels] cutting patches is free; the kernel is filled up with
    zeros to whole patches. PyTorch is fastest on it as a channels-last image of height 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=STRIDE)

    def forward(self, input: Tensor) -> Tensor:
        """[batch, time, in_channels] -> [batch, time / 4, out_channels]."""
        weight = F.pad(self.weight, (0, -self.weight.shape[2] % STRIDE))
        # [out, in, patches, sample in patch] -> [out, sample in patch * in, 1, patches]
        weight = weight.unflatten(2, (-1, STRIDE)).permute(0, 3, 1, 2).flatten(1, 2).unsqueeze(2)
        patches = input.reshape(input.shape[0], 1, -1, STRIDE * input.shape[2]).permute(0, 3, 1, 2)
        output = F.conv2d(
            patches,
            weight.contiguous(memory_format=torch.channels_last),
            self.bias,
            padding=(0, weight.shape[3] // 2),
        )
        return output.squeeze(2).transpose(1, 2)
