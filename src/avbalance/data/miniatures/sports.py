"""A small Sports-1M that needs no network."""

from pathlib import Path

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import Miniature
from avbalance.data.sports import FOLDER, SPLITS

SPORTS = ("archery", "bowling", "boxing", "curling")


class SportsMiniature(Miniature):
    """Miniature of the files of Sports-1M: h264 and aac. One in six of the listed videos has left YouTube."""

    num_classes = len(SPORTS)

    def generate(self, folder: Path) -> None:
        """Write sports1m/{labels.txt,original,videos}."""
        folder = folder / FOLDER
        rows: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
        for split, index, label, random in self.listed():
            address = f"https://www.youtube.com/watch?v=s-{split[:2]}_{index:06d}"
            second = f",{(label + 1) % self.num_classes}" if index % 7 == 0 else ""
            rows[split].append([address, f"{label}{second}"])
            if index % 5 == 0:
                rows[split].append([f"{address}_gone", f"{label}"])
            self.write_clip(folder / f"videos/s-{split[:2]}_{index:06d}.mp4", label, random)
        write_rows(folder / "labels.txt", [[sport] for sport in SPORTS])
        for split in SPLITS:
            write_rows(folder / f"original/{split}_partition.txt", rows[split], delimiter=" ")
