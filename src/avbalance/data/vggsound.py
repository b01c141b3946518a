"""VGGSound: ten seconds of a YouTube video that shows what sounds, 309 classes (Chen et al., ICASSP 2020)."""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.lists import read_rows
from avbalance.errors import UserError

FOLDER = "vggsound"


class VGGSound(Reader):
    """`vggsound.csv`, `clips/<YouTube id>_<start>.mp4`, brought by the user, the start in seconds with six digits.

    Lines are `<YouTube id>,<start>,<label>,<train or test>`. Classes are the labels of train, sorted.
    """

    media = (f"{FOLDER}/clips/*.mp4",)

    def clips(self, raw: Path) -> list[Clip]:
        """All clips, as listed."""
        path = raw / FOLDER / "vggsound.csv"
        splits: dict[str, SplitName] = {"train": "train", "test": "test"}
        listed = []
        for line, (video, start, label, split) in read_rows(path, num_fields=4):
            if split not in splits or not start.isdecimal():
                raise UserError(f"{path}: line {line} is not id, start, label and split; fetch it again")
            listed.append((f"{video}_{int(start):06d}", splits[split], label))
        classes = sorted({label for _, split, label in listed if split == "train"})
        number = {label: index for index, label in enumerate(classes)}
        clips = []
        for name, part, label in listed:
            file, problem = (
                f"{FOLDER}/clips/{name}.mp4",
                "" if label in number else f"{label!r} is not a class of train",
            )
            clips.append(Clip(name, part, number.get(label, -1), file, file, problem=problem))
        return clips
