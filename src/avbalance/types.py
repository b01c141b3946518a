"""Data that pass between datasets, model and balancer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer


@dataclass
class Batch:
    """One mini-batch.

    Attributes:
        inputs: {modality: [batch, *shape]}, float32.
        labels: [batch], int64; if a clip has several labels, [batch, num_classes], float32, of zeros and ones.
        index: [batch], int64, places of the clips in their split.
        present: {modality: [batch], bool}, false where a clip is to be seen without this modality; None if all clips
            are whole.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    index: Tensor
    present: dict[str, Tensor] | None = None


@dataclass
class Output:
    """Output of a model for one batch.

    Attributes:
        features: {modality: [batch, feature_dim]}, the output of each encoder; feature maps
            [batch, feature_dim, *positions] if the fusion reads maps.
        streams: {stream: [batch, dim]}, the output of the fusion and input of the head.
        logits: [batch, num_classes], float32.
    """

    features: dict[str, Tensor]
    streams: dict[str, Tensor]
    logits: Tensor

    @property
    def vectors(self) -> dict[str, Tensor]:
        """{modality: [batch, feature_dim]}: the features, with feature maps averaged over all positions."""
        return mean_over_positions(self.features)


def mean_over_positions(features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Average feature maps [batch, dim, *positions] to vectors [batch, dim]; keep vectors as they are."""
    return {
        modality: feature if feature.dim() == 2 else feature.flatten(2).mean(dim=2)
        for modality, feature in features.items()
    }


def in_order(names: Iterable[str], values: Sequence[float] | None, rest: float) -> dict[str, float]:
    """{name: its value}, with the values in the order of the names, and `rest` for names beyond their end.

    Raises:
        ValueError: There are more values than names.
    """
    names, values = list(names), list(values or ())
    if len(values) > len(names):
        raise ValueError(f"found {len(values)} values for {', '.join(names)}; give at most one for each")
    return dict(zip(names, [*values, *[rest] * (len(names) - len(values))], strict=True))


class Loader(Protocol):
    """Batches of one pass over a split."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...

    def of(self, places: Tensor) -> "Loader":
        """Batches of the clips at these places [n], in this order; a place may occur again."""
        ...


class Trial(Protocol):
    """A model in training, as a `Balancer` is."""

    def step(self, batch: Batch, optimizer: Optimizer) -> dict[str, Tensor]:
        """One update; returns the detached loss terms."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All weights and buffers."""
        ...

    def load_state_dict(self, state_dict: dict[str, Tensor]) -> object:
        """Take over what `state_dict` gave."""
        ...


@dataclass
class Loaders:
    """Clips that a balancer may see. There is no test loader, so that no method can use test clips.

    Attributes:
        train: Shuffled training batches.
        plain: The training split in order, without augmentation.
        val: The validation split in order.
    """

    train: Loader
    plain: Loader
    val: Loader

    def train_apart(self, trial: Trial, optimizer: Optimizer, num_epochs: int) -> None:
        """Train a model of a balancer's own in `start_epoch`; the balancer's state must be that before the epoch.

        In a run, checkpoints fall in here as well. Another try calls `start_epoch` again, and this method does only
        what is left.
        """
        for batch in self.passes(trial, optimizer, num_epochs):
            trial.step(batch, optimizer)
            torch.clear_autocast_cache()  # `start_epoch` is one context, which keeps casts of weights

    def passes(self, trial: Trial, optimizer: Optimizer, num_epochs: int) -> Iterator[Batch]:
        """Batches of `train_apart`."""
        for _ in range(num_epochs):
            yield from self.train
