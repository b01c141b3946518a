"""Weights kept in the course of training, for probes at several moments (Alain & Bengio, 2016, Figs. 3, 6 and 9)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn

from avbalance import store
from avbalance.errors import UserError
from avbalance.training import checkpoint


def file_of(moment: int) -> str:
    """The file, beside `model.safetensors`, of the weights after so many steps."""
    return f"moment_{moment}.safetensors"


class Moments:
    """Counts the steps of a run and keeps the model's weights after those of `training.snapshots`.

    Args:
        folder: Where they are kept until the run is published.
        num_steps: How many there can be at most.
        done: Steps that an earlier try has finished.
        files: {name: sha256} of the moments that it has kept.

    Raises:
        UserError: Training cannot last until a moment.
    """

    def __init__(
        self,
        model: nn.Module,
        training: Mapping[str, Any],
        folder: Path,
        num_steps: int,
        done: int,
        files: Mapping[str, str],
    ) -> None:
        self._model, self._folder = model, folder
        self._moments = training["snapshots"]
        self.done, self.files = done, dict(files)
        if late := [moment for moment in self._moments if moment > num_steps]:
            raise UserError(
                f"training.snapshots: {late[0]} is beyond the {num_steps} steps of training; leave it out, or train on"
            )
        if done == 0:
            self._keep()

    def advance(self) -> None:
        """One step more is done."""
        self.done += 1
        self._keep()

    def close(self) -> None:
        """Training has ended.

        Raises:
            UserError: It ended before a moment.
        """
        if late := [moment for moment in self._moments if moment > self.done]:
            raise UserError(
                f"training.snapshots: {late[0]} was not reached, for training stopped after {self.done} steps; "
                "leave it out or raise training.patience"
            )

    def _keep(self) -> None:
        if self.done in self._moments:
            state = {name: value.contiguous().cpu() for name, value in self._model.state_dict().items()}
            file = self._folder / file_of(self.done)
            store.replace(file, save(state))
            checkpoint.sync(file)
            self.files[file.name] = store.sha256(file)
