"""Writers of the files that a prepared dataset holds besides its arrays: labels, clips, trials, report, description."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import Clip, Reader
from avbalance.data.lists import write_rows
from avbalance.errors import UserError
from avbalance.prepare.shard import Shard
from avbalance.prepare.views.base import AudioView, VisualView

Packed = dict[str, list[tuple[int, Clip, dict[str, Any]]]]
"""{split: [(number of the video, its clip, the window's entry in shard.json)]}."""


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


def write_labels(folder: Path, packed: Packed, settings: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Write the labels of each split, and the number of the video that each clip is cut from; return the labels."""
    labels: dict[str, NDArray[Any]] = {}
    for split, rows in packed.items():
        values = [clip.label for _, clip, _ in rows]
        if settings["task"] == "multi_label":
            labels[split] = np.zeros((len(rows), settings["num_classes"]), dtype=np.uint8)
            for row, each in zip(labels[split], values, strict=True):
                row[list(each) if isinstance(each, tuple) else each] = 1
        else:
            labels[split] = np.array(values, dtype=np.int64)
        np.save(folder / f"{split}_label.npy", labels[split])
        np.save(folder / f"{split}_video.npy", np.array([video for video, _, _ in rows], dtype=np.int64))
    return labels


CLIP_COLUMNS = ("clip", "start_seconds", "seconds", "num_frames", "visual_sha256", "audio_sha256", "repairs")


def clip_rows(packed: Packed, checksums: Mapping[str, str]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of clips.csv: split, index, label and `CLIP_COLUMNS`."""
    for split, rows in packed.items():
        for index, (_, clip, window) in enumerate(rows):
            label = clip.label if isinstance(clip.label, int) else " ".join(map(str, clip.label))
            sources = [checksums[file] if file else "" for file in (clip.visual, clip.audio)]
            values = [window[name] for name in ("start_seconds", "seconds", "num_frames")]
            yield split, index, label, clip.name, *values, *sources, "; ".join(window["repairs"])


def write_trials(folder: Path, reader: Reader, raw: Path, packed: Packed) -> dict[str, dict[str, int]]:
    """Write trials.csv: pairs of clips, by their places in test.

    Returns:
        {list: {"used": number of trials, "dropped": number of trials that name a dropped clip}}.

    Raises:
        UserError: No trial of a list is left.
    """
    places = {clip.name: index for index, (_, clip, _) in enumerate(packed["test"])}
    counts: dict[str, dict[str, int]] = {}
    lines: list[tuple[object, ...]] = []
    for name, trials in reader.trials(raw).items():
        usable = [trial for trial in trials if trial.enrol in places and trial.test in places]
        if not usable:
            raise UserError(f"{raw}: none of the {len(trials)} trials in list {name!r} has both of its clips")
        lines += [(name, places[trial.enrol], places[trial.test], int(trial.is_target)) for trial in usable]
        counts[name] = {"used": len(usable), "dropped": len(trials) - len(usable)}
    if counts:
        write_rows(folder / "trials.csv", [("list", "enrol", "test", "is_target"), *lines])
    return counts


def describe_modality(
    view: VisualView | AudioView, modality: str, planned: list[Shard], made: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a modality's entry in dataset.json: its shape, and how a batch of it is standardised."""
    if isinstance(view, VisualView):
        pictures = {"whole": view.whole, "vectors": view.vectors}
        return {"shape": list(view.shape), "mean": list(view.mean), "std": list(view.std), "pictures": pictures}
    described: dict[str, Any] = {"shape": list(view.shape)}
    if view.normalise == "dataset":
        train = [content["sums"][modality] for shard, content in zip(planned, made, strict=True) if _is_train(shard)]
        count, total, squares = np.sum(train, axis=0)
        mean = total / count
        described |= {"mean": [float(mean)], "std": [float(np.sqrt(max(squares / count - mean**2, 1e-12)))]}
    return described


def _is_train(shard: Shard) -> bool:
    return shard.clips[0].split == "train"
