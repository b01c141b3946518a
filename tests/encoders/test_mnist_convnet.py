import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avbalance.encoders.mnist_convnet import MNISTConvNet

# Of the paper's Fig. 2 in turn, on 28 x 28: 32 maps, halved twice, and 512 units.
SHAPES = {
    "conv1_preact": (32, 28, 28),
    "conv1_postact": (32, 28, 28),
    "conv1_postpool": (32, 14, 14),
    "conv2_preact": (64, 14, 14),
    "conv2_postact": (64, 14, 14),
    "conv2_postpool": (64, 7, 7),
    "fc1_preact": (512,),
    "fc1_postact": (512,),
}


def test_every_convolution_activation_and_pooling_is_a_layer_of_its_own() -> None:
    encoder = MNISTConvNet((1, 28, 28)).eval()
    outputs: dict[str, Tensor] = {}
    for name, layer in encoder.named_children():
        layer.register_forward_hook(lambda _, __, output, name=name: outputs.update({name: output}))
    images = torch.randn(2, 1, 28, 28)
    features = encoder(images)
    assert {name: tuple(outputs[name].shape[1:]) for name in SHAPES} == SHAPES
    assert [name for name in outputs if name in SHAPES] == list(SHAPES)
    # By hand, each from the layer before it.
    conv1, conv2, fc1 = encoder.conv1_preact, encoder.conv2_preact, encoder.fc1_preact
    expected = F.conv2d(images, conv1.weight, conv1.bias, padding=2)
    torch.testing.assert_close(outputs["conv1_preact"], expected)
    expected = F.max_pool2d(torch.relu(expected), 2)
    torch.testing.assert_close(outputs["conv1_postpool"], expected)
    expected = F.max_pool2d(torch.relu(F.conv2d(expected, conv2.weight, conv2.bias, padding=2)), 2)
    torch.testing.assert_close(outputs["conv2_postpool"], expected)
    expected = F.linear(expected.flatten(1), fc1.weight, fc1.bias)
    torch.testing.assert_close(outputs["fc1_preact"], expected)
    torch.testing.assert_close(features, torch.relu(expected))


def test_layers_are_those_of_the_tutorial() -> None:
    # conv1: 25 * 32 + 32 = 832; conv2: 25 * 32 * 64 + 64 = 51,264; fc1: 64 * 7 * 7 * 512 + 512 = 1,606,144.
    counts = {
        name: sum(p.numel() for p in layer.parameters()) for name, layer in MNISTConvNet((1, 28, 28)).named_children()
    }
    assert {name: count for name, count in counts.items() if count} == {
        "conv1_preact": 832,
        "conv2_preact": 51_264,
        "fc1_preact": 1_606_144,
    }


def test_first_weights_are_the_tutorials() -> None:
    torch.manual_seed(0)
    encoder = MNISTConvNet((1, 28, 28))
    # A normal distribution cut off at two deviations keeps 0.8796 of its deviation.
    weight = encoder.fc1_preact.weight
    assert weight.std().item() == pytest.approx(0.08796, rel=0.01)
    assert weight.abs().max() <= 0.2
    biases = [
        layer.bias.unique().tolist() for layer in (encoder.conv1_preact, encoder.conv2_preact, encoder.fc1_preact)
    ]  # type: ignore[union-attr]
    assert biases == [[0.0], [pytest.approx(0.1)], [pytest.approx(0.1)]]
