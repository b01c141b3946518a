"""AudioSet: ten seconds of a YouTube video and all that is heard in it, 527 classes (Gemmeke et al., ICASSP 2017)."""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows, read_table
from avbalance.errors import UserError

FOLDER = "audioset"
LISTS: dict[str, SplitName] = {
    "csv/balanced_train_segments.csv": "train",
    "csv/unbalanced_train_segments.csv": "train",
    "csv/eval_segments.csv": "test",
}


class AudioSet(Reader):
    """Lists of segments in `csv`, and `clips/<YouTube id>_<start>.mp4`, brought by the user.

    The lists hold ids, not media; the start is in whole seconds with six digits, as in VGGSound. Classes are numbered
    as in csv/class_labels_indices.csv; evaluation is test.
    """

    media = (f"{FOLDER}/clips/*.mp4",)

    def clips(self, raw: Path) -> list[Clip]:
        """Return the clips of train, then of test, as listed."""
        rows = read_table(raw / FOLDER / "csv/class_labels_indices.csv", ("index", "mid", "display_name"))
        classes = {row["mid"]: int(row["index"]) for _, row in rows}
        return [clip for name, split in LISTS.items() for clip in read_segments(raw / FOLDER / name, split, classes)]


def read_segments(path: Path, split: SplitName, classes: dict[str, int]) -> list[Clip]:
    """Return the clips of a list; three lines of comment lead, and a blank follows every comma.

    Args:
        path: The list.
        split: Where they belong.
        classes: {machine id of a class: its number}.
    """
    clips = []
    for line, (video, start, _, mids) in read_rows(path, num_fields=4, comment="#"):
        try:
            name = f"{video}_{int(float(start)):06d}"
        except ValueError:
            raise UserError(f"{path}: line {line}: {start!r} is not a number of seconds; fetch it again") from None
        labels = tuple(sorted(classes[mid] for mid in mids.split(",") if mid in classes))
        unknown = [mid for mid in mids.split(",") if mid not in classes]
        problem = f"{unknown[0]!r} is not a class of class_labels_indices.csv" if unknown else ""
        file = f"{FOLDER}/clips/{name}.mp4"
        clips.append(Clip(name, split, labels, file, file, problem=problem))
    return clips
