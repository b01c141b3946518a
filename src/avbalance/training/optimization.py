"""Optimisers and the schedule of the learning rate."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import optim


def make_optimizer(groups: Iterable[Mapping[str, Any]], training: Mapping[str, Any]) -> optim.Optimizer:
    """Optimiser of a run's settings `training`; groups are those of `Balancer.groups`."""
    parameters = [{**group, "clip_norm": training["clip_norm"]} for group in groups]
    learning_rate, weight_decay = training["learning_rate"], training["weight_decay"]
    if training["optimizer"] == "sgd":
        momentum = training["momentum"]
        sgd = optim.SGD(parameters, lr=learning_rate, momentum=momentum, weight_decay=weight_decay, fused=True)
        if momentum:  # for every weight at once: the fused step fails where some weights have a buffer and others not
            for weight in (weight for group in sgd.param_groups for weight in group["params"]):
                sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        return sgd
    if training["optimizer"] == "adagrad":
        return optim.Adagrad(parameters, lr=learning_rate, weight_decay=weight_decay)
    adam = optim.AdamW if training["optimizer"] == "adamw" else optim.Adam
    return adam(parameters, lr=learning_rate, weight_decay=weight_decay, fused=True)


def set_learning_rate(optimizer: optim.Optimizer, training: Mapping[str, Any], epoch: int) -> None:
    """Set the learning rate of an epoch, counted from 0: multiply by `decay_factor` after every `decay_epochs`.

    A group of weights with a `scale` has so many times this learning rate.
    """
    num_decays = 0 if training["decay_epochs"] is None else epoch // training["decay_epochs"]
    for group in optimizer.param_groups:
        group["lr"] = training["learning_rate"] * training["decay_factor"] ** num_decays * group.get("scale", 1.0)
