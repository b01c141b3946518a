"""Checkpoints, from which a killed run resumes bit for bit.

A checkpoint is a file `checkpoint.<sha256>.pt`. Its name is the hash of its bytes, so a damaged one is never used.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from avbalance import store
from avbalance.owners import this_process

FILES = "checkpoint.*.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run, whole or not at all, and remove the checkpoint before it.

    Args:
        folder: Folder of the unfinished run.
        state: Tensors and plain values; `files` is {name: sha256} of files that must lie beside the checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"checkpoint.{this_process()}.unfinished"  # another node may train the same run
    with store.naming(unfinished), unfinished.open("wb") as file:  # torch would hide the reason, such as a full disk
        torch.save(state, file)
    sync(unfinished)
    older = list(folder.glob(FILES))
    current = unfinished.rename(folder / f"checkpoint.{store.sha256(unfinished)}.pt")
    for path in older:
        if path != current:
            path.unlink(missing_ok=True)


def sync(file: Path) -> None:
    """Wait until a file is on the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """Return the state that was saved, or None; set a damaged checkpoint aside with a line on stderr.

    Tensors of the CPU stay there; all others come to the device.
    """
    for path in sorted(folder.glob(FILES)):
        try:
            return _read(path, device)
        except ValueError as error:
            aside = path.rename(path.with_name(f"{path.name}.damaged"))
            print(f"the checkpoint {error}; it is kept as {aside}, and training begins anew", file=sys.stderr)
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """Return the state in a checkpoint.

    Raises:
        ValueError: The checkpoint, or a file beside it, is not what was saved.
    """
    if path.name != f"checkpoint.{store.sha256(path)}.pt":
        raise ValueError("differs from what was saved")

    def place(storage: Any, location: str) -> Any:  # noqa: ANN401
        return storage if "cpu" in (location, device.type) else storage.cuda(device.index)

    try:
        state: dict[str, Any] = torch.load(path, map_location=place, weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError) as error:
        raise ValueError("holds objects other than tensors and plain values") from error
    for name, digest in state["files"].items():
        file = path.with_name(name)
        if not file.exists() or store.sha256(file) != digest:
            raise ValueError(f"needs {name}, which is missing or differs from what was saved")
    return state


def random_state(device: torch.device) -> dict[str, Tensor]:
    """State of torch's random numbers, {"cpu": bytes} and, if that is the device, {"cuda": bytes}."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else states


def set_random_state(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Go on with the random numbers from a `random_state`."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
