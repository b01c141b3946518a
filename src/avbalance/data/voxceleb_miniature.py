"""A small VoxCeleb that is drawn and computed."""

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.random import default_rng

from avbalance.cli import UserError
from avbalance.data import synthetic
from avbalance.data.voxceleb import LISTS

FIRST_PERSON = 1000  # of dev; test persons have numbers of their own
NUM_TEST_PERSONS = 3  # of each part
NUM_TEST_CLIPS = 4  # of each of them
FPS, NUM_FRAMES, SIZE = 12, 18, 64
SAMPLE_RATE = 16000


class VoxCelebMiniature:
    """The files of VoxCeleb in small: .m4a (AAC) or .wav, .mp4 (H.264) without sound, and the four lists of trials.

    The persons are the classes of `data.synthetic`, the six test persons among them, so a model that learned to tell
    the others apart is of use; how each looks and sounds is drawn. The cleaned list lacks the last two trials.

    Args:
        num_classes: Training persons.
        num_clips: Of each of them.
        audio, visual: Informativeness.
        num_broken: Training videos that are cut off.
        num_unseen: Clips of VoxCeleb1 without video; only the official lists name them.
        num_unlisted: Videos of dev without sound.
        seed: Of everything.
    """

    def __init__(
        self,
        num_classes: int = 6,
        num_clips: int = 13,
        audio: float = 0.9,
        visual: float = 0.8,
        num_broken: int = 1,
        num_unseen: int = 1,
        num_unlisted: int = 1,
        seed: int = 0,
    ) -> None:
        allowed = {
            "num_classes": (num_classes >= 2, "at least 2"),
            "num_clips": (num_clips >= 2, "at least 2"),
            "audio": (0 <= audio <= 1, "0 to 1"),
            "visual": (0 <= visual <= 1, "0 to 1"),
            "num_broken": (0 <= num_broken < num_clips, "less than num_clips"),
            "num_unseen": (0 <= num_unseen < NUM_TEST_CLIPS, f"less than {NUM_TEST_CLIPS}"),
        }
        for option, (holds, what) in allowed.items():
            if not holds:
                raise UserError(f"voxceleb_miniature.{option} must be {what}")
        self.num_classes = num_classes
        self.num_clips = num_clips
        self.audio = audio
        self.visual = visual
        self.num_broken = num_broken
        self.num_unseen = num_unseen
        self.num_unlisted = num_unlisted
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write the media, landmarks and lists below `folder`."""
        persons = default_rng(self.seed).permutation(self.num_classes + 2 * NUM_TEST_PERSONS)
        train, test = persons[: self.num_classes], persons[self.num_classes :].reshape(2, NUM_TEST_PERSONS)
        dev, videos = folder / "vox2/dev", folder / "voxceleb_videos"
        for label, person in enumerate(train):
            for clip in range(self.num_clips + (self.num_unlisted if label == 0 else 0)):
                name = utterance(FIRST_PERSON + label, clip)
                self.write_clip(dev / f"aac/{name}.m4a", videos / f"dev/mp4/{name}.mp4", int(person), clip)
        for clip in range(self.num_clips, self.num_clips + self.num_unlisted):
            (dev / f"aac/{utterance(FIRST_PERSON, clip)}.m4a").unlink()
        for clip in range(self.num_broken):
            video = videos / f"dev/mp4/{utterance(FIRST_PERSON, clip)}.mp4"
            video.write_bytes(video.read_bytes()[:500])
        names: dict[int, list[str]] = {1: [], 2: []}
        for part, first, kind in ((1, 10270, "wav/{}.wav"), (2, 17, "aac/{}.m4a")):
            for number, person in enumerate(test[part - 1]):
                for clip in range(NUM_TEST_CLIPS):
                    name = utterance(first + number, clip)
                    names[part].append(name)
                    root = folder / f"vox{part}"
                    self.write_clip(root / kind.format(name), videos / f"mp4/{name}.mp4", int(person), 1000 + clip)
        unseen = names[1][: self.num_unseen]
        for name in unseen:
            (videos / f"mp4/{name}.mp4").unlink()
            (videos / f"mp4/{name}.landmarks.csv").unlink()
        official = self.pair(names[1])
        found = [trial for trial in official if not set(unseen) & set(trial[1:])]
        written = {"vc1": found, "vc2": self.pair(names[2]), "vc1_o": official, "vc1_o_cleaned": official[:-2]}
        for name, trials in written.items():
            slash = "/" if name == "vc2" else ""
            _, delimiter, path = LISTS[name]
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text("".join(line_of(trial, delimiter, slash) for trial in trials))

    def write_clip(self, sound: Path, video: Path, person: int, number: int) -> None:
        """Write one utterance of a person."""
        random = default_rng([self.seed, person, number])
        num_persons = self.num_classes + 2 * NUM_TEST_PERSONS
        heard = int(synthetic.shown(person, num_persons, self.audio, random))
        seen = int(synthetic.shown(person, num_persons, self.visual, random))
        frames, landmarks = synthetic.face_frames(seen, num_persons, NUM_FRAMES, SIZE, random)
        wave = synthetic.sound(heard, num_persons, SAMPLE_RATE * NUM_FRAMES // FPS, SAMPLE_RATE, random)
        synthetic.write_media(sound, wave=wave, sample_rate=SAMPLE_RATE)
        synthetic.write_media(video, frames, FPS)
        synthetic.write_landmarks(video.with_suffix(".landmarks.csv"), np.arange(NUM_FRAMES) / FPS, landmarks)

    def pair(self, names: list[str]) -> list[tuple[int, str, str]]:
        """All pairs of one person, and as many of two persons, taking turns."""
        random = default_rng([self.seed, len(names)])
        pairs = [(int(one.split("/")[0] == other.split("/")[0]), one, other) for one, other in combinations(names, 2)]
        targets = [pair for pair in pairs if pair[0]]
        others = [pair for pair in pairs if not pair[0]]
        chosen = [others[i] for i in random.permutation(len(others))[: len(targets)]]
        return [trial for both in zip(targets, chosen, strict=True) for trial in both]


def utterance(person: int, clip: int) -> str:
    """person/video/utterance; two utterances are of one video."""
    return f"id{person:05d}/video{clip // 2:06d}/{clip % 2 + 1:05d}"


def line_of(trial: tuple[int, str, str], delimiter: str, slash: str) -> str:
    """A line of a list of trials."""
    fields: Iterable[str] = (str(trial[0]), *(f"{slash}{name}.wav" for name in trial[1:]))
    return delimiter.join(fields) + "\n"
