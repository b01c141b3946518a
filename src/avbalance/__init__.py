"""Balanced audio-visual learning, from raw clips to printed tables."""

from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avbalance.trained import Trained


def load(run: str | PathLike[str], row: str | None = None, seed: int = 0, device: str = "cpu") -> "Trained":
    """Load a finished run; see `avbalance.trained.load`."""
    from avbalance import trained  # imports torch, which most commands do without

    return trained.load(run, row, seed, device)
