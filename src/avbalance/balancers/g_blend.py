"""Gradient-Blending, offline."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.errors import UserError
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.types import Batch, Loaders, Output


class GBlend(Balancer):
    """Weigh the losses of the joint head and of every modality's own head by how well each generalises.

    Wang et al., CVPR 2020, eq. 7 and Alg. 2. Over the M modalities and the joint head,

        L   = sum_i w_i L_i
        w_i = G_i / Delta O_i^2 / Z       once, from a run of each head alone; weights sum to 1

    G_i is the fall of the validation loss of head i from epoch 0 to the last one, N, and Delta O_i the growth of the
    gap between its validation and training loss. A head whose validation loss does not fall has weight 0; if that
    holds for all heads, weights are equal, a fallback (`blending.py`). The runs, uni-modal and joint, are trained for
    all N epochs without early stopping, whichever epoch they keep. A step costs as much as joint training with
    auxiliary losses. With cosine heads, joint and uni-modal, it is G-Blend with MMCosine (Xu et al., ICASSP 2023).

    Weights are unknown until `receive`; training without them is an error.

    Paper: The weights follow from the losses of one run of each head at the first and the last epoch.
    Code: The weights are options of the training script; the code that estimated them was not released.
    Here: The weights are estimated as in the paper, and equal where no head generalises; rows `g_blend` and
    `g_blend_mmcosine`.

    Args:
        model: The model to train.
        loss: Its heads' losses, each with weight 1: weighing is the method's own part.
    """

    requires_loss = ("unimodal",)
    several_modalities = True
    keeps_encoders_apart = True
    weighs_heads = True
    uses_blend = True
    curve_names: ClassVar[tuple[str, ...]] = ("fallback", "weight_<head>", "ogr_<head>")
    loss: Unimodal
    weights: Tensor
    ogr: Tensor
    fallback: Tensor

    def __init__(self, model: Model, loss: Unimodal) -> None:
        super().__init__(model, loss)
        self.heads = ["joint", *model.encoders]
        for name in ("weights", "ogr"):
            self.register_buffer(name, torch.full([len(self.heads)], torch.nan))
        self.register_buffer("fallback", torch.tensor(False))

    def receive(self, blend: Mapping[str, Any]) -> None:
        """Take over {"weights": {head: w_i}, "ogr": {head: its OGR}, "fallback": true or false}."""
        for name in ("weights", "ogr"):
            self.get_buffer(name).copy_(torch.tensor([blend[name][head] for head in self.heads]))
        self.fallback.fill_(blend["fallback"])

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Refuse to train without weights."""
        if self.weights.isnan().any():
            raise UserError(f"balancer {type(self).__name__} has no blend weights; `receive` them before training")

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """w_i L_i by head."""
        terms = super().losses(output, batch)
        return {head: w * terms[head] for head, w in zip(self.heads, self.weights, strict=True)}

    def curves(self) -> dict[str, float]:
        """The weight and the OGR of every head, and whether the weights are a fallback, 1 or 0."""
        named = {"weight": self.weights.tolist(), "ogr": self.ogr.tolist()}
        figures = {**super().curves(), "fallback": float(self.fallback)}
        for name, values in named.items():
            figures |= {f"{name}_{head}": value for head, value in zip(self.heads, values, strict=True)}
        return figures
