"""Kinetics-400: ten seconds of a YouTube video, one of 400 actions (Kay et al., 2017), as CVDF hands it out."""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_table
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError

FOLDER = "kinetics400"
PARTS: dict[str, SplitName] = {"train": "train", "val": "test"}
REPLACEMENT = "replacement_for_corrupted_k400"
"""Its folder of whole copies of clips that are broken in the archives."""


class Kinetics(Reader):
    """`annotations/{train,val}.csv`, `{train,val}/<YouTube id>_<start>_<end>.mp4`, seconds with six digits.

    The official test labels were published late, so papers test on val, and so do we: it becomes test. Classes are the
    names in train.csv, sorted.
    """

    media = (f"{FOLDER}/*/*.mp4",)

    def clips(self, raw: Path) -> list[Clip]:
        """Return the clips of train, then of test, as listed."""
        files = RawFiles(raw)
        listed = {part: self._read(raw / FOLDER / f"annotations/{part}.csv") for part in PARTS}
        classes = {action: index for index, action in enumerate(sorted({action for _, action in listed["train"]}))}
        clips = []
        for part, split in PARTS.items():
            for name, action in listed[part]:
                file = find_video(files, name, (part,))
                problem = "" if action in classes else f"{action!r} is not a class of train.csv"
                clips.append(Clip(name, split, classes.get(action, -1), file, file, problem=problem))
        return clips

    def _read(self, path: Path) -> dict[tuple[str, str], None]:
        """{(name of a clip, its action)}, in the list's order."""
        listed: dict[tuple[str, str], None] = {}
        for line, row in read_table(path, ("label", "youtube_id", "time_start", "time_end")):
            try:
                start, end = int(row["time_start"]), int(row["time_end"])
            except ValueError:
                raise UserError(f"{path}: line {line}: time_start and time_end are not whole seconds") from None
            listed[f"{row['youtube_id']}_{start:06d}_{end:06d}", row["label"]] = None
        return listed


def find_video(files: RawFiles, name: str, folders: tuple[str, ...]) -> str:
    """Return the file of a clip: its replacement if it exists, else the first existing file."""
    candidates = [f"{FOLDER}/{folder}/{name}.mp4" for folder in (REPLACEMENT, *folders)]
    return next((file for file in candidates if file in files), candidates[1])
