"""Checkpoints, from which a killed run resumes bit for bit.

A checkpoint is a file `checkpoint.<sha256>.pt`: its name tells its bytes, so a damaged one is never taken up.
"""

import os
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from avbalance import store

FILES = "checkpoint.*.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run between two epochs, whole or not at all, in the place of the one before.

    Args:
        folder: Of the unfinished run.
        state: Tensors and plain values; under `files` {name: sha256} of what must lie beside the checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "checkpoint.unfinished"
    with store.naming(unfinished), unfinished.open("wb") as file:  # a full disk is an error of the file's, not torch's
        torch.save(state, file)
    sync(unfinished)
    older = list(folder.glob(FILES))
    current = unfinished.rename(folder / f"checkpoint.{store.sha256(unfinished)}.pt")
    for path in older:
        if path != current:
            path.unlink()


def sync(file: Path) -> None:
    """Wait until a file is on the disk."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state that was saved, or None; a checkpoint that is damaged is set aside with a line on stderr."""
    for path in sorted(folder.glob(FILES)):
        try:
            return _read(path, device)
        except ValueError as error:
            aside = path.rename(path.with_name(f"{path.name}.damaged"))
            print(f"the checkpoint {error}; it is kept as {aside}, and training begins anew", file=sys.stderr)
    return None


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in a checkpoint.

    Raises:
        ValueError: The checkpoint or a file beside it is not what was saved.
    """
    if path.name != f"checkpoint.{store.sha256(path)}.pt":
        raise ValueError("has other bytes than were saved")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (EOFError, RuntimeError, UnpicklingError) as error:
        raise ValueError("holds other things than tensors and plain values") from error
    for name, digest in state["files"].items():
        file = path.with_name(name)
        if not file.exists() or store.sha256(file) != digest:
            raise ValueError(f"needs {name}, which is missing or has other bytes than were saved")
    return state
