"""A small AVE that needs no network."""

from pathlib import Path

from avbalance.data.ave import FOLDER, LISTS
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import Miniature

EVENTS = ("Bark", "Church bell", "Frying (food)", "Violin, fiddle")


class AVEMiniature(Miniature):
    """Miniature of the files of AVE: h264 and aac.

    Every fifth of the training clips is val. As in the real set, an event lasts from 0 to 0 s, the first of each list,
    and a training video has two lines, with two classes.
    """

    num_classes = len(EVENTS)

    def generate(self, folder: Path) -> None:
        """Write ave/AVE_Dataset/{trainSet.txt,valSet.txt,testSet.txt,AVE}."""
        rows: dict[str, list[list[object]]] = {split: [] for split in LISTS}
        for split, index, label, random in self.listed():
            video = f"-a{split[:2]}{index:07d}"
            part = "val" if split == "train" and index % 5 == 4 else split
            rows[part].append([EVENTS[label], video, "good", 0, 1 if rows[part] else 0])
            self.write_clip(folder / FOLDER / f"AVE/{video}.mp4", label, random)
        rows["train"].append([EVENTS[1], *rows["train"][0][1:]])
        for part, path in LISTS.items():
            write_rows(folder / path, rows[part], delimiter="&")
