"""Base of the generators of miniatures."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from avbalance.data.clips import SplitName
from avbalance.data.miniatures.synthetic import face_frames, scene_frames, shown, sound, write_landmarks, write_media
from avbalance.errors import UserError
from avbalance.ranges import Count, Share, Whole

FPS, NUM_FRAMES, SIZE = 10, 15, 64
SECONDS = NUM_FRAMES / FPS
SAMPLE_RATE = 16000
MOST_CLIPS = 400


class Miniature:
    """Miniature of a dataset, with its own layout, formats and names. The same seed gives the same bytes.

    Every clip lasts 1.5 s and shows its class in a modality as often as that modality's informativeness says, see
    `data.synthetic`.

    Attributes:
        num_classes: Of the clips.

    Args:
        num_train, num_test: Listed clips of either part; val is cut from train when they are prepared.
        informativeness_audio, informativeness_visual: In [0, 1].
        seed: Of all that is drawn and heard.
    """

    num_classes: ClassVar[int]

    def __init__(
        self,
        num_train: Count = 76,
        num_test: Count = 24,
        informativeness_audio: Share = 0.4,
        informativeness_visual: Share = 0.9,
        seed: Whole = 0,
    ) -> None:
        for option, value, least, most in (
            ("num_train", num_train, self.num_classes, MOST_CLIPS),
            ("num_test", num_test, self.num_classes, MOST_CLIPS),
            ("informativeness_audio", informativeness_audio, 0, 1),
            ("informativeness_visual", informativeness_visual, 0, 1),
            ("seed", seed, 0, 2**32 - 1),
        ):
            if not least <= value <= most:
                raise UserError(f"{type(self).__name__}.{option} is {value}; allowed are {least} to {most}")
        self.sizes: dict[SplitName, int] = {"train": num_train, "test": num_test}
        self.informativeness = {"audio": informativeness_audio, "visual": informativeness_visual}
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write lists and media below `folder`."""
        raise NotImplementedError

    def listed(self) -> Iterator[tuple[SplitName, int, int, Generator]]:
        """(split, place in it, label, random stream) of every clip; the classes take turns."""
        for number, (split, size) in enumerate(self.sizes.items()):
            for index in range(size):
                yield split, index, index % self.num_classes, self.random(number, index)

    def random(self, *place: int) -> Generator:
        """The random stream of a place, such as a clip's: what is drawn there depends on no other place."""
        return default_rng([self.seed, *place])

    def shown(self, label: int, modality: Literal["audio", "visual"], random: Generator) -> int:
        """The class that a modality shows."""
        return int(shown(label, self.num_classes, self.informativeness[modality], random))

    def pictures(self, label: int, random: Generator, num_frames: int = NUM_FRAMES) -> NDArray[np.uint8]:
        """A moving shape [n, 64, 64, 3]."""
        return scene_frames(self.shown(label, "visual", random), self.num_classes, num_frames, SIZE, random)

    def wave(self, label: int, random: Generator, sample_rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
        """A chord [samples]."""
        num_samples = round(SECONDS * sample_rate)
        return sound(self.shown(label, "audio", random), self.num_classes, num_samples, sample_rate, random)

    def write_clip(self, path: Path, label: int, random: Generator) -> None:
        """Encode a moving shape and a chord."""
        write_media(path, self.pictures(label, random), FPS, self.wave(label, random), SAMPLE_RATE)

    def write_face(self, path: Path, label: int, random: Generator, wave: NDArray[np.float32] | None = None) -> None:
        """Encode a talking face, with or without sound, and write its landmarks beside it."""
        seen = self.shown(label, "visual", random)
        frames, landmarks = face_frames(seen, self.num_classes, NUM_FRAMES, SIZE, random)
        write_media(path, frames, FPS, wave, SAMPLE_RATE)
        write_landmarks(path.with_suffix(".landmarks.csv"), np.arange(NUM_FRAMES) / FPS, landmarks)


def cut(path: Path) -> None:
    """Break a file: only its first 200 bytes stay."""
    path.write_bytes(path.read_bytes()[:200])
