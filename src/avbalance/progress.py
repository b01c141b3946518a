"""Progress of a step: a bar in a terminal, a line for each part in a log, a file for `python -m avbalance.status`."""

import json
import os
import socket
import sys
import time
from pathlib import Path

from tqdm import tqdm

from avbalance import store

FILE = "progress.json"


class Progress:
    """Counts the parts of a step.

    Args:
        folder: The step's folder below `results/resume/`.
        total: How many parts there are at most.
        unit: What a part is called.
        done: How many an earlier try has finished.
    """

    def __init__(self, folder: Path, total: int, unit: str, done: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        self._total, self._unit, self._done, self._since = total, unit, done, time.monotonic()
        self._begun = {"started": time.time(), "first": done}
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=folder.name, disable=None)
        self._log(f"{folder.name}: {done} of at most {total} {unit}s are done")
        self._write()

    def advance(self, **figures: float) -> None:
        """One part more is done; figures stand beside the bar, and with the part's seconds in a log."""
        self._done += 1
        shown = {name: f"{value:.4g}" for name, value in figures.items()}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        words = [f"{self._unit} {self._done} of {self._total}", *(f"{name} {text}" for name, text in shown.items())]
        self._log(", ".join([*words, f"{seconds:.1f} s"]))
        self._write()

    def close(self) -> None:
        """The step has finished."""
        self._bar.close()
        self._file.unlink(missing_ok=True)

    def _log(self, line: str) -> None:
        if self._bar.disable:  # no terminal
            print(line, file=sys.stderr, flush=True)

    def _write(self) -> None:
        state = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "time": time.time(),
            "done": self._done,
            "total": self._total,
            **self._begun,
        }
        store.replace(self._file, json.dumps(state, allow_nan=False))
