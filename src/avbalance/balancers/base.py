"""Joint training, and the six stages that a balancing method may change."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from avbalance.losses.base import Loss
from avbalance.model import Model
from avbalance.types import Batch, Loader, Loaders, Output


class Balancer(nn.Module):
    """Joint training: every modality is trained by the one objective.

    A method overrides one or two stages. All its state lives in parameters, buffers or submodules, so that a checkpoint
    holds it. What `start_epoch` decides for the epoch alone may be plain attributes, which checkpoints within an epoch
    hold (`decided`). A subclass takes `model` and `loss` first; its options follow by keyword.

    Paper: None; joint training is what every paper compares its method with.
    Code: None.
    Here: Rows `joint`, `joint_twice` and `joint_three`, and all that name no balancer.

    Attributes:
        requires_fusion: Fusions this method can be trained with, by name; empty for any.
        requires_loss: Losses this method can be trained with, by name; empty for any.
        requires_head: Heads this method can be trained with, by name; empty for any. What changes a prediction is a
            head, for evaluation sees the model alone.
        tasks: Tasks of datasets for which the method is defined.
        several_modalities: True if the method needs more than one modality.
        two_modalities: True if the method is defined for exactly two modalities.
        keeps_apart: True if the fusion must keep modalities apart, so that each has a stream of its own.
        keeps_encoders_apart: True if the fusion must not join the encoders' stages, so that an encoder can stand alone
            and only losses that use its feature reach it.
        equal_dims: True if all features must have one length.
        weighs_heads: True if the method weighs the heads' losses itself, so that the loss's own weight stays 1.
        needs_branch: True if an encoder must have an auxiliary branch, its option `branch`.
        scales_gradients: True if the method multiplies gradients by factors. Adam and Adagrad divide each gradient by
            its own past size, so that a constant factor changes nothing; such a method is trained with SGD.
        by_modality: Options that list a value for each modality, in the order of the modalities.
        requires_package: Package of an extra that the method computes with, which has the name of the extra.
        uses_blend: True if the method receives blend weights, estimated on the row's own uni-modal and joint runs.
        uses_teachers: True if the method receives the trained models of the row's own uni-modal runs.
        curve_names: Names of the curves that the method records besides its loss, for columns `curve_<name>`;
            `<modality>` stands for each modality, `<head>` also for `joint`. Not set if the method does not say.
        earliest_stop: Number of epochs that are trained in any case; the patience of early stopping counts from there.
    """

    requires_fusion: ClassVar[tuple[str, ...]] = ()
    requires_loss: ClassVar[tuple[str, ...]] = ()
    requires_head: ClassVar[tuple[str, ...]] = ()
    tasks: ClassVar[tuple[str, ...]] = ("single_label", "multi_label", "verification")
    several_modalities: ClassVar[bool] = False
    two_modalities: ClassVar[bool] = False
    keeps_apart: ClassVar[bool] = False
    keeps_encoders_apart: ClassVar[bool] = False
    equal_dims: ClassVar[bool] = False
    weighs_heads: ClassVar[bool] = False
    needs_branch: ClassVar[bool] = False
    scales_gradients: ClassVar[bool] = False
    by_modality: ClassVar[tuple[str, ...]] = ()
    requires_package: ClassVar[tuple[str, ...]] = ()
    uses_blend: ClassVar[bool] = False
    uses_teachers: ClassVar[bool] = False
    curve_names: ClassVar[tuple[str, ...]]
    earliest_stop: int = 0

    def __init__(self, model: Model, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def receive(self, blend: Mapping[str, Any]) -> None:
        """Take over the content of `blend.json` before training; called if `uses_blend`."""

    def receive_teachers(self, teachers: dict[str, Model]) -> None:
        """Take over {modality: model trained on it alone}, without gradients, before training; if `uses_teachers`.

        A teacher is an input and no state: keep it in a dict, which no checkpoint holds.
        """

    def expect(self, num_clips: int) -> None:
        """Register the buffers that have an entry for each training clip; called once, before training."""

    def groups(self) -> list[dict[str, Any]]:
        """Groups of weights for the optimiser, which names the key `params`; `scale` multiplies the learning rate."""
        return [{"params": list(self.parameters())}]

    def start_epoch(self, epoch: int, loaders: Loaders, optimizer: Optimizer) -> None:
        """Look at the whole data before epoch `epoch` (from 0); `optimizer` is the one that trains."""

    def decided(self) -> dict[str, Any]:
        """Return the attributes that hold in this epoch and are no part of the state dict: plain values and tensors."""
        return {name: value for name, value in vars(self).items() if name[0] != "_" and _is_plain(value)}

    def resume(self, decided: Mapping[str, Any]) -> None:
        """Set the attributes that `decided` gave in an earlier try, in place of `start_epoch`."""
        vars(self).update(decided)

    def batches(self, loader: Loader) -> Iterator[Batch]:
        """Data level: the batches of one training epoch.

        Batches that an earlier try has trained on pass again without `inputs`.
        """
        yield from loader

    def forward(self, batch: Batch) -> Output:
        """Feed-forward level."""
        features = self.model.encode(batch.inputs)
        if batch.present is not None:
            features = {
                modality: feature * batch.present[modality].view(-1, *[1] * (feature.dim() - 1))
                for modality, feature in features.items()
            }
        return self.model.decide(features)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        """Objective level: named, already weighted scalar terms; their sum is the objective.

        In float32 also under autocast, for a loss may own parameters.
        """
        with torch.autocast(output.logits.device.type, enabled=False):
            terms: dict[str, Tensor] = self.loss(output, batch.labels)
        return terms

    def backward(self, losses: dict[str, Tensor], output: Output, batch: Batch) -> None:
        """Optimisation level: leave gradients in `.grad`."""
        sum(losses.values(), start=output.logits.new_zeros(())).backward()

    def step(self, batch: Batch, optimizer: Optimizer) -> dict[str, Tensor]:
        """One update; returns the detached loss terms."""
        optimizer.zero_grad(set_to_none=True)
        output = self(batch)
        losses = self.losses(output, batch)
        self.backward(losses, output, batch)
        self.update(optimizer)
        return {name: value.detach() for name, value in losses.items()}

    def update(self, optimizer: Optimizer) -> None:
        """Shorten the gradient as `training.clip_norm` says, and take the optimiser's step."""
        limit = optimizer.param_groups[0].get("clip_norm")
        if limit is not None:
            nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], limit)
        optimizer.step()

    def curves(self) -> dict[str, float]:
        """{name: value} to plot after an epoch; the same names in every epoch."""
        return self.loss.curves()


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(each) for each in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return isinstance(value, bool | int | float | str | None | Tensor) and not isinstance(value, nn.Parameter)
