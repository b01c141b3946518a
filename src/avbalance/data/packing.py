"""Writes packed data: one array a split and modality, and what is known of every clip."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError


class TooManyDroppedError(UserError):
    """More of a dataset's files are unusable than is allowed; its report.json names them."""


def write_array(path: Path, shape: tuple[int, ...], chunks: Iterable[NDArray[Any]]) -> None:
    """Write chunks [k, *rest] one after another as one float16 array of `shape` = [n, *rest].

    Written as a stream, not through a memory map: the process never holds more than one chunk.
    """
    header = {"descr": "<f2", "fortran_order": False, "shape": shape}
    written = 0
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            assert chunk.shape[1:] == shape[1:]
            file.write(np.ascontiguousarray(chunk, dtype="<f2").data)
            written += len(chunk)
    assert written == shape[0]


def write_clips(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write clips.csv, one line a clip: split, index, label and where the clip comes from."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "index", "label", *columns])
        writer.writerows(rows)


def write_report(
    path: Path, dropped: list[dict[str, str]], repaired: list[dict[str, str]], num_files: int, allowed: float
) -> None:
    """Write report.json, which names every dropped or repaired file and why.

    Args:
        path: Where to write it.
        dropped, repaired: [{"file": name, "why": reason}].
        num_files: How many files there were.
        allowed: The share of them that may be dropped.

    Raises:
        TooManyDroppedError: More than that share was dropped. The report is written all the same.
    """
    path.write_text(
        json.dumps({"dropped": dropped, "repaired": repaired}, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    if len(dropped) > allowed * num_files:
        first = "; ".join(f"{entry['file']}: {entry['why']}" for entry in dropped[:3])
        raise TooManyDroppedError(
            f"{len(dropped)} of {num_files} files cannot be used, at most {allowed:.0%} may be dropped ({first})"
        )
