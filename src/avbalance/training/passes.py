"""Passes over the training clips that another try takes up in the middle, with the same bits."""

from collections.abc import Callable, Iterator
from typing import Any

from torch.optim import Optimizer

from avbalance.data.packed import Batches
from avbalance.training.checkpoint import random_state, set_random_state
from avbalance.training.partial_epoch import PartialEpoch
from avbalance.training.state import State
from avbalance.types import Batch, Loader, Loaders, Trial


def walk(loader: Batches, batches: Callable[[Loader], Iterator[Batch]], place: dict[str, Any]) -> Iterator[Batch]:
    """Go over one pass, or over its rest.

    Args:
        loader: Training clips.
        batches: Function that makes the batches of a pass, such as `Balancer.batches`.
        place: Empty at the start of a pass; kept up to date. With that of an earlier try, the batches that it trained
            on are passed over unread, and random numbers go on from their state at the call.
    """
    device = loader.split.device
    now = random_state(device)
    if not place:
        place.update(num_passes=loader.num_passes, num_steps=0, random=now)
    loader.num_passes = place["num_passes"]
    set_random_state(place["random"], device)  # the method may draw the order of the pass
    rest = batches(loader)
    if place["num_steps"]:
        with loader.split.unread():
            for _ in range(place["num_steps"]):
                next(rest)
        set_random_state(now, device)
    for batch in rest:
        place["num_steps"] += 1
        yield batch


class ResumableLoaders(Loaders):
    """Loaders of an epoch whose `train_apart` is resumed.

    Args:
        train, plain, val: As for `Loaders`.
        state: State of the run, which saves itself.
        part: Part of the epoch that is done.
    """

    train: Batches

    def __init__(self, train: Batches, plain: Batches, val: Batches, state: State, part: PartialEpoch) -> None:
        super().__init__(train, plain, val)
        self._state, self._part = state, part
        self._num_trials = 0

    def passes(self, trial: Trial, optimizer: Optimizer, num_epochs: int) -> Iterator[Batch]:
        """Batches of a trial that are left; weights and optimiser are those that an earlier try has reached."""
        trials = self._part.apart
        if self._num_trials == len(trials):
            trials.append({"num_epochs": 0, "place": {}})
        record = trials[self._num_trials]
        self._num_trials += 1
        if "trial" in record:
            trial.load_state_dict(record["trial"])
            optimizer.load_state_dict(record["optimizer"])
            self.train.num_passes = record["num_passes"]
            set_random_state(record["random"], self._state.device)
        while record["num_epochs"] < num_epochs:
            for batch in walk(self.train, iter, record["place"]):
                yield batch
                if self._state.is_due:
                    self._note(record, trial, optimizer)
                    self._state.save(self._part)
            record["num_epochs"], record["place"] = record["num_epochs"] + 1, {}
        self._note(record, trial, optimizer)

    def _note(self, record: dict[str, Any], trial: Trial, optimizer: Optimizer) -> None:
        record["trial"], record["optimizer"] = trial.state_dict(), optimizer.state_dict()
        record["num_passes"], record["random"] = self.train.num_passes, random_state(self._state.device)
