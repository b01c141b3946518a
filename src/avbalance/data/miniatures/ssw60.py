"""A small SSW60 that is drawn and computed."""

import shutil
from pathlib import Path

from numpy.random import Generator

from avbalance.data.clips import SplitName
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import Miniature, cut
from avbalance.data.miniatures.synthetic import write_media
from avbalance.data.ssw60 import FOLDER

AUDIO_RATE = 22050
UNPAIRED: dict[str, dict[SplitName, int]] = {
    "images_inat": {"train": 40, "val": 12, "test": 12},
    "images_nabirds": {"train": 20, "test": 12},
    "audio_ml": {"train": 40, "test": 16},
}


class SSW60Miniature(Miniature):
    """Miniature of the files of SSW60: videos (H.264, AAC), images of two origins, wavs, and the lists of all.

    Images and sounds show the same classes as videos do, each as often as its informativeness says, so encoders can
    be trained on them first. The first training video is cut off, one video is in no list, and one listed image of
    NABirds is not there, as in the real set. `num_train` and `num_test` are videos.
    """

    num_classes = 4

    def generate(self, folder: Path) -> None:
        """Write the lists and media below `folder`/ssw60."""
        folder = folder / FOLDER
        taxa = [[label, f"specie{label}", f"Species {label}", f"Avis {label}"] for label in range(self.num_classes)]
        write_rows(folder / "taxa.csv", [["label", "species_code", "common_name", "scientific_name"], *taxa])
        for number, (part, sizes) in enumerate({"video_ml": self.sizes, **UNPAIRED}.items()):
            rows: list[list[object]] = [["asset_id", "label", "split"]]
            for index, split in enumerate(split for split, size in sizes.items() for _ in range(size)):
                label, asset = index % self.num_classes, asset_id(part, index)
                self.write_asset(folder / part, asset, label, self.random(number, index))
                rows.append([asset, label, split])
            write_rows(folder / f"{part}.csv", rows)
        cut(folder / f"video_ml/{asset_id('video_ml', 0)}.mp4")
        shutil.copy(folder / f"video_ml/{asset_id('video_ml', 1)}.mp4", folder / "video_ml/1.mp4")
        (folder / f"images_nabirds/{asset_id('images_nabirds', 0)}.jpg").unlink()

    def write_asset(self, folder: Path, asset: str, label: int, random: Generator) -> None:
        """Write one video, image or sound, as the part has them."""
        if folder.name == "video_ml":
            self.write_clip(folder / f"{asset}.mp4", label, random)
        elif folder.name == "audio_ml":
            wave = self.wave(label, random, AUDIO_RATE)
            write_media(folder / f"{asset}.wav", wave=wave, sample_rate=AUDIO_RATE)
        else:
            write_media(folder / f"{asset}.jpg", self.pictures(label, random, num_frames=1))


def asset_id(part: str, index: int) -> str:
    """As the parts have them: NABirds's are 32 hexadecimal digits, the others are numbers."""
    return f"{index:032x}" if part == "images_nabirds" else str(480000 + index)
