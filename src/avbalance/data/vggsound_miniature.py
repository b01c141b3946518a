"""A small VGGSound that needs no network."""

import csv
from pathlib import Path

from avbalance.data.scene_miniature import SceneMiniature
from avbalance.data.vggsound import FOLDER

SOUNDS = (
    "baby crying",
    "bird chirping, tweeting",
    "car passing by",
    "dog barking",
    "engine idling",
    "rain",
    "siren",
    "typing",
)


class VGGSoundMiniature(SceneMiniature):
    """The files of VGGSound in small: h264 and aac. Sound tells more than pictures, as in the real set.

    Args:
        num_train, num_test: Clips of the official parts.
        num_classes: How many there are.
        visual, audio: Informativeness (see `synthetic`): the chance that pictures and sound show the clip's class.
        seed: Of everything random.
    """

    def __init__(
        self,
        num_train: int = 60,
        num_test: int = 20,
        num_classes: int = 4,
        visual: float = 0.5,
        audio: float = 0.9,
        seed: int = 0,
    ) -> None:
        super().__init__(num_train, num_test, num_classes, visual, audio, seed)

    def generate(self, folder: Path) -> None:
        """Write vggsound/{vggsound.csv,clips}."""
        folder = folder / FOLDER
        folder.mkdir()
        with (folder / "vggsound.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for split, size in self.sizes.items():
                for index in range(size):
                    random, label = self.random(split, index), index % self.num_classes
                    video, start = f"v{split[:2]}{index:08d}", int(random.integers(0, 300))
                    writer.writerow([video, start, SOUNDS[label], split])
                    self.write_clip(folder / f"clips/{video}_{start:06d}.mp4", label, random)
