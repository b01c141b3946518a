"""How far a step is: a bar in a terminal, a small file for `python -m avbalance.status`, silence in a log."""

import json
import os
import socket
import time
from pathlib import Path

from tqdm import tqdm

FILE = "progress.json"


class Progress:
    """Counts the parts of a step.

    Args:
        folder: The step's folder below `results/resume/`.
        total: How many parts there are at most.
        done: How many an earlier try has finished.
    """

    def __init__(self, folder: Path, total: int, unit: str, done: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        self._total, self._done = total, done
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=folder.name, disable=None)
        self._write()

    def advance(self, **figures: float) -> None:
        """One part more is done; figures stand beside the bar."""
        self._done += 1
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in figures.items()}, refresh=False)
        self._bar.update()
        self._write()

    def close(self) -> None:
        """The step has finished."""
        self._bar.close()
        self._file.unlink(missing_ok=True)

    def _write(self) -> None:
        state = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "time": time.time(),
            "done": self._done,
            "total": self._total,
        }
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(state), encoding="utf-8")
        unfinished.rename(self._file)
