"""What the miniatures of videos have in common: a shape that moves and a chord that sounds."""

from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from avbalance.cli import UserError
from avbalance.data.synthetic import scene_frames, shown, sound, write_media

SIZE = 64
FPS = 10
SAMPLE_RATE = 16000
SPLITS = ("train", "test")


class SceneMiniature:
    """Files of a data set in small, in its own layout, formats and names. The same seed gives the same bytes.

    Args:
        num_train, num_test: Clips of the official parts; val is cut from train when they are prepared.
        num_classes: How many there are.
        visual, audio: Informativeness (see `synthetic`): the chance that pictures and sound show the clip's class.
        seed: Of everything random.
    """

    def __init__(
        self,
        num_train: int = 60,
        num_test: int = 20,
        num_classes: int = 4,
        visual: float = 0.9,
        audio: float = 0.4,
        seed: int = 0,
    ) -> None:
        allowed = {
            "num_train": (num_train >= num_classes, "at least num_classes"),
            "num_test": (num_test >= num_classes, "at least num_classes"),
            "num_classes": (2 <= num_classes <= 8, "from 2 to 8"),
            "visual": (0 <= visual <= 1, "from 0 to 1"),
            "audio": (0 <= audio <= 1, "from 0 to 1"),
            "seed": (seed >= 0, "at least 0"),
        }
        for option, (holds, what) in allowed.items():
            if not holds:
                raise UserError(f"{type(self).__name__}: {option} must be {what}")
        self.sizes = {"train": num_train, "test": num_test}
        self.num_classes = num_classes
        self.visual = visual
        self.audio = audio
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write lists and media below `folder`."""
        raise NotImplementedError

    def random(self, split: str, index: int) -> Generator:
        """The random stream of a clip."""
        return default_rng([self.seed, SPLITS.index(split), index])

    def pictures(self, label: int, seconds: float, random: Generator) -> NDArray[np.uint8]:
        """Frames [n, 64, 64, 3] of a clip."""
        (visible,) = shown([label], self.num_classes, self.visual, random)
        return scene_frames(int(visible), self.num_classes, round(seconds * FPS), SIZE, random)

    def wave(self, label: int, seconds: float, random: Generator) -> NDArray[np.float32]:
        """Sound [samples] of a clip."""
        (audible,) = shown([label], self.num_classes, self.audio, random)
        return sound(int(audible), self.num_classes, round(seconds * SAMPLE_RATE), SAMPLE_RATE, random)

    def write_clip(self, path: Path, label: int, random: Generator, seconds: float = 1.5) -> None:
        """Encode a clip with pictures and sound."""
        frames, wave = self.pictures(label, seconds, random), self.wave(label, seconds, random)
        write_media(path, frames=frames, fps=FPS, wave=wave, sample_rate=SAMPLE_RATE)
