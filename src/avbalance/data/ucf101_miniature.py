"""A small UCF-101 that needs no network."""

from pathlib import Path

from avbalance.cli import UserError
from avbalance.data.scene_miniature import FPS, SAMPLE_RATE, SceneMiniature
from avbalance.data.synthetic import write_media
from avbalance.data.ucf101 import FOLDER

ACTIONS = ("Archery", "Bowling", "HandstandPushups", "YoYo")
NUM_GROUPS = 8
SECONDS = 1.5


class UCF101Miniature(SceneMiniature):
    """The files of UCF-101 in small: mpeg4 in avi, with mp3 in the first half of the classes, lists with CRLF.

    Pictures and their flow show the same shape. Of eight groups two are test, others in each of the three splits. As in
    the real set the lists spell a class in two ways and the archive in one.

    Args:
        num_clips: Clips of every group and class.
        visual: Informativeness (see `synthetic`): the chance that the pictures show the clip's class.
        seed: Of everything random.
    """

    def __init__(self, num_clips: int = 3, visual: float = 0.9, seed: int = 0) -> None:
        if num_clips < 1:
            raise UserError(f"ucf101_miniature.num_clips is {num_clips}; at least 1 is needed")
        super().__init__(num_classes=len(ACTIONS), visual=visual, seed=seed)
        self.num_clips = num_clips

    def generate(self, folder: Path) -> None:
        """Write ucf101/{ucfTrainTestlist,UCF101}."""
        folder = folder / FOLDER
        lists: dict[str, list[str]] = {"classInd": [f"{i} {action}" for i, action in enumerate(ACTIONS, start=1)]}
        for label, action in enumerate(ACTIONS):
            for group in range(1, NUM_GROUPS + 1):
                for clip in range(1, self.num_clips + 1):
                    name = f"v_{action}_g{group:02d}_c{clip:02d}.avi"
                    entry = f"{action}/{name.replace('Handstand', 'HandStand')}"
                    for split in (1, 2, 3):
                        is_test = (group + 1) // 2 == split
                        line, part = (entry, "test") if is_test else (f"{entry} {label + 1}", "train")
                        lists.setdefault(f"{part}list{split:02d}", []).append(line)
                    self._write(folder / "UCF101" / name, label, (group - 1) * self.num_clips + clip)
        (folder / "ucfTrainTestlist").mkdir()
        for name, lines in lists.items():
            (folder / f"ucfTrainTestlist/{name}.txt").write_bytes(("\r\n".join(lines) + "\r\n").encode())

    def _write(self, path: Path, label: int, number: int) -> None:
        random = self.random("train", number * len(ACTIONS) + label)
        frames = self.pictures(label, SECONDS, random)
        wave = self.wave(label, SECONDS, random) if label < len(ACTIONS) // 2 else None
        write_media(path, frames=frames, fps=FPS, wave=wave, sample_rate=SAMPLE_RATE)
