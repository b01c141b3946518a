"""Gradient-Blending, online."""

import warnings
from copy import deepcopy
from math import inf, isfinite, nan
from typing import cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from avbalance.balancers.base import Balancer
from avbalance.balancers.blending import Losses, blend_weights, measure, ogr
from avbalance.balancers.g_blend import GBlend
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.base import Head
from avbalance.losses.joint import Joint
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.ranges import Count
from avbalance.types import Loaders, Output


class GBlendOnline(GBlend):
    """Gradient-Blending whose weights are estimated again at the start of every super-epoch.

    Wang et al., CVPR 2020, Algs. 1 and 3, section 3.3. At the start of a super-epoch, from the current model phi_N,

        for each head i, of a modality or joint:
            phi_i <- copy of phi_N, trained for the super-epoch's n epochs by the loss of head i alone
            L^T_N, L^V_N of phi_N and L^T_{N+n}, L^V_{N+n} of phi_i, over all of train and of val
        w_i   <- `blending.blend_weights` of these losses

    A modality's trial runs its own encoder and head alone. Trials use the optimiser's kind and settings at the current
    learning rate, with a fresh state. Where no head generalises, weights are equal, with a warning. Cost: about 3 times
    joint training, and a super-epoch three passes over train and val without gradient.

    Paper: Super-epochs have 10 and then 5 epochs; naive training is measured by a new classifier (fig. 5b).
    Code: Online blending was not released.
    Here: `first: 10`, `then: 5`; naive training is measured by the joint trial's own head; row `g_blend_online`.

    Args:
        model: The model to train.
        loss: Its heads' losses, each with weight 1.
        first, then: Epochs of the first super-epoch, and of every later one.
    """

    uses_blend = False
    curve_names = ("fallback", "weight_<head>", "ogr_<head>", "super_epoch", "naive_val_loss", "naive_val_accuracy")
    super_epoch: Tensor
    naive_val_loss: Tensor
    naive_val_accuracy: Tensor

    def __init__(self, model: Model, loss: Unimodal, first: Count = 10, then: Count = 5) -> None:
        super().__init__(model, loss)
        self.first, self.then = first, then
        self.register_buffer("super_epoch", torch.tensor(0))
        for name in ("naive_val_loss", "naive_val_accuracy"):
            self.register_buffer(name, torch.tensor(nan))

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Estimate new weights at the start of a super-epoch."""
        if epoch > 0 and (epoch < self.first or (epoch - self.first) % self.then > 0):
            return
        losses = self.estimate(self.then if epoch else self.first, loaders, optimizer)
        weights, fallback = blend_weights(losses)
        ratios = {head: ogr(of_head) for head, of_head in losses.items()}
        self.receive({"weights": weights, "ogr": ratios, "fallback": fallback})
        self.super_epoch += 1
        if fallback:
            warnings.warn(f"g_blend_online: from epoch {epoch + 1} no head generalises; equal weights", stacklevel=2)

    def estimate(self, num_epochs: int, loaders: Loaders, optimizer: Optimizer) -> dict[str, Losses]:
        """{head: losses of its trial}; also store the loss and the accuracy that naive training reaches."""
        losses = {}
        train_start, val_start = (measure(self.model, self.loss, each) for each in (loaders.plain, loaders.val))
        for head in self.heads:
            trial = Balancer(self.copy_of(head), Joint({}, 0)).train()
            settings = {**optimizer.defaults, "lr": optimizer.param_groups[0]["lr"]}
            clip_norm = optimizer.param_groups[0].get("clip_norm")
            own_optimizer = type(optimizer)([{"params": trial.parameters(), "clip_norm": clip_norm}], **settings)
            loaders.train_apart(trial, own_optimizer, num_epochs)
            train, val = (measure(trial.model, _JointAccuracy({}, 0), each) for each in (loaders.plain, loaders.val))
            losses[head] = Losses((train_start[head], train["joint"]), (val_start[head], val["joint"]))
            if head == "joint":
                self.naive_val_loss.fill_(val["joint"] if isfinite(val["joint"]) else inf)
                self.naive_val_accuracy.fill_(val.get("accuracy", nan))
        return losses

    def copy_of(self, head: str) -> Model:
        """The part of the model that ends in this head."""
        if head == "joint":
            return deepcopy(self.model)
        encoder = cast(Encoder, deepcopy(self.model.encoders[head]))
        return Model({head: encoder}, _Alone({head: encoder.feature_dim}), cast(Head, deepcopy(self.loss.heads[head])))

    def curves(self) -> dict[str, float]:
        """Add the super-epoch, from 1, and validation loss and accuracy at the end of its joint trial."""
        figures = {"super_epoch": float(self.super_epoch), "naive_val_loss": self.naive_val_loss.item()}
        if not self.naive_val_accuracy.isnan():
            figures["naive_val_accuracy"] = self.naive_val_accuracy.item()
        return {**super().curves(), **figures}


class _Alone(Concat):
    """One modality's feature, of feature maps the mean over all positions."""

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim, *positions]} -> {modality: [batch, feature_dim]}."""
        return {modality: feature.reshape(*feature.shape[:2], -1).mean(dim=2) for modality, feature in features.items()}


class _JointAccuracy(Joint):
    """The joint loss and, where a clip has one class, the share of clips classified correctly."""

    def forward(self, output: Output, labels: Tensor) -> dict[str, Tensor]:
        """{"joint": scalar, "accuracy": scalar}."""
        terms = super().forward(output, labels)
        if labels.dim() == 1:
            terms["accuracy"] = (output.logits.argmax(dim=1) == labels).float().mean()
        return terms
