"""MNIST alone: its images, one modality."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng

from avbalance.data.avmnist import divide, draw
from avbalance.data.mnist import image_file, read_mnist
from avbalance.errors import UserError
from avbalance.ranges import Count, Rate, Whole

MEAN, STD = 33.3184, 78.5675
"""Of the pixels of the 60,000 training images, from 0 to 255."""


class MNISTImages:
    """The images of MNIST, 28 x 28, without noise.

    LeCun, Bottou, Bengio and Haffner, Proc. IEEE 1998. Train and val come from the 60,000, test from the 10,000; each
    digit has its fair share of every split.

    Args:
        num_train: Images of train and val together.
        num_test: Images of test.
        val_fraction: Share of `num_train` that is val.
        seed: Of the choice of images.
    """

    def __init__(
        self, num_train: Count = 60000, num_test: Count = 10000, val_fraction: Rate = 0.1, seed: Whole = 0
    ) -> None:
        if not 0 < round(val_fraction * num_train) < num_train or num_test < 1:
            raise UserError(
                f"mnist_images: num_train {num_train}, num_test {num_test} and val_fraction {val_fraction:g} leave a "
                "split empty; each needs at least one image"
            )
        self.num_train = num_train
        self.num_test = num_test
        self.val_fraction = val_fraction
        self.seed = seed

    def pack(self, raw: Path, out: Path) -> dict[str, Any]:
        """Read the raw folder, write the packed arrays; returns what dataset.json says of them."""
        (images, labels), (test_images, test_labels) = read_mnist(raw, "train"), read_mnist(raw, "t10k")
        for part, wanted, there in (("train", self.num_train, labels), ("test", self.num_test, test_labels)):
            if wanted > len(there):
                raise UserError(f"mnist_images.num_{part} is {wanted}, but there are only {len(there)} images")
        random = default_rng(self.seed)
        chosen = divide(
            draw(labels, self.num_train, random), labels, round(self.val_fraction * self.num_train), random
        ) | {"test": draw(test_labels, self.num_test, random)}
        with (out / "clips.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["split", "index", "label", "images", "image"])
            for split, places in chosen.items():
                source, known, name = (
                    (test_images, test_labels, image_file("t10k"))
                    if split == "test"
                    else (images, labels, image_file("train"))
                )
                np.save(out / f"{split}_label.npy", known[places].astype(np.int64))
                np.save(out / f"{split}_visual.npy", source[places, None])
                writer.writerows(
                    (split, index, known[place], name, place) for index, place in enumerate(places.tolist())
                )
        (out / "report.json").write_text('{"dropped": [], "repaired": []}\n', encoding="utf-8")
        return {
            "modalities": {"visual": {"shape": [1, 28, 28], "mean": [MEAN], "std": [STD]}},
            "splits": {split: len(places) for split, places in chosen.items()},
        }
