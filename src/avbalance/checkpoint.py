"""What a killed run needs to go on, bit for bit."""

from pathlib import Path
from typing import Any

import torch

FILE = "checkpoint.pt"


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write the state of a run between two epochs, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{FILE}.unfinished"
    torch.save(state, unfinished)
    unfinished.rename(folder / FILE)


def load(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """The state last saved, or None."""
    if not (folder / FILE).exists():
        return None
    state: dict[str, Any] = torch.load(folder / FILE, map_location=device, weights_only=True)
    return state
