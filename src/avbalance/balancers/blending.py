"""Overfitting, generalisation and the blend weights of Gradient-Blending.

Wang et al., CVPR 2020, section 2. A head is trained from checkpoint N to N + n; L^T and L^V are its mean losses on
train and on a part of train that is held out, in nats.

    G       = L^V_N - L^V_{N+n}                                      generalisation (written Delta G in eq. 3)
    Delta O = (L^V_{N+n} - L^T_{N+n}) - (L^V_N - L^T_N)              growth of overfitting O = L^V - L^T
    OGR     = |Delta O / G|                                          eq. 3
    w_i     = G_i / Delta O_i^2 / Z,   Z = sum_i G_i / Delta O_i^2   Prop. 1 and Alg. 1, over the M + 1 heads

Departs from the paper: Prop. 1 prints Z with a factor 1/2, against its own constraint that weights sum to 1.
|Delta O| and, in OGR, |G| count as 1e-6 nats where they are less: float32 losses resolve no smaller change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

import torch
from torch import Tensor

from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Loader

FLOOR_NATS = 1e-6


@dataclass(frozen=True)
class Losses:
    """One head's mean losses in nats, each (at the start, at the end)."""

    train: tuple[float, float]
    val: tuple[float, float]


class Blend(NamedTuple):
    """Weight of each head; `fallback` is true if all are equal because no head generalises."""

    weights: dict[str, float]
    fallback: bool


def generalisation(losses: Losses) -> float:
    """G; negative where the validation loss rose."""
    return losses.val[0] - losses.val[1]


def overfitting(losses: Losses) -> float:
    """Delta O."""
    return (losses.val[1] - losses.train[1]) - (losses.val[0] - losses.train[0])


def ogr(losses: Losses) -> float:
    """OGR; infinite where a loss is not finite."""
    if not isfinite(overfitting(losses)):
        return float("inf")
    return abs(overfitting(losses)) / max(abs(generalisation(losses)), FLOOR_NATS)


def blend_weights(losses: Mapping[str, Losses]) -> Blend:
    """w_i of {head: losses}, summing to 1.

    A head whose validation loss did not fall, or which has a loss that is not finite, has weight 0. If all heads have
    weight 0, weights are equal and `fallback` is true.
    """
    values = {head: _value(of_head) for head, of_head in losses.items()}
    Z = sum(values.values())
    if Z == 0:
        return Blend(dict.fromkeys(losses, 1 / len(losses)), fallback=True)
    return Blend({head: value / Z for head, value in values.items()}, fallback=False)


def _value(losses: Losses) -> float:
    """G / Delta O^2, 0 for a head that must have no weight."""
    G, delta_O = generalisation(losses), overfitting(losses)
    return G / max(abs(delta_O), FLOOR_NATS) ** 2 if isfinite(delta_O) and G > 0 else 0.0


@torch.no_grad()
def measure(model: Model, loss: Loss, loader: Loader) -> dict[str, float]:
    """{term of the loss: its mean over all clips}, in evaluation mode and in float32, also under autocast.

    Terms are as the loss gives them, that is weighted: an estimate of blend weights needs weight 1.
    """
    was_training = model.training, loss.training
    model.eval()
    loss.eval()
    sums: dict[str, Tensor] = {}
    num_clips = 0
    for batch in loader:
        with torch.autocast(batch.labels.device.type, enabled=False):
            terms = loss(model(batch.inputs), batch.labels)
        for name, value in terms.items():
            sums[name] = sums.get(name, 0) + value.double() * len(batch.labels)
        num_clips += len(batch.labels)
    model.train(was_training[0])
    loss.train(was_training[1])
    return {name: value.item() / num_clips for name, value in sums.items()}
