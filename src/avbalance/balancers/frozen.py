"""A fusion and a head whose weights get no gradient."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from avbalance.model import Model


def decide_frozen(model: Model, features: dict[str, Tensor]) -> Tensor:
    """Logits [batch, num_classes] of features, whose gradient ends in the features; in float32, in evaluation mode."""
    with model.settled(), torch.autocast(next(iter(features.values())).device.type, enabled=False):
        streams = _frozen(model.fusion, {m: feature.float() for m, feature in features.items()})
        logits: Tensor = _frozen(model.head, streams)
    return logits


def _frozen(module: nn.Module, inputs: dict[str, Tensor]) -> Any:  # noqa: ANN401
    return functional_call(module, {name: weight.detach() for name, weight in module.named_parameters()}, (inputs,))
