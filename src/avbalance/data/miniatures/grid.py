"""A small GRID that needs no network: drawn faces that say a letter and a digit."""

import csv
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from avbalance.data.grid import METADATA, WORDS
from avbalance.data.miniatures.synthetic import face_frames, shown, sound, write_landmarks, write_media
from avbalance.errors import UserError
from avbalance.ranges import Count, Share, Whole

FPS = 25
SAMPLE_RATE = 16000
SIZE = 64
WORD_SECONDS = 0.64
SAID = ("letter", "digit")
"""The words that are shown and heard, one after the other; the others have no length."""


class GRIDMiniature:
    """Miniature of the files of the derived copy of GRID: h264 and aac in mp4, metadata.csv, and landmarks beside them.

    Letters and digits are spread evenly over the sentences. Each of the two words shows its class in a modality with
    that modality's informativeness, see `data.synthetic`; as in the real set sound says more than the face.

    Args:
        num_sentences: Clips; 125 are five of each letter.
        informativeness_audio, informativeness_visual: In [0, 1].
        seed: Of all that is drawn and heard.
    """

    def __init__(
        self,
        num_sentences: Count = 125,
        informativeness_audio: Share = 0.95,
        informativeness_visual: Share = 0.7,
        seed: Whole = 0,
    ) -> None:
        if num_sentences < 1:
            raise UserError(f"grid_miniature.num_sentences is {num_sentences}; at least 1 is needed")
        for name, value in (("audio", informativeness_audio), ("visual", informativeness_visual)):
            if not 0 <= value <= 1:
                raise UserError(f"grid_miniature.informativeness_{name} is {value}; allowed are 0 to 1")
        self.num_sentences = num_sentences
        self.informativeness = {"audio": informativeness_audio, "visual": informativeness_visual}
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write grid_s1/clips/*.mp4, grid_s1/landmarks/*.csv and grid_s1/metadata.csv below `folder`."""
        rows = [self._write(folder / "grid_s1", index) for index in range(self.num_sentences)]
        with (folder / METADATA).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "id", "word_times_s", "landmarks"])
            writer.writerows(rows)

    def _write(self, folder: Path, index: int) -> list[str]:
        """One sentence; returns its line of metadata.csv."""
        random = default_rng([self.seed, index])
        said = {word: int(random.integers(len(classes))) for word, classes in WORDS.items()}
        said |= {"letter": index % 25, "digit": (index + index // 25) % 10}
        name = f"{index:03d}_{WORDS['letter'][said['letter']]}{said['digit']}"
        num_frames, num_samples = round(WORD_SECONDS * FPS), round(WORD_SECONDS * SAMPLE_RATE)
        frames, landmarks, waves = [], [], []
        for word in SAID:
            num_classes = len(WORDS[word])
            face, heard = (
                int(shown([said[word]], num_classes, self.informativeness[modality], random)[0])
                for modality in ("visual", "audio")
            )
            drawn, points = face_frames(face, num_classes, num_frames, SIZE, random)
            frames.append(drawn)
            landmarks.append(points)
            waves.append(sound(heard, num_classes, num_samples, SAMPLE_RATE, random))
        media, sidecar = f"clips/{name}.mp4", f"landmarks/{name}.csv"
        write_media(folder / media, np.concatenate(frames), FPS, np.concatenate(waves), SAMPLE_RATE)
        points = np.concatenate(landmarks)
        write_landmarks(folder / sidecar, np.arange(len(points)) / FPS, points)
        ends = np.cumsum([WORD_SECONDS * (word in SAID) for word in WORDS])
        times = [
            f"{WORDS[word][said[word]]}:{end - WORD_SECONDS * (word in SAID):.3f}:{end:.3f}"
            for word, end in zip(WORDS, ends, strict=True)
        ]
        return [media, name, ";".join(times), sidecar]
