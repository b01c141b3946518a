"""A small VGGSound that needs no network."""

from pathlib import Path

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import Miniature
from avbalance.data.vggsound import FOLDER

SOUNDS = ("baby crying", "bird chirping, tweeting", "car passing by", "dog barking")


class VGGSoundMiniature(Miniature):
    """Miniature of the files of VGGSound: h264 and aac."""

    num_classes = len(SOUNDS)

    def generate(self, folder: Path) -> None:
        """Write vggsound/{vggsound.csv,clips}."""
        rows = []
        for split, index, label, random in self.listed():
            video, start = f"v{split[:2]}{index:08d}", int(random.integers(0, 300))
            rows.append([video, start, SOUNDS[label], split])
            self.write_clip(folder / FOLDER / f"clips/{video}_{start:06d}.mp4", label, random)
        write_rows(folder / FOLDER / "vggsound.csv", rows)
