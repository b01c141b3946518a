"""A small Kinetics-400 and Kinetics-Sounds that need no network."""

import shutil
from pathlib import Path

from avbalance.data.kinetics import FOLDER, PARTS, REPLACEMENT
from avbalance.data.kinetics_sounds import LISTS
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import Miniature, cut

ACTIONS = ("bowling", "chopping wood", "clapping", "laughing")


class KineticsMiniature(Miniature):
    """Miniature of the files of CVDF's Kinetics-400 and of Kinetics-Sounds: h264 and aac.

    The first training clip is broken in its archive and whole in the replacements. Kinetics-Sounds lists the same
    clips, with CRLF.
    """

    num_classes = len(ACTIONS)

    def generate(self, folder: Path) -> None:
        """Write kinetics400/{annotations,train,val,...} and kinetics_sounds."""
        parts = {split: part for part, split in PARTS.items()}
        header: list[object] = ["label", "youtube_id", "time_start", "time_end", "split", "is_cc"]
        annotations: dict[str, list[list[object]]] = {part: [header] for part in PARTS}
        sounds: dict[str, list[list[object]]] = {split: [] for split in LISTS}
        for split, index, label, random in self.listed():
            part = parts[split]
            video, start = f"k-{part[0]}_{index:07d}", int(random.integers(0, 200))
            name = f"{video}_{start:06d}_{start + 10:06d}"
            annotations[part].append([ACTIONS[label], video, start, start + 10, part, 0])
            sounds[split].append([name, 10, label])
            path = folder / FOLDER / f"{part}/{name}.mp4"
            self.write_clip(path, label, random)
            if (split, index) == ("train", 0):
                (folder / FOLDER / REPLACEMENT).mkdir()
                shutil.copy(path, folder / FOLDER / REPLACEMENT)
                cut(path)
        for split, part in parts.items():
            write_rows(folder / FOLDER / f"annotations/{part}.csv", annotations[part])
            write_rows(folder / LISTS[split], sounds[split], end="\r\n")
