"""Part of an epoch that is done: what a checkpoint within the epoch holds."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.training.checkpoint import random_state, set_random_state


@dataclass
class PartialEpoch:
    """Part of an epoch that is done.

    Attributes:
        counts: {modality: number of clips that have passed its encoder with gradients}.
        seconds: Duration of earlier tries.
        apart: Trials that `start_epoch` has begun, as in `ResumableLoaders`; empty once it has ended.
        place: Place in the pass, as of `walk`; empty until `start_epoch` has ended.
        now: What holds at `place` and is in no state dict.
        num_clips: Number of clips in the steps of the pass.
        losses: Objective of each step times its clips, in pieces [steps].
        unchecked: Loss terms of the steps since the last check.
        gradients: Lengths of the encoders' gradients at each check, [modalities].
        last_gradient: Those of the last step, if it was taken by an earlier try.
    """

    counts: dict[str, int]
    seconds: float = 0.0
    apart: list[dict[str, Any]] = field(default_factory=list)
    place: dict[str, Any] = field(default_factory=dict)
    now: dict[str, Any] = field(default_factory=dict)
    num_clips: int = 0
    losses: list[Tensor] = field(default_factory=list)
    unchecked: list[dict[str, Tensor]] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)
    last_gradient: Tensor | None = None

    def __post_init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Duration in seconds, with that of earlier tries."""
        return self.seconds + time.perf_counter() - self._start

    def count(self, terms: dict[str, Tensor], num_clips: int) -> None:
        """Count a step by its loss terms, scalars."""
        self.unchecked.append(terms)
        self.losses.append(torch.stack(list(terms.values())).sum().view(1) * num_clips)
        self.num_clips += num_clips
        self.last_gradient = None

    def saved(self, balancer: Balancer, device: torch.device) -> dict[str, Any]:
        """Tensors and plain values from which a new object is made by keyword."""
        now = {
            "random": random_state(device),
            "decided": balancer.decided(),
            "resting": [name for name, module in balancer.named_modules() if not module.training],
            "frozen": [name for name, weight in balancer.named_parameters() if not weight.requires_grad],
        }
        if self.losses:
            self.losses = [torch.cat(self.losses)]  # one tensor is written faster than one for each step
        values = {name: value for name, value in vars(self).items() if name != "_start"}
        return {**values, "seconds": self.elapsed, "now": now}

    def resume(self, balancer: Balancer, device: torch.device) -> None:
        """Set what held at `place`, in place of `start_epoch`; the state dict is loaded already."""
        balancer.resume(self.now["decided"])
        for name, module in balancer.named_modules():
            module.training = name not in self.now["resting"]
        for name, weight in balancer.named_parameters():
            weight.requires_grad_(name not in self.now["frozen"])
        set_random_state(self.now["random"], device)
