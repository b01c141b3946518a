"""Selection of the clips of each split; clips and files that are not used are reported with the reason."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from avbalance.data.clips import Clip, draw_val
from avbalance.errors import UserError

SPLITS = ("train", "val", "test")
Entry = dict[str, str]


@dataclass
class Selection:
    """The clips to prepare, by split and name.

    Attributes:
        dropped, repaired: [{"clip", "why"}].
        unused: [{"file", "why"}], media files that belong to no clip.
    """

    clips: list[Clip]
    num_listed: int
    dropped: list[Entry] = field(default_factory=list)
    repaired: list[Entry] = field(default_factory=list)
    unused: list[Entry] = field(default_factory=list)


def select(
    clips: Iterable[Clip],
    media: tuple[str, ...],
    checksums: Mapping[str, str],
    unseen: Collection[str],
    val_fraction: float,
    seed: int,
    drop_duplicates: bool,
) -> Selection:
    """Drop the clips that cannot be used, and hold out val from train if the reader gives no val.

    Args:
        clips: The clips of a reader.
        media: Patterns of the files that should belong to a clip, as `Reader.media`.
        checksums: {file: sha256} of all raw files.
        unseen: Those of `visual`, `audio` and `landmarks` that no view uses; their files may be absent or broken.
        val_fraction, seed, drop_duplicates: As in `schema.Preparation`.

    Raises:
        UserError: Two clips have one name.
    """
    listed = sorted(clips, key=lambda clip: (SPLITS.index(clip.split), clip.name))
    used = {file for clip in listed for file in files_of(clip)}
    nothing: dict[str, Any] = dict.fromkeys(unseen)
    listed = [replace(clip, **nothing) for clip in listed]
    for one, other in zip(by_name := sorted(listed, key=lambda clip: clip.name), by_name[1:], strict=False):
        if one.name == other.name:
            raise UserError(f"two clips are named {one.name!r} ({one.split} and {other.split}); name every clip once")
    selection = Selection([], len(listed))
    for clip in listed:
        if why := clip.problem or _missing(clip, checksums):
            selection.dropped.append({"clip": clip.name, "why": why})
        else:
            selection.clips.append(clip)
    _settle_duplicates(selection, checksums, drop_duplicates)
    if not any(clip.split == "val" for clip in selection.clips):
        selection.clips = hold_out(selection.clips, val_fraction, seed)
    selection.unused = [
        {"file": file, "why": "belongs to no clip of any split"}
        for file in sorted(set(checksums) - used)
        if any(PurePosixPath(file).match(pattern) for pattern in media)
    ]
    return selection


def files_of(clip: Clip) -> list[str]:
    """Return the files of a clip, each once."""
    return sorted({file for file in (clip.visual, clip.audio, clip.landmarks) if file is not None})


def _missing(clip: Clip, checksums: Mapping[str, str]) -> str:
    absent = [file for file in files_of(clip) if file not in checksums]
    return f"{absent[0]} does not exist" if absent else ""


def _settle_duplicates(selection: Selection, checksums: Mapping[str, str], drop: bool) -> None:
    """Drop clips of train and val whose sound or pictures also occur in test, or anywhere under another label.

    The former would leak into test; the latter have contradictory labels. Clips of test are kept. Duplicates that are
    kept are reported, also those with the same label in train and val.
    """
    groups: dict[tuple[str, str, float | None, float | None], list[Clip]] = defaultdict(list)
    for clip in selection.clips:
        for what, file in (("pictures", clip.visual), ("sound", clip.audio)):
            if file is not None:
                groups[what, checksums[file], clip.start, clip.end].append(clip)
    why: dict[str, str] = {}
    shared: dict[str, str] = {}
    for (what, *_), group in groups.items():
        for clip in group:
            others = [other for other in group if other.label != clip.label]
            twins = [other for other in group if other.label == clip.label and other.split != clip.split]
            tested = [other for other in twins if other.split == "test"]
            if others:
                why[clip.name] = f"the same {what} as {others[0].name} ({others[0].split}) under another label"
            elif tested:
                why.setdefault(clip.name, f"the same {what} as {tested[0].name} (test)")
            elif twins:
                shared[clip.name] = f"the same {what} as {twins[0].name} ({twins[0].split})"
    dropped = {clip.name for clip in selection.clips if clip.name in why and drop and clip.split != "test"}
    for name, reason in sorted((shared | why).items()):
        if name in dropped:
            selection.dropped.append({"clip": name, "why": reason})
        else:
            selection.repaired.append({"clip": name, "why": f"{reason}, kept"})
    selection.clips = [clip for clip in selection.clips if clip.name not in dropped]


def hold_out(clips: list[Clip], fraction: float, seed: int) -> list[Clip]:
    """Move a share of every class's training clips to val (`draw_val`); in the order of splits and names."""
    val = draw_val(((clip.name, clip.label) for clip in clips if clip.split == "train"), fraction, seed)
    moved = [replace(clip, split="val") if clip.name in val else clip for clip in clips]
    return sorted(moved, key=lambda clip: (SPLITS.index(clip.split), clip.name))
