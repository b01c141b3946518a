"""AVE: ten-second videos, each with the event that it shows and sounds, 28 classes (Tian et al., ECCV 2018)."""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows
from avbalance.errors import UserError

FOLDER = "ave/AVE_Dataset"
LISTS: dict[SplitName, str] = {
    "train": f"{FOLDER}/trainSet.txt",
    "val": f"{FOLDER}/valSet.txt",
    "test": f"{FOLDER}/testSet.txt",
}


class AVE(Reader):
    """`{train,val,test}Set.txt` and `AVE/<YouTube id>.mp4`, as the authors' archive holds them.

    Lines are `<class>&<YouTube id>&good&<start>&<end>`, the event in whole seconds. A clip is the whole video. A video
    may have two lines, with two classes, also in two splits, so a clip is named after its line, such as
    3tsi7DKGrWQ_val0402. Classes are those of train, sorted.
    """

    media = (f"{FOLDER}/AVE/*.mp4",)

    def class_names(self, raw: Path) -> list[str]:
        """Return the classes of the training list, sorted."""
        return sorted({label for _, label, _ in _read(raw / LISTS["train"])})

    def clips(self, raw: Path) -> list[Clip]:
        """Return one clip for each line of the three lists."""
        numbers = {label: number for number, label in enumerate(self.class_names(raw))}
        clips = []
        for split, path in LISTS.items():
            for line, label, video in _read(raw / path):
                file = f"{FOLDER}/AVE/{video}.mp4"
                problem = "" if label in numbers else f"{label!r} is not a class of train"
                name = f"{video}_{split}{line:04d}"
                clips.append(Clip(name, split, numbers.get(label, -1), file, file, problem=problem))
        return clips


def _read(path: Path) -> list[tuple[int, str, str]]:
    """[(line, class, video)]."""
    listed = []
    for line, (label, video, _, start, end) in read_rows(path, num_fields=5, delimiter="&"):
        if not (label and video and start.isdecimal() and end.isdecimal()):
            raise UserError(
                f"{path}: line {line} is not class, video, quality, start and end in whole seconds, separated by '&'; "
                "fetch it again"
            )
        listed.append((line, label, video))
    return listed
