"""Weights kept during training, for probes after several numbers of steps (Alain & Bengio, 2016, Figs. 3, 6, 9)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import save
from torch import nn

from avbalance import store
from avbalance.errors import UserError
from avbalance.training.checkpoint import sync


def snapshot_file(step: int) -> str:
    """Name of the file, beside `model.safetensors`, with the weights after a number of steps."""
    return f"snapshot_{step}.safetensors"


class Snapshots:
    """Count the optimiser steps of a run and keep the model's weights after some of them.

    Args:
        model: Model in training.
        wanted: Numbers of steps, `training.snapshots`.
        folder: Folder for the weights until the run is published.
        most_steps: Largest number of steps that the run can take.
        num_steps: Number of steps that an earlier try has finished.
        files: {name: sha256} of the snapshots that it has kept.

    Raises:
        UserError: The run cannot take as many steps as a snapshot needs.
    """

    def __init__(
        self,
        model: nn.Module,
        wanted: Sequence[int],
        folder: Path,
        most_steps: int,
        num_steps: int,
        files: Mapping[str, str],
    ) -> None:
        self._model, self._wanted, self._folder = model, wanted, folder
        self.num_steps, self.files = num_steps, dict(files)
        if late := [step for step in wanted if step > most_steps]:
            raise UserError(
                f"training.snapshots: {late[0]} is beyond the {most_steps} steps of training; "
                "remove it, or raise training.epochs"
            )
        if num_steps == 0:
            self._keep()

    def advance(self) -> None:
        """Count one step more."""
        self.num_steps += 1
        self._keep()

    def close(self) -> None:
        """Check at the end of training that every snapshot was taken.

        Raises:
            UserError: Training stopped before a snapshot.
        """
        if late := [step for step in self._wanted if step > self.num_steps]:
            raise UserError(
                f"training.snapshots: {late[0]} was not reached, because training stopped after {self.num_steps} "
                "steps; remove it, or raise training.patience"
            )

    def _keep(self) -> None:
        if self.num_steps in self._wanted:
            state = {name: value.contiguous().cpu() for name, value in self._model.state_dict().items()}
            file = self._folder / snapshot_file(self.num_steps)
            store.replace(file, save(state))
            sync(file)
            self.files[file.name] = store.sha256(file)
