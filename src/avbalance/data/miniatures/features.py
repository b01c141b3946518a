"""A small generated set of features, in the form of CMU-MOSEI's word-aligned ones."""

from pathlib import Path

import numpy as np
from numpy.random import default_rng

from avbalance.data.lists import write_rows
from avbalance.data.miniatures.synthetic import shown
from avbalance.ranges import Count, NotNegative, Share, Whole

NUM_CLASSES = 2
DIMS = {"text": 300, "audio": 74, "visual": 35}
STEPS = 50


class FeaturesMiniature:
    """Three modalities of features over time, with lengths, an index and labels of the form of CMU-MOSEI's.

    Every clip has one pattern for each modality, that of the class that the modality shows (see `data.synthetic`), in
    every one of its 10 to 50 steps, under noise of deviation `noise`; zeros fill up 50 steps. Labels are sentiments
    from -3 to 3, and the class is whether a sentiment is 0 or more.

    Args:
        num_train, num_val, num_test: Clips of each split.
        informativeness_text, informativeness_audio, informativeness_visual: In [0, 1].
        noise: Deviation of the noise of a number, in terms of a pattern's.
        seed: Of everything that is drawn. The same seed gives the same bytes.
    """

    def __init__(
        self,
        num_train: Count = 160,
        num_val: Count = 40,
        num_test: Count = 80,
        informativeness_text: Share = 0.7,
        informativeness_audio: Share = 0.5,
        informativeness_visual: Share = 0.4,
        noise: NotNegative = 1.0,
        seed: Whole = 0,
    ) -> None:
        self.sizes = {"train": num_train, "val": num_val, "test": num_test}
        self.informativeness = {
            "text": informativeness_text,
            "audio": informativeness_audio,
            "visual": informativeness_visual,
        }
        self.noise, self.seed = noise, seed

    def generate(self, folder: Path) -> None:
        """Write mosei/index.csv and mosei/<modality>.npz below `folder`."""
        random = default_rng(self.seed)
        splits = [split for split, size in self.sizes.items() for _ in range(size)]
        classes = np.arange(len(splits)) % NUM_CLASSES
        sizes = random.uniform(0.2, 3, len(splits)).round(2)
        sentiments = np.where(classes == 1, sizes, -sizes)
        lengths = random.integers(10, STEPS + 1, len(splits))
        is_padding = np.arange(STEPS) >= lengths[:, None]
        rows = [
            (f"video{row}[0]", split, sentiment, row, row, row)
            for row, (split, sentiment) in enumerate(zip(splits, sentiments.tolist(), strict=True))
        ]
        write_rows(folder / "mosei/index.csv", [("clip", "split", "label", *DIMS), *rows])
        for modality, dim in DIMS.items():
            patterns = random.standard_normal((NUM_CLASSES, dim))
            visible = patterns[shown(classes, NUM_CLASSES, self.informativeness[modality], random)]
            features = visible[:, None] + self.noise * random.standard_normal((len(splits), STEPS, dim))
            features[is_padding] = 0
            np.savez(folder / f"mosei/{modality}.npz", features=features.astype(np.float32))
