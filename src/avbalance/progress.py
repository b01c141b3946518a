"""Progress of a step: a bar in a terminal, a line for each part in a log, and a file for `avbalance.status`."""

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from avbalance import owners, store

FILE = "progress.json"


@dataclass
class Parts:
    """Parts of a step that are done; times are in seconds since 1970.

    Attributes:
        owner: Process of the step.
        unit: Name of a part.
        started: Start of this try.
        time: End of the last part.
        first: Number of parts that earlier tries have done.
        total: Largest number of parts.
    """

    owner: str
    unit: str
    started: float
    time: float
    first: int
    done: int
    total: int

    @property
    def seconds(self) -> float | None:
        """Mean duration of the parts that this try has done; None before the first."""
        return (self.time - self.started) / (self.done - self.first) if self.done > self.first else None


def read(name: str, root: Path = Path()) -> Parts | None:
    """Parts of the step that makes the artifact `name`; None without a file or with a damaged one."""
    try:
        return Parts(**json.loads((root / store.RESUME / name / FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


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
        self._since, now = time.monotonic(), time.time()
        self._parts = Parts(owners.this_process(), unit, now, now, done, done, total)
        self._bar = tqdm(total=total, initial=done, unit=unit, desc=folder.name, disable=None)
        self._log(f"{folder.name}: {done} of at most {total} {unit}s are done")
        self._write()

    def advance(self, **values: float) -> None:
        """Count one part more; show the values beside the bar, or in the log with the seconds that the part took."""
        parts = self._parts
        parts.done, parts.time = parts.done + 1, time.time()
        texts = {name: f"{value:.4g}" for name, value in values.items()}
        self._bar.set_postfix(texts, refresh=False)
        self._bar.update()
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        words = [f"{parts.unit} {parts.done} of {parts.total}", *(f"{name} {text}" for name, text in texts.items())]
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
        store.replace(self._file, json.dumps(asdict(self._parts), allow_nan=False))
