"""A small AudioSet that needs no network."""

from pathlib import Path

import numpy as np

from avbalance.data.audioset import FOLDER
from avbalance.data.scene_miniature import FPS, SAMPLE_RATE, SceneMiniature
from avbalance.data.synthetic import write_media

SOUNDS = ("Music", "Speech", "Dog", "Bell", "Rain", "Drill", "Male speech, man speaking", "Toothbrush")
SECONDS = 1.5


class AudioSetMiniature(SceneMiniature):
    """The files of AudioSet in small: h264 and aac, one to two labels a clip, the first classes the commonest.

    Sound tells more than pictures, as in the real set. Of a clip with two labels both are heard and the first is seen.

    Args:
        num_train, num_test: Clips; a third of the training clips are in the balanced list.
        num_classes: How many there are.
        visual, audio: Informativeness (see `synthetic`): the chance that pictures and sound show a clip's class.
        seed: Of everything random.
    """

    def __init__(
        self,
        num_train: int = 60,
        num_test: int = 20,
        num_classes: int = 5,
        visual: float = 0.5,
        audio: float = 0.9,
        seed: int = 0,
    ) -> None:
        super().__init__(num_train, num_test, num_classes, visual, audio, seed)

    def generate(self, folder: Path) -> None:
        """Write audioset/{csv,clips}."""
        folder = folder / FOLDER
        (folder / "csv").mkdir(parents=True)
        classes = [f'{index},/m/0mini{index},"{SOUNDS[index]}"' for index in range(self.num_classes)]
        (folder / "csv/class_labels_indices.csv").write_text("\n".join(["index,mid,display_name", *classes]) + "\n")
        lines = {
            split: [self._write(folder, split, index) for index in range(size)] for split, size in self.sizes.items()
        }
        third = self.sizes["train"] // 3
        lists = {
            "balanced_train": lines["train"][:third],
            "unbalanced_train": lines["train"][third:],
            "eval": lines["test"],
        }
        for name, listed in lists.items():
            comment = [
                "# Segments csv created by a generator",
                f"# num_ytids={len(listed)}, num_segs={len(listed)}, num_unique_labels={self.num_classes}",
                "# YTID, start_seconds, end_seconds, positive_labels",
            ]
            (folder / f"csv/{name}_segments.csv").write_text("\n".join(comment + listed) + "\n")

    def _write(self, folder: Path, split: str, index: int) -> str:
        """Write a clip; returns its line in the list."""
        random = self.random(split, index)
        falling = [label for label in range(self.num_classes) for _ in range(self.num_classes - label)]
        labels = [falling[index % len(falling)]]
        if random.random() < 0.3:
            labels.append((labels[0] + 1) % self.num_classes)
        video, start = f"-a{split[:2]}{index:07d}", 10 * int(random.integers(0, 30))
        waves = [self.wave(label, SECONDS, random) for label in labels]
        write_media(
            folder / f"clips/{video}_{start:06d}.mp4",
            frames=self.pictures(labels[0], SECONDS, random),
            fps=FPS,
            wave=np.mean(waves, axis=0, dtype=np.float32),
            sample_rate=SAMPLE_RATE,
        )
        mids = ",".join(f"/m/0mini{label}" for label in labels)
        return f'{video}, {start}.000, {start + 10}.000, "{mids}"'
