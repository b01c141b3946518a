"""A computed table: the shapes of a network's layers."""

from functools import cache
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from avbalance.encoders.inception_v3 import InceptionV3
from avbalance.ranges import Names, Whole


def inception_features(
    layer: Literal[
        "maxpool1",
        "Conv2d_3b_1x1",
        "maxpool2",
        "Mixed_5b",
        "Mixed_5c",
        "Mixed_5d",
        "Mixed_6a",
        "Mixed_6b",
        "Mixed_6c",
        "Mixed_6d",
        "Mixed_6e",
        "AuxLogits.conv0",
        "AuxLogits.conv1",
        "AuxLogits",
        "Mixed_7a",
        "Mixed_7b",
        "Mixed_7c",
        "avgpool",
    ],
) -> dict[str, float]:
    """Number of features of a layer of Inception v3, with the auxiliary branch and 299 x 299 images.

    Alain & Bengio, 2016, Fig. 8.

    Args:
        layer: Name of a module of the encoder.
    """
    channels, height, width = _shape(layer)
    return {"channels": channels, "height": height, "width": width, "features": channels * height * width}


def inception_counts(layers: Names, more_than: Whole) -> dict[str, float]:
    """Number of these layers of Inception v3 that have more than `more_than` features.

    Alain & Bengio, 2016, appendix C.
    """
    return {"probes": sum(prod(_shape(layer)) > more_than for layer in layers)}


def _shape(layer: str) -> tuple[int, int, int]:
    """Channels, height and width of a layer's output."""
    channels, height, width = (*_shapes()[layer], 1, 1)[:3]
    return channels, height, width


@cache
def _shapes() -> dict[str, tuple[int, ...]]:
    """{layer: shape of one image's output}, from one pass without numbers."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module) -> None:
        def hook(_: nn.Module, __: object, output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        module.register_forward_hook(hook)

    with torch.device("meta"), torch.no_grad():
        encoder = InceptionV3((3, 299, 299), branch=True).eval()
        for name, module in encoder.named_modules():
            note(name, module)
        encoder(torch.empty(1, 3, 299, 299))
    return shapes
