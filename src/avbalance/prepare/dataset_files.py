"""What a prepared data set holds besides its arrays: labels, the index of its clips, trials, the report."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import Clip, Reader
from avbalance.errors import UserError
from avbalance.prepare.selection import Entry, Selection
from avbalance.prepare.shard import Shard
from avbalance.prepare.views.base import AudioView, VisualView

Packed = dict[str, list[tuple[int, Clip, dict[str, Any]]]]
"""{split: [(number of the video, its clip, what its shard says of the window)]}."""


def write_report(folder: Path, selection: Selection, kept: Path, max_dropped: float) -> Path:
    """Write report.json, and a copy that outlives a failure; too many dropped clips are one.

    Returns:
        The copy.
    """
    report: dict[str, int | list[Entry]] = {
        "num_clips": selection.num_listed,
        "dropped": sorted(selection.dropped, key=_by_name),
        "repaired": sorted(selection.repaired, key=_by_name),
        "unused": selection.unused,
    }
    text = json.dumps(report, indent=1, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(text, encoding="utf-8")
    num_dropped = len(selection.dropped)
    if num_dropped > max_dropped * selection.num_listed:
        first = "; ".join(f"{entry['clip']}: {entry['why']}" for entry in selection.dropped[:10])
        raise UserError(
            f"{num_dropped} of {selection.num_listed} clips cannot be used, at most {max_dropped:.1%} may be dropped "
            f"(prepare.max_dropped): {first}{'; ...' if num_dropped > 10 else ''}; all are named in {kept}"
        )
    return kept


def _by_name(entry: Entry) -> tuple[str, str]:
    return entry["clip"], entry["why"]


def write_labels(folder: Path, packed: Packed, settings: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Write each split's labels and videos."""
    labels: dict[str, NDArray[Any]] = {}
    for split, rows in packed.items():
        found = [clip.label for _, clip, _ in rows]
        if settings["task"] == "multi_label":
            labels[split] = np.zeros((len(rows), settings["num_classes"]), dtype=np.uint8)
            for row, each in zip(labels[split], found, strict=True):
                row[list(each) if isinstance(each, tuple) else each] = 1
        else:
            labels[split] = np.array(found, dtype=np.int64)
        np.save(folder / f"{split}_label.npy", labels[split])
        np.save(folder / f"{split}_video.npy", np.array([video for video, _, _ in rows], dtype=np.int64))
    return labels


def write_clips(folder: Path, packed: Packed, checksums: Mapping[str, str]) -> None:
    """Write clips.csv, one line a packed clip."""
    # A file's name need not be text; what is not is written as \udc...
    with (folder / "clips.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        about = ["start_seconds", "seconds", "num_frames"]
        writer.writerow(["split", "index", "label", "clip", *about, "visual_sha256", "audio_sha256", "repairs"])
        for split, rows in packed.items():
            for index, (_, clip, window) in enumerate(rows):
                label = clip.label if isinstance(clip.label, int) else " ".join(map(str, clip.label))
                sources = [checksums[file] if file else "" for file in (clip.visual, clip.audio)]
                values = [window[name] for name in about]
                writer.writerow([split, index, label, clip.name, *values, *sources, "; ".join(window["repairs"])])


def write_trials(folder: Path, reader: Reader, raw: Path, packed: Packed) -> dict[str, dict[str, int]]:
    """Write trials.csv, pairs of places in test.

    Returns:
        {list: {"used": trials, "dropped": those that name a dropped clip}}.

    Raises:
        UserError: Of a list no trial is left.
    """
    places = {clip.name: index for index, (_, clip, _) in enumerate(packed["test"])}
    counts: dict[str, dict[str, int]] = {}
    lines = []
    for name, trials in reader.trials(raw).items():
        usable = [trial for trial in trials if trial.enrol in places and trial.test in places]
        if not usable:
            raise UserError(f"{raw}: of the {len(trials)} trials of list {name!r} none has both clips")
        lines += [(name, places[trial.enrol], places[trial.test], int(trial.is_target)) for trial in usable]
        counts[name] = {"used": len(usable), "dropped": len(trials) - len(usable)}
    if counts:
        with (folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["list", "enrol", "test", "is_target"])
            writer.writerows(lines)
    return counts


def describe(
    view: VisualView | AudioView, modality: str, planned: list[Shard], made: list[dict[str, Any]]
) -> dict[str, Any]:
    """A modality's entry in dataset.json: its shape, and how a batch of it is standardised."""
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
