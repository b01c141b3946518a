"""A small UCF-101 that needs no network."""

from pathlib import Path

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import FPS, SAMPLE_RATE, Miniature
from avbalance.data.miniatures.synthetic import write_media
from avbalance.data.ucf101 import FOLDER

ACTIONS = ("Archery", "Bowling", "HandstandPushups", "YoYo")
GROUPS = {"train": (3, 4, 5, 6, 7, 8), "test": (1, 2)}
"""Of the first split; in the second 3 and 4 are test, in the third 5 and 6."""


class UCF101Miniature(Miniature):
    """Miniature of the files of UCF-101: mpeg4 in avi, with mp3 in the first half of the classes, lists with CRLF.

    As in the real set the lists spell a class in two ways and the archive in one. `num_train` and `num_test` are of
    the first of the three splits.
    """

    num_classes = len(ACTIONS)

    def generate(self, folder: Path) -> None:
        """Write ucf101/{ucfTrainTestlist,UCF101}."""
        folder = folder / FOLDER
        lists: dict[str, list[list[object]]] = {"classInd": [[i, action] for i, action in enumerate(ACTIONS, start=1)]}
        for split, index, label, random in self.listed():
            clip, place = divmod(index // self.num_classes, len(GROUPS[split]))
            group = GROUPS[split][place]
            name = f"v_{ACTIONS[label]}_g{group:02d}_c{clip + 1:02d}.avi"
            entry = f"{ACTIONS[label]}/{name.replace('Handstand', 'HandStand')}"
            for number in (1, 2, 3):
                is_test = (group + 1) // 2 == number
                lists.setdefault(f"{'test' if is_test else 'train'}list{number:02d}", []).append(
                    [entry] if is_test else [entry, label + 1]
                )
            pictures = self.pictures(label, random)
            wave = self.wave(label, random) if label < self.num_classes // 2 else None
            write_media(folder / "UCF101" / name, pictures, FPS, wave, SAMPLE_RATE)
        for name, rows in lists.items():
            write_rows(folder / f"ucfTrainTestlist/{name}.txt", rows, delimiter=" ", end="\r\n")
