"""A small AudioSet that needs no network."""

from pathlib import Path

import numpy as np

from avbalance.data.audioset import FOLDER
from avbalance.data.lists import write_rows
from avbalance.data.miniatures.base import FPS, SAMPLE_RATE, Miniature
from avbalance.data.miniatures.synthetic import write_media

SOUNDS = ("Music", "Speech", "Dog", "Bell", "Male speech, man speaking")


class AudioSetMiniature(Miniature):
    """Miniature of the files of AudioSet: h264 and aac, one to two labels a clip, the first classes the commonest.

    Of a clip with two labels both are heard and the first is seen. A third of the training clips is in the balanced
    list.
    """

    num_classes = len(SOUNDS)

    def generate(self, folder: Path) -> None:
        """Write audioset/{csv,clips}."""
        folder = folder / FOLDER
        classes = [[index, f"/m/0mini{index}", name] for index, name in enumerate(SOUNDS)]
        write_rows(folder / "csv/class_labels_indices.csv", [["index", "mid", "display_name"], *classes])
        falling = [label for label in range(self.num_classes) for _ in range(self.num_classes - label)]
        lines: dict[str, list[str]] = {"balanced_train": [], "unbalanced_train": [], "eval": []}
        for split, index, _, random in self.listed():
            labels = [falling[index % len(falling)]]
            if random.random() < 0.3:
                labels.append((labels[0] + 1) % self.num_classes)
            video, start = f"-a{split[:2]}{index:07d}", 10 * int(random.integers(0, 30))
            wave = np.stack([self.wave(label, random) for label in labels]).mean(axis=0, dtype=np.float32)
            path = folder / f"clips/{video}_{start:06d}.mp4"
            write_media(path, self.pictures(labels[0], random), FPS, wave, SAMPLE_RATE)
            train = "balanced_train" if index < self.sizes["train"] // 3 else "unbalanced_train"
            mids = ",".join(f"/m/0mini{label}" for label in labels)
            line = f'{video}, {start}.000, {start + 10}.000, "{mids}"'
            lines[train if split == "train" else "eval"].append(line)
        comment = ["# Segments csv", "# num_ytids, num_segs", "# YTID, start_seconds, end_seconds, positive_labels"]
        for name, listed in lines.items():
            (folder / f"csv/{name}_segments.csv").write_text("\n".join(comment + listed) + "\n", encoding="utf-8")
