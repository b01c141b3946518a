"""A small EPIC-Kitchens that needs no network."""

import csv
from pathlib import Path

import numpy as np

from avbalance.data.scene_miniature import FPS, SAMPLE_RATE, SceneMiniature
from avbalance.data.synthetic import write_media

VERBS = ("take", "put", "wash")
NOUNS = ("knife", "plate", "tap", "onion")
PER_VIDEO = 10
SECONDS = 1.0
HEADER = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


class EPICKitchensMiniature(SceneMiniature):
    """The files of EPIC-Kitchens-55 in small: videos of ten segments of a second, h264 and aac, in kitchens 1 and 26.

    The classes are actions, pairs of three verbs and four nouns. Pictures tell more than sound, as in the real set.

    Args:
        num_train, num_test: Segments in the kitchens of either split, multiples of 10.
        num_classes: Actions.
        visual, audio: Informativeness (see `synthetic`): the chance that pictures and sound show a segment's action.
        seed: Of everything random.
    """

    def __init__(
        self,
        num_train: int = 60,
        num_test: int = 20,
        num_classes: int = 6,
        visual: float = 0.9,
        audio: float = 0.4,
        seed: int = 0,
    ) -> None:
        super().__init__(num_train, num_test, num_classes, visual, audio, seed)

    def generate(self, folder: Path) -> None:
        """Write epic_kitchens/{EPIC_*.csv,videos}."""
        folder = folder / "epic_kitchens"
        folder.mkdir()
        for what, names in (("verb", VERBS), ("noun", NOUNS)):
            lines = [f"{index},{name},\"['{name}']\"" for index, name in enumerate(names)]
            text = "\n".join([f"{what}_id,class_key,{what}s", *lines]) + "\n"
            (folder / f"EPIC_{what}_classes.csv").write_text(text)
        with (folder / "EPIC_train_action_labels.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER.split(","))
            uid = 0
            for split, kitchen in (("train", "P01"), ("test", "P26")):
                for number in range(self.sizes[split] // PER_VIDEO):
                    video = f"{kitchen}_{number + 1:02d}"
                    for row in self._write(folder, split, number, kitchen, video):
                        writer.writerow([uid, kitchen, video, *row])
                        uid += 1

    def _write(self, folder: Path, split: str, number: int, kitchen: str, video: str) -> list[list[object]]:
        """Write a video; returns the lines of its segments behind the video's name."""
        random = self.random(split, number)
        frames, waves, rows = [], [], []
        for place in range(PER_VIDEO):
            action = (number * PER_VIDEO + place) % self.num_classes
            verb, noun = action % len(VERBS), action % len(NOUNS)
            frames.append(self.pictures(action, SECONDS, random))
            waves.append(self.wave(action, SECONDS, random))
            times = [f"00:00:{place * SECONDS:05.2f}", f"00:00:{(place + 1) * SECONDS:05.2f}"]
            first, last = round(place * SECONDS * FPS) + 1, round((place + 1) * SECONDS * FPS)
            words: list[object] = [VERBS[verb], verb, NOUNS[noun], noun, f"['{NOUNS[noun]}']", f"[{noun}]"]
            rows.append([f"{VERBS[verb]} {NOUNS[noun]}", *times, first, last, *words])
        path = folder / f"videos/train/{kitchen}/{video}.mp4"
        write_media(
            path,
            frames=np.concatenate(frames),
            fps=FPS,
            wave=np.concatenate(waves),
            sample_rate=SAMPLE_RATE,
        )
        path.rename(path.with_suffix(".MP4"))
        return rows
