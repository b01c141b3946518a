"""One epoch of training, and the checks that its numbers are finite."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from avbalance import registry
from avbalance.balancers.base import Balancer
from avbalance.data.packed import Batches, Split
from avbalance.errors import NotFiniteError
from avbalance.model import Model
from avbalance.training.optimization import set_learning_rate
from avbalance.training.partial_epoch import PartialEpoch
from avbalance.training.passes import ResumableLoaders, walk
from avbalance.training.state import State

CHECK_EVERY_STEPS = 50
"""Steps between two looks at losses and gradients; each look waits for the device. The last step is always checked."""


def train_epoch(state: State, splits: Mapping[str, Split], seed: int) -> dict[str, float]:
    """Train the next epoch, or its rest. All its randomness follows from (seed, epoch).

    Returns:
        "epoch", counted from 1; the values of `take_steps`; "passes", the number of clips that an encoder was trained
        on, mean over encoders, over the number of clips: 1 for joint training; and "seconds".

    Raises:
        NotFiniteError: A loss term is not finite.
    """
    training, epoch, model = state.training, state.epoch, state.balancer.model
    torch.manual_seed(int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0]))
    set_learning_rate(state.optimizer, training, epoch)
    batch_size = training["batch_size"]
    augmentation = registry.load("augmentation", training["augment"]) if training["augment"] else None
    part = state.part or PartialEpoch(dict.fromkeys(model.encoders, 0))
    loaders = ResumableLoaders(
        Batches(splits["train"], batch_size, (seed, epoch), augmentation=augmentation),
        Batches(splits["train"], batch_size),
        Batches(splits["val"], batch_size),
        state,
        part,
    )
    with counted_clips(model, part.counts):
        record = take_steps(state, loaders, part)
    passes = sum(part.counts.values()) / len(model.encoders) / len(splits["train"])
    return {"epoch": epoch + 1, **record, "passes": passes, "seconds": round(part.elapsed, 4)}


@contextmanager
def counted_clips(model: Model, counts: dict[str, int]) -> Iterator[None]:
    """Add the clips that pass each encoder, or a copy made meanwhile, with gradients to {modality: clips}."""

    def count(outputs: dict[str, Tensor]) -> None:
        for modality, output in outputs.items():
            if output.requires_grad:
                counts[modality] += len(output)

    def hook_of(modality: str) -> Callable[..., None]:
        return lambda encoder, inputs, output: count({modality: output})

    handles = [encoder.register_forward_hook(hook_of(modality)) for modality, encoder in model.encoders.items()]
    for junction in model.fusion.junctions[-1:]:  # encoders that exchange maps run in parts, not as a whole
        handles.append(junction.register_forward_hook(lambda junction, inputs, outputs: count(outputs)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def take_steps(state: State, loaders: ResumableLoaders, part: PartialEpoch) -> dict[str, float]:
    """Take the optimiser steps of the next epoch that are left.

    Returns:
        "train_loss", the mean objective over the clips of the epoch; and "grad_norm_<modality>", the length of the
        gradient of an encoder's weights, mean over the steps that are checked.

    Raises:
        NotFiniteError: A loss term is not finite.
    """
    balancer, optimizer, epoch = state.balancer, state.optimizer, state.epoch
    precision = getattr(torch, state.training["precision"])
    autocast = partial(torch.autocast, state.device.type, precision, enabled=precision != torch.float32)
    if part.place:
        part.resume(balancer, state.device)
    else:
        balancer.train()
        with autocast():
            balancer.start_epoch(epoch, loaders, optimizer)
        part.apart.clear()
    for batch in walk(loaders.train, balancer.batches, part.place):
        with autocast():
            terms = balancer.step(batch, optimizer)
        part.count(terms, len(batch.labels))
        state.snapshots.advance()
        if len(part.unchecked) == CHECK_EVERY_STEPS:
            _check_losses(part.unchecked, epoch, part.place["num_steps"])
            part.unchecked = []
            part.gradients.append(_gradient_norms(balancer.model))
        if state.is_due:
            part.last_gradient = _gradient_norms(balancer.model)
            state.save(part)
    if part.unchecked:
        _check_losses(part.unchecked, epoch, part.place["num_steps"])
        last = _gradient_norms(balancer.model) if part.last_gradient is None else part.last_gradient
        part.gradients.append(last)
    means = torch.stack(part.gradients).mean(dim=0).tolist()
    norms = {f"grad_norm_{modality}": mean for modality, mean in zip(balancer.model.encoders, means, strict=True)}
    return {"train_loss": float(torch.cat(part.losses).sum()) / part.num_clips, **norms}


def _gradient_norms(model: Model) -> Tensor:
    """Length of the gradient that the last step left in each encoder, [modalities]."""
    norms, device = [], next(model.parameters()).device
    for encoder in model.encoders.values():
        gradients = [weight.grad for weight in encoder.parameters() if weight.grad is not None]
        norms.append(nn.utils.get_total_norm(gradients) if gradients else torch.zeros((), device=device))
    return torch.stack(norms)


def _check_losses(terms: list[dict[str, Tensor]], epoch: int, num_steps: int) -> None:
    """Check the loss terms of the last steps."""
    for step, losses in enumerate(terms, start=num_steps - len(terms) + 1):
        for name, value in losses.items():
            if not math.isfinite(value):
                raise NotFiniteError(
                    f"the loss term {name!r} is {value.item()} in epoch {epoch + 1}, step {step}; "
                    f"lower training.learning_rate, or check the data"
                )


def check_finite(balancer: Balancer, val_loss: float, epoch: int) -> None:
    """Check what an epoch, counted from 0, has left: its loss terms do not show what its last step did.

    Raises:
        NotFiniteError: The validation loss or a weight is not finite.
    """
    if not math.isfinite(val_loss):
        raise not_finite(f"the validation loss is {val_loss}", epoch)
    state = {**balancer.model.state_dict(), **balancer.loss.state_dict(prefix="loss.")}
    finite = torch.stack([values.isfinite().all() for values in state.values()]).tolist()
    if not all(finite):
        raise not_finite(f"{list(state)[finite.index(False)]} holds numbers that are not finite", epoch)


def not_finite(problem: str, epoch: int) -> NotFiniteError:
    """Error for a number that is not finite after an epoch, counted from 0."""
    return NotFiniteError(f"{problem} after epoch {epoch + 1}; lower training.learning_rate, or check the data")
