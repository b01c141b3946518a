"""Lists of selected clips on disk, a line a clip, of which a job reads only the shards that it makes."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from avbalance.data.clips import Clip, SplitName

SHARDS_WANTED = 64
"""Approximate number of shards of a split, which has at most twice as many: enough for all cores, few to map."""
LEAST_CLIPS = 32
"""Smallest number of clips of a shard, except the last one."""


class Listed(NamedTuple):
    """A selected clip, and {file: sha256} of its media."""

    clip: Clip
    checksums: dict[str, str]


@dataclass(frozen=True)
class Stretch:
    """Neighbouring clips of a list.

    Attributes:
        path: The list, `<split>.jsonl`.
        offset: Number of bytes before the first of the clips.
        first: Number of clips before them, which is the place of the first in its split.
        count: Number of clips.
    """

    path: Path
    offset: int
    first: int
    count: int

    @property
    def split(self) -> SplitName:
        """Split of the clips."""
        split: SplitName = self.path.stem  # type: ignore[assignment]
        return split

    def read(self) -> list[Listed]:
        """The clips, in order."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return [_parse(line, self.split) for line in islice(file, self.count)]


def write_list(folder: Path, split: str, clips: Iterable[Clip], checksums: Mapping[str, str]) -> None:
    """Write the clips of a split, in order, with the checksums of their media."""
    with (folder / f"{split}.jsonl").open("w", encoding="ascii") as file:
        for clip in clips:
            entry = {name: value for name, value in asdict(clip).items() if value is not None and value != ""}
            del entry["split"]
            files = {file for file in (clip.visual, clip.audio, clip.landmarks) if file is not None}
            entry["sha256"] = {name: checksums[name] for name in sorted(files)}
            file.write(json.dumps(entry, allow_nan=False) + "\n")


def cut(path: Path, num_clips: int) -> Iterator[Stretch]:
    """Cut a list of `num_clips` clips into the stretches that become shards.

    Their length is doubled where the list is long, so that one more clip rarely changes the other shards.
    """
    size = LEAST_CLIPS
    while size * 2 * SHARDS_WANTED <= num_clips:
        size *= 2
    with path.open("rb") as file:
        for first in range(0, num_clips, size):
            offset, count = file.tell(), min(size, num_clips - first)
            for _ in range(count):
                file.readline()
            yield Stretch(path, offset, first, count)


def _parse(line: bytes, split: SplitName) -> Listed:
    entry = json.loads(line)
    checksums: dict[str, str] = entry.pop("sha256")
    if isinstance(entry["label"], list):
        entry["label"] = tuple(entry["label"])
    return Listed(Clip(split=split, **entry), checksums)
