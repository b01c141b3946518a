"""A small VoxCeleb that is drawn and computed."""

import shutil
from itertools import combinations
from pathlib import Path

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import SAMPLE_RATE, Miniature, cut
from avbalance.data.miniatures.synthetic import write_media
from avbalance.data.voxceleb import LISTS

FIRST_PERSON = {"dev": 1000, "vox1": 10270, "vox2": 17}
"""{part: number of its first person}."""
VIDEOS = {
    "dev": "voxceleb_videos/dev/mp4/{}.mp4",
    "vox1": "voxceleb_videos/mp4/{}.mp4",
    "vox2": "voxceleb_videos/mp4/{}.mp4",
}
SOUNDS = {"dev": "vox2/dev/aac/{}.m4a", "vox1": "vox1/wav/{}.wav", "vox2": "vox2/aac/{}.m4a"}
NUM_PERSONS = 6
"""Of training; as many others are of test, half of them in VoxCeleb1 and half in VoxCeleb2."""


class VoxCelebMiniature(Miniature):
    """Miniature of the files of VoxCeleb: .m4a (AAC) or .wav, .mp4 (H.264) without sound, and the four lists of trials.

    The classes of `data.synthetic` are persons of training and of test in turns, so a model that learned to tell the
    former apart is of use for the latter. The first training video is cut off, one video of dev has no sound. The first
    clip of VoxCeleb1 has no video and only the official lists name it. The cleaned list lacks the last two trials.
    """

    num_classes = 2 * NUM_PERSONS

    def generate(self, folder: Path) -> None:
        """Write the media, landmarks and lists below `folder`."""
        names: dict[str, list[str]] = {part: [] for part in FIRST_PERSON}
        for split, index, _, random in self.listed():
            clip, person = divmod(index, NUM_PERSONS)
            part = "dev" if split == "train" else "vox1" if person % 2 == 0 else "vox2"
            name = f"id{FIRST_PERSON[part] + person:05d}/video{clip // 2:06d}/{clip % 2 + 1:05d}"
            names[part].append(name)
            looks = 2 * person + (split == "test")
            self.write_face(folder / VIDEOS[part].format(name), looks, random)
            write_media(folder / SOUNDS[part].format(name), wave=self.wave(looks, random), sample_rate=SAMPLE_RATE)
        first = folder / VIDEOS["dev"].format(names["dev"][0])
        shutil.copy(first, first.with_name("99999.mp4"))
        cut(first)
        unseen = folder / VIDEOS["vox1"].format(names["vox1"][0])
        unseen.unlink()
        unseen.with_suffix(".landmarks.csv").unlink()
        official = self.pair(names["vox1"])
        trials = {
            "vc1": [trial for trial in official if names["vox1"][0] not in trial],
            "vc2": self.pair(names["vox2"]),
            "vc1_o": official,
            "vc1_o_cleaned": official[:-2],
        }
        for what, (_, delimiter, path) in LISTS.items():
            slash = "/" if what == "vc2" else ""
            rows = [[target, f"{slash}{one}.wav", f"{slash}{other}.wav"] for target, one, other in trials[what]]
            write_rows(folder / path, rows, delimiter)

    def pair(self, names: list[str]) -> list[tuple[int, str, str]]:
        """All pairs of one person, and as many of two persons, taking turns."""
        pairs = [(int(one.split("/")[0] == other.split("/")[0]), one, other) for one, other in combinations(names, 2)]
        targets = [pair for pair in pairs if pair[0]]
        others = [pair for pair in pairs if not pair[0]]
        chosen = [others[i] for i in self.random(len(names)).permutation(len(others))[: len(targets)]]
        return [trial for both in zip(targets, chosen, strict=True) for trial in both]
