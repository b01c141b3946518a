import torch
from torch import nn

from avbalance.encoders.conv2net import Conv2Net


def test_it_is_the_papers_sequence_of_layers() -> None:
    torch.manual_seed(0)
    encoder = Conv2Net((1, 28, 28)).eval()
    reference = nn.Sequential(
        encoder.conv1,
        nn.ReLU(),
        nn.MaxPool2d(2),
        encoder.conv2,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        encoder.linear,
        nn.ReLU(),
    )
    images = torch.randn(2, 1, 28, 28)
    assert torch.equal(encoder(images), reference(images))


def test_layers_are_those_of_the_paper() -> None:
    # conv1: 9 * 32 + 32 = 320; conv2: 9 * 32 * 64 + 64 = 18,496; linear: 64 * 7 * 7 * 128 + 128 = 401,536.
    counts = [sum(p.numel() for p in layer.parameters()) for layer in Conv2Net((1, 28, 28)).children()]
    assert counts == [320, 18_496, 401_536, 0]
