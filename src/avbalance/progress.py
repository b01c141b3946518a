"""Progress of a step: a bar in a terminal, a line for each part in a log, and a file for `avbalance.status`."""

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
    """Count the finished parts of a step and show the count.

    Args:
        folder: Folder of the step below `results/resume/`.
        total: Largest number of parts.
        unit: Name of a part, such as `epoch`.
        done: Number of parts that an earlier try has finished.
    """

    def __init__(self, folder: Path, total: int, unit: str, done: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / FILE
        self._total, self._unit, self._done, self._since = total, unit, done, time.monotonic()
        self._begun = {"started": time.time(), "first": done}
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=folder.name, disable=None)
        self._log(f"{folder.name}: {done} of at most {total} {unit}s are done")
        self._write()

    def advance(self, **values: float) -> None:
        """Count one part more; show the values beside the bar, or in the log with the seconds that the part took."""
        self._done += 1
        texts = {name: f"{value:.4g}" for name, value in values.items()}
        self._bar.set_postfix(texts, refresh=False)
        self._bar.update()
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        words = [f"{self._unit} {self._done} of {self._total}", *(f"{name} {text}" for name, text in texts.items())]
        self._log(", ".join([*words, f"{seconds:.1f} s"]))
        self._write()

    def close(self) -> None:
        """Remove the bar and the file after the last part."""
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
