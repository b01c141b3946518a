"""Index of extracted features: a list of clips with split and label, in csv or parquet."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avbalance.data.clips import draw_val
from avbalance.data.feature_files import READ_ERRORS, check_package
from avbalance.data.lists import read_table
from avbalance.errors import UserError

SPLITS = ("train", "val", "test")
Label = int | tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """A line of the index.

    Attributes:
        place: File and line, for messages.
        label: Class; a tuple of all classes in tasks with several labels.
        row: The line, {column: text}.
    """

    place: str
    clip: str
    split: str
    label: Label
    row: Mapping[str, str]


def read_index(path: Path, edges: Sequence[float] | None) -> list[Entry]:
    """Return all clips of an index, in its order.

    Args:
        path: A csv or parquet file with the columns `clip`, `split`, and `label` or `labels`.
        edges: As of `Features`.

    Raises:
        UserError: The index is absent or malformed, or a clip stands in it twice; names the line.
    """
    entries: dict[str, Entry] = {}
    lines = _parquet_rows(path) if path.suffix == ".parquet" else read_table(path, ("clip", "split"))
    for line, row in lines:
        place, clip = f"{path}: line {line}", row["clip"]
        if row["split"] not in SPLITS:
            raise UserError(f"{place}: {row['split']!r} is not a split; allowed: {', '.join(SPLITS)}")
        if clip in entries:
            raise UserError(f"{place}: clip {clip!r} stands in {entries[clip].place.rpartition(': ')[2]} already")
        entries[clip] = Entry(place, clip, row["split"], _label(row, edges, place), row)
    return list(entries.values())


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number, from 1, and {column: text} of each row; a list becomes text with blanks."""
    check_package(path)
    from pyarrow import parquet  # an extra

    try:
        rows = parquet.read_table(path).to_pylist()
    except READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    for column in ("clip", "split"):
        if rows and column not in rows[0]:
            raise UserError(f"{path}: has no column {column!r}; found {', '.join(rows[0])}")
    for line, row in enumerate(rows, start=1):
        yield (
            line,
            {name: " ".join(map(str, each)) if isinstance(each, list) else str(each) for name, each in row.items()},
        )


def _label(row: Mapping[str, str], edges: Sequence[float] | None, place: str) -> Label:
    """Class or classes of a clip."""
    if "label" not in row and "labels" not in row:
        raise UserError(f"{place.rpartition(': ')[0]}: has no column 'label' or 'labels'; found {', '.join(row)}")
    column = "label" if "label" in row else "labels"
    try:
        if column == "labels":
            return tuple(sorted({int(each) for each in row["labels"].split()}))
        if edges is None:
            return int(row["label"])
        return int(np.searchsorted(edges, float(row["label"]), side="right"))
    except ValueError as error:
        numbers = "a class as a number from 0" if column == "label" else "classes as numbers from 0, between blanks"
        allowed = numbers if edges is None else "a number"
        raise UserError(f"{place}: {column}: found {row[column]!r}; allowed: {allowed}") from error


def divide(entries: Sequence[Entry], val_fraction: float, seed: int, path: Path) -> dict[str, list[Entry]]:
    """Return the clips of each split; a share of each class of train becomes val if the index has no val.

    Raises:
        UserError: A split is empty.
    """
    members = {split: [entry for entry in entries if entry.split == split] for split in SPLITS}
    if not members["val"]:
        val = draw_val(((entry.clip, entry.label) for entry in members["train"]), val_fraction, seed)
        members["val"] = [entry for entry in members["train"] if entry.clip in val]
        members["train"] = [entry for entry in members["train"] if entry.clip not in val]
    if empty := [split for split in SPLITS if not members[split]]:
        raise UserError(f"{path}: split {empty[0]!r} has no clip; name some, or change reader.features.val_fraction")
    return members
