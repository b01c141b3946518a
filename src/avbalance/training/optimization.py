"""Optimisers, and how the learning rate falls."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn, optim


def make(parameters: Iterable[nn.Parameter], training: Mapping[str, Any]) -> optim.Optimizer:
    """The optimiser of a run's settings `training`; what they leave out is Adam, without momentum and decay."""
    parameters = list(parameters)
    learning_rate, weight_decay = training["learning_rate"], training.get("weight_decay", 0.0)
    name = training.get("optimizer", "adam")
    if name == "sgd":
        momentum = training.get("momentum", 0.0)
        return optim.SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True)
    if name == "adagrad":
        return optim.Adagrad(parameters, lr=learning_rate, weight_decay=weight_decay)
    return optim.Adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)


def set_learning_rate(optimizer: optim.Optimizer, training: Mapping[str, Any], epoch: int) -> None:
    """The learning rate of `epoch` (from 0): times `decay_factor` after every `decay_epochs` epochs."""
    num_decays = epoch // training["decay_epochs"] if "decay_epochs" in training else 0
    for group in optimizer.param_groups:
        group["lr"] = training["learning_rate"] * training.get("decay_factor", 0.1) ** num_decays
