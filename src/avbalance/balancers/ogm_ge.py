"""OGM-GE, on-the-fly gradient modulation with generalisation enhancement."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.ogm import OGM
from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.ranges import Positive, Whole
from avbalance.types import Loaders

BLOCK = 2**16
"""Number of draws whose random bits stay in the processor's cache."""


class OGMGE(OGM):
    """OGM with noise in place of the randomness that slowing down takes from the gradients.

    Peng et al., CVPR 2022, eq. 10. For every modality, whatever its k_m, in the epochs in which OGM modulates,

        g_m  <- k_m g_m + h,  h ~ N(0, std(g_m)^2)    std: over the elements of one weight's gradient, before k_m

    The standard deviation divides by the number of elements, so that a weight with one element gets no noise.
    The options are those of OGM. Under Adam the noise acts and k_m hardly does.

    On a CPU each draw is one of the 65,536 `quantiles`, so that none exceeds 4.4 standard deviations: 16 random bits
    and a table take half the time of `torch.randn`.

    Paper: The noise has the covariance of the gradient.
    Code: The noise is independent between the elements of a weight, with the standard deviation of the gradient over
    them.
    Here: As the code; row `ogm_ge`, and row `ogm_ge_mmcosine` with cosine heads.
    """

    def __init__(self, model: Model, loss: Loss, alpha: Positive = 0.8, start: Whole = 0, end: Whole = 51) -> None:
        super().__init__(model, loss, alpha, start, end)
        self._quantiles = quantiles().numpy()
        self._draws = np.empty(0, np.float32)

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Seed the noise of the epoch as well."""
        super().start_epoch(epoch, loaders, optimizer)
        self._bits = np.random.SFC64(torch.initial_seed())

    def decided(self) -> dict[str, Any]:
        """Add the state of the noise."""
        return {**super().decided(), "noise": self._bits.state["state"]["state"].tolist()}

    def resume(self, decided: Mapping[str, Any]) -> None:
        """Take over the state of the noise as well."""
        super().resume({name: value for name, value in decided.items() if name != "noise"})
        self._bits = np.random.SFC64()
        state = self._bits.state
        state["state"]["state"][:] = decided["noise"]
        self._bits.state = state

    def modulate(self, gradients: list[Tensor], k: Tensor) -> None:
        """g <- k g + h, in place, for the gradients of one encoder's weights."""
        if not gradients:
            return
        sizes = [g.numel() for g in gradients]
        stds = deviations(gradients)
        super().modulate(gradients, k)
        # One draw for all weights, each part laid out in memory as its gradient: ten times as fast as a draw for each.
        parts = self.draw(sum(sizes), gradients[0].device).split(sizes)
        h = [part.as_strided(g.shape, g.stride()) for part, g in zip(parts, gradients, strict=True)]
        torch._foreach_addcmul_(gradients, h, stds)

    def draw(self, size: int, device: torch.device) -> Tensor:
        """[size] draws of N(0, 1), valid until the next call."""
        if device.type != "cpu":
            return torch.randn(size, device=device)
        if size > len(self._draws):
            self._draws = np.empty(size, np.float32)  # kept, for new memory would have to be cleared in every step
        for start in range(0, size, BLOCK):
            part = self._draws[start : min(start + BLOCK, size)]
            places = self._bits.random_raw(-(-len(part) // 4)).view(np.uint16)[: len(part)]
            self._quantiles.take(places, out=part, mode="wrap")  # the fastest mode; no place is outside
        return torch.from_numpy(self._draws[:size])


def deviations(gradients: list[Tensor]) -> list[Tensor]:
    """Standard deviation of each gradient's elements, scalars: a third of the time of `Tensor.std`."""
    sizes = [g.numel() for g in gradients]
    means = torch.stack(torch._foreach_div([g.sum() for g in gradients], sizes))
    roots = torch.stack(torch._foreach_div(torch._foreach_norm(gradients), [math.sqrt(size) for size in sizes]))
    return list((roots.square() - means.square()).clamp(min=0).sqrt().unbind())


def quantiles() -> Tensor:
    """Means of N(0, 1) over 65,536 intervals of equal probability, scaled to a variance of 1; [65536], float32."""
    edges = torch.special.ndtri(torch.linspace(0, 1, 2**16 + 1, dtype=torch.float64))
    density = (-0.5 * edges.square()).exp() / math.sqrt(2 * math.pi)
    means: Tensor = -density.diff()
    return (means / means.std(correction=0)).float()
