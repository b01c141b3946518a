"""AudioSet: ten seconds of a YouTube video and all that is heard in it, 527 classes (Gemmeke et al., ICASSP 2017)."""

from pathlib import Path
from typing import ClassVar, NamedTuple

from avbalance.cli import UserError
from avbalance.data.clips import Clip, Reader, Split
from avbalance.data.lists import read_rows, read_table

FOLDER = "audioset"
LISTS: dict[Split, tuple[str, ...]] = {
    "train": ("csv/balanced_train_segments.csv", "csv/unbalanced_train_segments.csv"),
    "test": ("csv/eval_segments.csv",),
}


class Segment(NamedTuple):
    """A line of a list.

    Attributes:
        name: YouTube id and start in whole seconds, six digits, as in VGGSound.
        labels: Ascending.
        problem: Such as an unknown class.
    """

    name: str
    labels: tuple[int, ...]
    problem: str = ""

    @property
    def file(self) -> str:
        """Where its media are expected."""
        return f"{FOLDER}/clips/{self.name}.mp4"


class AudioSet(Reader):
    """csv/{balanced_train,unbalanced_train,eval}_segments.csv and clips/<YouTube id>_<start>.mp4, brought by the user.

    The lists hold ids, not media. Classes are numbered as in csv/class_labels_indices.csv; evaluation is test.
    """

    media: ClassVar[tuple[str, ...]] = ("audioset/clips/*.mp4",)

    def clips(self, raw: Path) -> list[Clip]:
        """The clips of train, then of test, as listed."""
        classes = read_classes(raw)
        return [clip_of(segment, split) for split in LISTS for segment in read_segments(raw, split, classes)]


def clip_of(segment: Segment, split: Split) -> Clip:
    """A segment as a clip."""
    return Clip(segment.name, split, segment.labels, segment.file, segment.file, problem=segment.problem)


def read_classes(raw: Path) -> dict[str, int]:
    """{machine id of a class: its number}."""
    rows = read_table(raw / FOLDER / "csv/class_labels_indices.csv", ("index", "mid", "display_name"))
    return {row["mid"]: int(row["index"]) for _, row in rows}


def read_segments(raw: Path, split: Split, classes: dict[str, int]) -> list[Segment]:
    """The segments of a split, as listed; three lines of comment lead, and a blank follows every comma."""
    segments = []
    for path in (raw / FOLDER / name for name in LISTS[split]):
        for line, (video, start, _, mids) in read_rows(path, num_fields=4, comment="#"):
            try:
                name = f"{video}_{int(float(start)):06d}"
            except ValueError:
                raise UserError(f"{path}: line {line}: {start!r} is no number of seconds; get the file anew") from None
            unknown = [mid for mid in mids.split(",") if mid not in classes]
            problem = f"{unknown[0]!r} is no class of class_labels_indices.csv" if unknown else ""
            labels = tuple(sorted(classes[mid] for mid in mids.split(",") if mid in classes))
            segments.append(Segment(name, labels, problem))
    return segments
