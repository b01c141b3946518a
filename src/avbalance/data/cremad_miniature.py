"""A small CREMA-D that is drawn and computed."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from avbalance.cli import UserError
from avbalance.data import synthetic
from avbalance.data.cremad import CLASSES, DEMOGRAPHICS, LISTS

EMOTIONS = ("NEU", "HAP", "SAD", "FEA", "DIS", "ANG")
SENTENCES = ("IEO", "TIE", "IOM", "IWW", "TAI", "MTI", "IWL", "ITH", "DFA", "ITS", "TSI", "WSI")
NUM_ACTORS = 12
FPS, NUM_FRAMES, SIZE = 12, 18, 64
SAMPLE_RATE = 16000


class CREMADMiniature:
    """The files of CREMA-D in small, with the lists of OGM-GE: wavs of 16 kHz and .flv with sound, 1.5 s each.

    The lists have CRLF line ends, and that of the classes a byte order mark, as the real ones. Twelve actors, six of
    each sex. Faces and sounds show the emotion as often as their informativeness says: see `data.synthetic`.

    Args:
        num_classes: Emotions, at most 6.
        num_train, num_test: Clips of both lists.
        audio, visual: Informativeness.
        num_broken: Training clips whose .flv is cut off.
        num_duplicates: Test clips whose wav is that of a training clip of another emotion.
        num_unlisted: Further clips that are in no list.
        seed: Of everything.
    """

    def __init__(
        self,
        num_classes: int = 6,
        num_train: int = 76,
        num_test: int = 24,
        audio: float = 0.9,
        visual: float = 0.6,
        num_broken: int = 1,
        num_duplicates: int = 1,
        num_unlisted: int = 1,
        seed: int = 0,
    ) -> None:
        num_clips = num_train + num_test + num_unlisted
        allowed = {
            "num_classes": (2 <= num_classes <= len(EMOTIONS), f"2 to {len(EMOTIONS)}"),
            "num_train": (num_train > num_broken + num_duplicates, "more than num_broken and num_duplicates together"),
            "num_test": (num_test > num_duplicates, "more than num_duplicates"),
            "audio": (0 <= audio <= 1, "0 to 1"),
            "visual": (0 <= visual <= 1, "0 to 1"),
            "num_unlisted": (
                num_clips <= num_classes * NUM_ACTORS * len(SENTENCES),
                f"such that there are at most {num_classes * NUM_ACTORS * len(SENTENCES)} clips",
            ),
        }
        for option, (holds, what) in allowed.items():
            if not holds:
                raise UserError(f"cremad_miniature.{option} must be {what}")
        self.num_classes = num_classes
        self.num_train = num_train
        self.num_test = num_test
        self.audio = audio
        self.visual = visual
        self.num_broken = num_broken
        self.num_duplicates = num_duplicates
        self.num_unlisted = num_unlisted
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write the wavs, videos, landmarks and lists below `folder`."""
        random = default_rng(self.seed)
        emotions = EMOTIONS[: self.num_classes]
        num_listed = self.num_train + self.num_test
        numbers = np.arange(num_listed + self.num_unlisted)
        labels = numbers % self.num_classes
        takes = numbers // self.num_classes
        names = [
            f"{1001 + take % NUM_ACTORS}_{SENTENCES[take // NUM_ACTORS]}_{emotions[label]}_XX"
            for take, label in zip(takes, labels, strict=True)
        ]
        heard = synthetic.shown(labels, self.num_classes, self.audio, random)
        seen = synthetic.shown(labels, self.num_classes, self.visual, random)
        for number, name in enumerate(names):
            self.write_clip(folder, name, int(heard[number]), int(seen[number]), number)
        order = random.permutation(num_listed)
        train, test = order[self.num_test :], order[: self.num_test]
        write_list(folder / CLASSES, [[emotion] for emotion in emotions], "utf-8-sig")
        for split, members in (("train", train), ("test", test)):
            write_list(folder / LISTS[split], [[names[i], emotions[labels[i]]] for i in members])  # type: ignore[index]
        sexes = [[1001 + actor, 30, ("Male", "Female")[actor % 2], "Unknown", "Unknown"] for actor in range(NUM_ACTORS)]
        write_list(folder / DEMOGRAPHICS, [["ActorID", "Age", "Sex", "Race", "Ethnicity"], *sexes])
        for i in train[: self.num_broken]:
            video = folder / f"VideoFlash/{names[i]}.flv"
            video.write_bytes(video.read_bytes()[:200])
        for i in test[: self.num_duplicates]:
            same = next(k for k in train[self.num_broken :] if labels[k] != labels[i])
            wav = (folder / f"AudioWAV/{names[same]}.wav").read_bytes()
            (folder / f"AudioWAV/{names[i]}.wav").write_bytes(wav)

    def write_clip(self, folder: Path, name: str, heard: int, seen: int, number: int) -> None:
        """Write one clip that sounds like one class and looks like another."""
        random = default_rng([self.seed, number])
        frames, landmarks = synthetic.face_frames(seen, self.num_classes, NUM_FRAMES, SIZE, random)
        num_samples = SAMPLE_RATE * NUM_FRAMES // FPS
        wave = synthetic.sound(heard, self.num_classes, num_samples, SAMPLE_RATE, random)
        synthetic.write_media(folder / f"VideoFlash/{name}.flv", frames, FPS, wave, SAMPLE_RATE)
        synthetic.write_media(folder / f"AudioWAV/{name}.wav", wave=wave, sample_rate=SAMPLE_RATE)
        seconds = np.arange(NUM_FRAMES) / FPS
        synthetic.write_landmarks(folder / f"VideoFlash/{name}.landmarks.csv", seconds, landmarks)


def write_list(path: Path, rows: Iterable[Sequence[object]], encoding: str = "utf-8") -> None:
    """Write lines with CRLF ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows(rows)
