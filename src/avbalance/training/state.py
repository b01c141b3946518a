"""State of a run in training, which saves itself and resumes bit for bit."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avbalance.balancers.base import Balancer
from avbalance.training.checkpoint import load_checkpoint, save_checkpoint
from avbalance.training.optimization import make_optimizer
from avbalance.training.partial_epoch import PartialEpoch
from avbalance.training.snapshots import Snapshots

MOST_TIME = 0.01
"""Share of the time that checkpoints may take."""


class State:
    """Everything that training changes; it continues from the last checkpoint in its folder if there is one.

    Args:
        balancer: Balancer at the start of the run.
        training: Settings of the run, every key of `schema.Training`.
        folder: Folder of the unfinished run.
        steps_per_epoch: Number of optimiser steps.
        checkpoint_seconds: Least time between two checkpoints, which is at least 100 times what the last one took; 0
            for a checkpoint after every step.

    Attributes:
        part: Part of the next epoch that an earlier try has done; None if there is none.
        history: One record for each finished epoch.
        norms: Length of each class's weight after each epoch, {stream: [num_classes]}.
        best: State dict of the balancer after the chosen epoch; at the start of the run before the first.

    Raises:
        UserError: The run cannot take as many steps as a snapshot needs.
    """

    def __init__(
        self,
        balancer: Balancer,
        training: Mapping[str, Any],
        folder: Path,
        steps_per_epoch: int,
        checkpoint_seconds: float,
    ) -> None:
        self.balancer, self.training, self.folder = balancer, training, folder
        self.optimizer = make_optimizer(balancer.groups(), training)
        self.history: list[dict[str, float]] = []
        self.norms: list[dict[str, Tensor]] = []
        self.best = _copy(balancer)
        self.device = next(balancer.parameters()).device
        self.part: PartialEpoch | None = None
        num_steps, files = 0, {}
        if saved := load_checkpoint(folder, self.device):
            balancer.load_state_dict(saved["balancer"])
            self.optimizer.load_state_dict(saved["optimizer"])
            self.history, self.norms, self.best = saved["history"], saved["norms"], saved["best"]
            self.part = PartialEpoch(**saved["part"]) if saved["part"] else None
            num_steps, files = saved["num_steps"], saved["files"]
        most_steps = training["epochs"] * steps_per_epoch
        self.snapshots = Snapshots(balancer.model, training["snapshots"], folder, most_steps, num_steps, files)
        self._checkpoint_seconds = self._pause = checkpoint_seconds
        self._last_saved = time.monotonic()

    @property
    def epoch(self) -> int:
        """Number of finished epochs, which is the place of the next one."""
        return len(self.history)

    @property
    def chosen_epoch(self) -> int:
        """Place of the epoch with the lowest validation loss, or of the last one, as `training.select` says.

        Of equal losses the first is chosen. -1 before the first epoch.
        """
        if not self.history or self.training["select"] == "last":
            return self.epoch - 1
        return min(range(self.epoch), key=lambda epoch: self.history[epoch]["val_loss"])

    @property
    def is_finished(self) -> bool:
        """True after all epochs, or after `training.patience` epochs without a lower validation loss.

        Of a method with stages these epochs count from its `earliest_stop`.
        """
        num_waited = self.epoch - 1 - max(self.chosen_epoch, self.balancer.earliest_stop - 1)
        return bool(self.epoch >= self.training["epochs"] or num_waited >= self.training["patience"])

    def advance(self, record: dict[str, float]) -> None:
        """Add an epoch's record, keep the weights if it is the chosen epoch, and save if it is time."""
        self.history.append(record)
        weights = self.balancer.model.class_weights()
        self.norms.append({stream: W_s.detach().norm(dim=1) for stream, W_s in weights.items()})
        if self.chosen_epoch == self.epoch - 1:
            self.best = _copy(self.balancer)
        self.part = None
        if self.is_due:
            self.save()

    @property
    def is_due(self) -> bool:
        """True if it is time for a checkpoint."""
        return time.monotonic() - self._last_saved >= self._pause

    def save(self, part: PartialEpoch | None = None) -> None:
        """Write a checkpoint, with the part of the next epoch that is done."""
        start = time.monotonic()
        saved = {
            "balancer": self.balancer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "history": self.history,
            "norms": self.norms,
            "num_steps": self.snapshots.num_steps,
            "files": self.snapshots.files,
            "part": part.saved(self.balancer, self.device) if part else None,
        }
        save_checkpoint(self.folder, saved)
        self._last_saved = time.monotonic()
        if self._checkpoint_seconds:
            self._pause = max(self._checkpoint_seconds, (self._last_saved - start) / MOST_TIME)

    def weight_norms(self) -> dict[str, Tensor]:
        """Lengths of the classes' weights after every epoch, {stream: [epochs, num_classes]}, on the CPU."""
        streams = self.norms[0] if self.norms else {}
        return {stream: torch.stack([norms[stream] for norms in self.norms]).cpu() for stream in streams}


def _copy(balancer: Balancer) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in balancer.state_dict().items()}
