"""Writers of the files that a prepared dataset holds besides its arrays: clips, trials, report, description."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.data.lists import write_rows
from avbalance.errors import UserError

TRIALS, TRIAL_COLUMNS = "trials.csv", ("list", "enrol", "test", "is_target")


def write_report(folder: Path, report: Mapping[str, Any], num_listed: int, max_dropped: float, kept: Path) -> None:
    """Write report.json, and a copy that outlives a failure.

    Args:
        folder: Folder of the dataset.
        report: At least {"dropped": [{"clip" or "file", "why"}]}.
        num_listed: Number of clips or files, dropped ones included.
        max_dropped: Share of them that may be dropped.
        kept: Path of the copy.

    Raises:
        UserError: More than that share is dropped. Both files are written all the same.
    """
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text, encoding="utf-8")
    dropped = report["dropped"]
    if len(dropped) > max_dropped * num_listed:
        kind = "clip" if "clip" in dropped[0] else "file"
        first = "; ".join(f"{entry[kind]}: {entry['why']}" for entry in dropped[:10])
        more = "; ..." if len(dropped) > 10 else ""
        raise UserError(
            f"{len(dropped)} of {num_listed} {kind}s cannot be used, more than max_dropped ({max_dropped:.1%}) allows: "
            f"{first}{more}; all are listed in {kept}"
        )


def check_splits(num_clips: Mapping[str, int], raw: Path, kept: Path) -> None:
    """Check that every split has a clip.

    Raises:
        UserError: One has none; names the raw folder and the copy of the report.
    """
    if empty := [split for split, count in num_clips.items() if not count]:
        raise UserError(
            f"{raw}: split {empty[0]!r} has no usable clip; see prepare.val_fraction, the lists, and {kept}"
        )


def by_clip(entry: Mapping[str, str]) -> tuple[str, str]:
    """Order of the entries of a report."""
    return entry["clip"], entry["why"]


def check_labels(labels: Iterable[tuple[str, int | tuple[int, ...]]], num_classes: int, raw: Path) -> None:
    """Check that every label is a class.

    Args:
        labels: Name of each clip, and its label or labels.
        num_classes: Number of classes.
        raw: The raw folder, for the message.

    Raises:
        UserError: A label is negative, or `num_classes` or more.
    """
    for name, label in labels:
        for each in (label,) if isinstance(label, int) else label:
            if not 0 <= each < num_classes:
                raise UserError(
                    f"{raw}: clip {name!r} has the label {each}, but num_classes is {num_classes}: labels are 0 to "
                    f"{num_classes - 1}"
                )


def label_array(labels: Sequence[int | tuple[int, ...]], settings: Mapping[str, Any], raw: Path) -> NDArray[Any]:
    """Labels as they are stored: [n], int64; [n, num_classes], uint8, in tasks with several labels.

    Raises:
        UserError: Clips of a task with one label have lists of labels.
    """
    if settings.get("task") == "multi_label":
        matrix = np.zeros((len(labels), settings["num_classes"]), dtype=np.uint8)
        for row, label in zip(matrix, labels, strict=True):
            row[list(label) if isinstance(label, tuple) else label] = 1
        return matrix
    if any(isinstance(label, tuple) for label in labels):
        raise UserError(
            f"{raw}: clips have lists of labels, but the dataset's task is not multi_label; give it that task"
        )
    return np.array(labels, dtype=np.int64)


def write_clips(folder: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write clips.csv, one row for each packed clip: split, index, label and `columns`."""
    header = ["split", "index", "label", *columns]
    # A file name need not be valid text; bytes that are not are written as \udc...
    write_rows(folder / "clips.csv", [header, *rows], errors="backslashreplace")


def write_description(
    folder: Path,
    settings: Mapping[str, Any],
    modalities: Mapping[str, Any],
    num_clips: Mapping[str, int],
    about: Mapping[str, Any],
) -> None:
    """Write dataset.json.

    Args:
        folder: Folder of the dataset.
        settings: The recipe's: "dataset", "num_classes", and "task" and "classes" where the recipe has them.
        modalities: {modality: {"shape", ...}}.
        num_clips: {split: number of clips}.
        about: Further entries.
    """
    description = {
        "name": settings["dataset"],
        **{key: settings[key] for key in ("task",) if key in settings},
        "num_classes": settings["num_classes"],
        "classes": settings.get("classes") or [str(label) for label in range(settings["num_classes"])],
        "modalities": modalities,
        "splits": num_clips,
        **about,
    }
    text = json.dumps(description, indent=1, allow_nan=False) + "\n"
    (folder / "dataset.json").write_text(text, encoding="utf-8")


def write_trials(
    folder: Path, selection: Path, listed: Mapping[str, int], numbers: Mapping[int, int]
) -> dict[str, dict[str, int]]:
    """Write trials.csv: pairs of clips, by their numbers.

    Args:
        folder: Folder of the dataset.
        selection: Folder of the selected clips, whose trials.csv has all trials of selected clips.
        listed: {list: number of all its trials}.
        numbers: {place of a selected test clip: its number}, of the packed ones.

    Returns:
        {list: {"used": number of trials, "dropped": number of trials that name a dropped clip}}.

    Raises:
        UserError: No trial of a list is left.
    """
    if not listed:
        return {}
    used: Counter[str] = Counter()
    rows: list[Sequence[object]] = [TRIAL_COLUMNS]
    with (selection / TRIALS).open(newline="", encoding="utf-8") as file:
        for line in csv.DictReader(file):
            places = int(line["enrol"]), int(line["test"])
            if numbers.keys() >= set(places):
                rows.append((line["list"], *map(numbers.get, places), line["is_target"]))
                used[line["list"]] += 1
    write_rows(folder / TRIALS, rows)
    for name, count in listed.items():
        if not used[name]:
            raise UserError(f"{selection}: none of the {count} trials in list {name!r} has both of its clips")
    return {name: {"used": used[name], "dropped": count - used[name]} for name, count in listed.items()}
