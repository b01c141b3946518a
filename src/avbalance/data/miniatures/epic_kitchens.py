"""A small EPIC-Kitchens that needs no network."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbalance.data.epic_kitchens import EDITIONS
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import FPS, NUM_FRAMES, SAMPLE_RATE, SECONDS, Miniature
from avbalance.data.miniatures.synthetic import write_media

VERBS = ("take", "put", "wash")
NOUNS = ("knife", "plate", "tap", "onion")
PER_VIDEO = 10
HEADER = (
    "uid,participant_id,video_id,narration,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


class EPICKitchensMiniature(Miniature):
    """Miniature of the files of EPIC-Kitchens-55: videos of ten segments, h264 and aac, in kitchens 1 and 26.

    The classes are actions, six pairs of three verbs and four nouns.
    """

    num_classes = 6

    def generate(self, folder: Path) -> None:
        """Write epic_kitchens/{EPIC_*.csv,videos}."""
        edition = EDITIONS["55"]
        folder = folder / edition.folder
        for what, name, names in (("verb", edition.verbs, VERBS), ("noun", edition.nouns, NOUNS)):
            classes = [[index, word, f"['{word}']"] for index, word in enumerate(names)]
            write_rows(folder / name, [[f"{what}_id", "class_key", f"{what}s"], *classes])
        rows: list[list[object]] = []
        clips: dict[Path, list[tuple[NDArray[np.uint8], NDArray[np.float32]]]] = {}
        for split, index, action, random in self.listed():
            kitchen, (number, place) = "P01" if split == "train" else "P26", divmod(index, PER_VIDEO)
            video = f"{kitchen}_{number + 1:02d}"
            times = [f"00:00:{SECONDS * end:05.2f}" for end in (place, place + 1)]
            frames = [NUM_FRAMES * place + 1, NUM_FRAMES * (place + 1)]
            verb, noun = action % len(VERBS), action % len(NOUNS)
            words = [VERBS[verb], verb, NOUNS[noun], noun, f"['{NOUNS[noun]}']", f"[{noun}]"]
            rows.append([len(rows), kitchen, video, f"{VERBS[verb]} {NOUNS[noun]}", *times, *frames, *words])
            path = folder / edition.video.format(kitchen=kitchen, video=video)
            clips.setdefault(path, []).append((self.pictures(action, random), self.wave(action, random)))
        write_rows(folder / "EPIC_train_action_labels.csv", [HEADER.split(","), *rows])
        for path, parts in clips.items():
            pictures, waves = (np.concatenate(each) for each in zip(*parts, strict=True))
            write_media(path.with_suffix(".mp4"), pictures, FPS, waves, SAMPLE_RATE)
            path.with_suffix(".mp4").rename(path)
