"""Kinetics-Sounds: clips of Kinetics-400 whose action can be heard, in the 31 classes of OGM-GE's lists."""

from pathlib import Path

from avbalance.data.clips import Clip, Reader, SplitName
from avbalance.data.kinetics import find_video
from avbalance.data.lists import read_rows
from avbalance.data.raw import RawFiles

NUM_CLASSES = 31
LISTS: dict[SplitName, str] = {"train": "kinetics_sounds/my_train.txt", "test": "kinetics_sounds/my_test.txt"}


class KineticsSounds(Reader):
    """kinetics_sounds/my_{train,test}.txt beside the folders of Kinetics-400; lines `<name>,10,<class>`.

    Arandjelovic and Zisserman, ICCV 2017; the lists are those of OGM-GE (Peng et al., CVPR 2022).

    The lists do not say from which part of Kinetics-400 a clip is, so it is looked for in both.
    """

    def clips(self, raw: Path) -> list[Clip]:
        """Return the clips of train, then of test, as listed."""
        files = RawFiles(raw)
        clips = []
        for split, path in LISTS.items():
            for _, (name, _, label) in read_rows(raw / path, num_fields=3):
                known = label.isdecimal() and int(label) < NUM_CLASSES
                problem = "" if known else f"{label!r} is not one of the classes 0 to {NUM_CLASSES - 1}"
                file = find_video(files, name, ("train", "val"))
                clips.append(Clip(name, split, int(label) if known else -1, file, file, problem=problem))
        return clips
