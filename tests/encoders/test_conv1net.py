import torch
from torch import nn
from torch.nn import functional as F

from avbalance.encoders.conv1net import Conv1Net


def test_convolutions_equal_the_plain_strided_ones_in_values_and_gradients() -> None:
    torch.manual_seed(0)
    encoder = Conv1Net((320,)).double()
    for convolution, padding in ((encoder.conv1, 48), (encoder.conv2, 12)):
        parameters = list(convolution.parameters())
        inputs = torch.randn(3, convolution.in_channels, 160, dtype=torch.float64, requires_grad=True)
        ours = convolution(inputs.transpose(1, 2)).transpose(1, 2)
        plain = F.conv1d(inputs, convolution.weight, convolution.bias, stride=4, padding=padding)
        assert ours.shape == (3, convolution.out_channels, 40)
        torch.testing.assert_close(ours, plain)
        direction = torch.randn_like(plain)
        torch.testing.assert_close(
            torch.autograd.grad(ours, [inputs, *parameters], direction),
            torch.autograd.grad(plain, [inputs, *parameters], direction),
        )


def test_layers_are_those_of_the_paper() -> None:
    encoder = Conv1Net((8000,))
    # conv1: 100 * 32 + 32 = 3,232; conv2: 25 * 32 * 64 + 64 = 51,264;
    # linear: 8000 / 16 = 500 steps of 64 channels, 500 * 64 * 128 + 128 = 4,096,128.
    counts = [sum(p.numel() for p in layer.parameters()) for layer in encoder.children()]
    assert counts == [3_232, 51_264, 4_096_128, 0]


def test_width_scales_the_channels_of_both_convolutions() -> None:
    encoder = Conv1Net((320,), width=8)
    assert (encoder.conv1.out_channels, encoder.conv2.out_channels, encoder.linear.in_features) == (8, 16, 16 * 20)
    assert encoder(torch.zeros(2, 320)).shape == (2, 128)


def test_a_convolution_starts_from_the_same_weights_as_the_plain_one() -> None:
    torch.manual_seed(0)
    ours = Conv1Net((160,)).conv1
    torch.manual_seed(0)
    plain = nn.Conv1d(1, 32, kernel_size=100, stride=4)
    assert torch.equal(ours.weight, plain.weight)
