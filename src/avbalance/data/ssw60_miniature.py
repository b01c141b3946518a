"""A small SSW60 that is drawn and computed."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from avbalance.cli import UserError
from avbalance.data.scene_miniature import FPS, SceneMiniature
from avbalance.data.ssw60 import FOLDER
from avbalance.data.synthetic import shown, sound, write_media

SECONDS = 1.5
AUDIO_RATE = 22050
NUM_UNPAIRED = {
    "images_inat": {"train": 40, "val": 12, "test": 12},
    "images_nabirds": {"train": 20, "test": 12},
    "audio_ml": {"train": 40, "test": 16},
}


class SSW60Miniature(SceneMiniature):
    """The files of SSW60 in small: videos (H.264, AAC), images of two origins, wavs, and the lists of all.

    Images and sounds show the same classes as videos do, each as often as its informativeness says, so encoders can
    be trained on them first. One listed image of NABirds is not there, as in the real set.

    Args:
        num_train, num_test: Videos.
        num_classes, visual, audio, seed: See `SceneMiniature`.
        num_broken: Training videos that are cut off.
        num_silent: Training videos without a sound track.
        num_unlisted: Further videos that are in no list.
    """

    def __init__(
        self,
        num_train: int = 60,
        num_test: int = 20,
        num_classes: int = 4,
        visual: float = 0.9,
        audio: float = 0.5,
        seed: int = 0,
        num_broken: int = 1,
        num_silent: int = 0,
        num_unlisted: int = 1,
    ) -> None:
        super().__init__(num_train, num_test, num_classes, visual, audio, seed)
        if not 0 <= num_broken + num_silent < num_train:
            raise UserError("SSW60Miniature: num_broken and num_silent must be less than num_train together")
        self.num_broken = num_broken
        self.num_silent = num_silent
        self.num_unlisted = num_unlisted

    def generate(self, folder: Path) -> None:
        """Write the lists and media below `folder`/ssw60."""
        root = folder / FOLDER
        taxa = [[label, f"specie{label}", f"Species {label}", f"Avis {label}"] for label in range(self.num_classes)]
        write_list(root / "taxa.csv", ["label", "species_code", "common_name", "scientific_name"], taxa)
        self.write_videos(root)
        for number, (part, sizes) in enumerate(NUM_UNPAIRED.items(), start=1):
            rows = []
            for index, split in enumerate(split for split, size in sizes.items() for _ in range(size)):
                label, asset = index % self.num_classes, asset_id(part, index)
                self.write_unpaired(root / part, asset, label, number, index)
                rows.append([asset, label, split])
            write_list(root / f"{part}.csv", ["asset_id", "label", "split"], rows)
        (root / f"images_nabirds/{asset_id('images_nabirds', 0)}.jpg").unlink()

    def write_videos(self, root: Path) -> None:
        """Write video_ml and its list; the last `num_unlisted` are not in it."""
        splits = ["train"] * self.sizes["train"] + ["test"] * self.sizes["test"]
        rows = []
        for index in range(len(splits) + self.num_unlisted):
            label, path = index % self.num_classes, root / f"video_ml/{asset_id('video_ml', index)}.mp4"
            random = self.random("train", index)
            if self.num_broken <= index < self.num_broken + self.num_silent:
                write_media(path, self.pictures(label, SECONDS, random), FPS)
            else:
                self.write_clip(path, label, random, SECONDS)
            if index < self.num_broken:
                path.write_bytes(path.read_bytes()[:1000])
            if index < len(splits):
                rows.append([asset_id("video_ml", index), label, splits[index], FPS, SECONDS, 1])
        header = ["asset_id", "label", "split", "fps", "duration_seconds", "reliable_audio"]
        write_list(root / "video_ml.csv", header, rows)

    def write_unpaired(self, folder: Path, asset: str, label: int, number: int, index: int) -> None:
        """Write one image or sound."""
        random = np.random.default_rng([self.seed, 10 + number, index])
        if folder.name == "audio_ml":
            (audible,) = shown([label], self.num_classes, self.audio, random)
            wave = sound(int(audible), self.num_classes, round(SECONDS * AUDIO_RATE), AUDIO_RATE, random)
            write_media(folder / f"{asset}.wav", wave=wave, sample_rate=AUDIO_RATE)
        else:
            write_media(folder / f"{asset}.jpg", self.pictures(label, 1 / FPS, random))


def asset_id(part: str, index: int) -> str:
    """As the parts have them: NABirds's are 32 hexadecimal digits, the others are numbers."""
    return f"{index:032x}" if part == "images_nabirds" else str(480000 + index)


def write_list(path: Path, header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    """Write a comma-separated list with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
