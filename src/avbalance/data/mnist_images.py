"""MNIST alone: its images, one modality."""

from pathlib import Path

import numpy as np
from numpy.random import default_rng

from avbalance.data.arrays import ArrayReader, Arrays, SplitArrays
from avbalance.data.avmnist import divide, draw
from avbalance.data.mnist import image_file, read_mnist
from avbalance.errors import UserError
from avbalance.ranges import Count, Rate, Whole

MEAN, STD = 33.3184, 78.5675
"""Mean and deviation of the pixels, 0 to 255, of the 60,000 training images."""


class MNISTImages(ArrayReader):
    """The images of MNIST, 28 x 28, without noise.

    LeCun, Bottou, Bengio and Haffner, Proc. IEEE 1998. Train and val come from the 60,000, test from the 10,000; each
    digit has its fair share of every split.

    Args:
        num_train: Images of train and val together.
        num_test: Images of test.
        val_fraction: Share of `num_train` that is val.
        seed: Seed of the choice of images.
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

    def read_arrays(self, raw: Path) -> Arrays:
        """Return the clips below a raw folder; see `ArrayReader`."""
        (images, labels), (test_images, test_labels) = read_mnist(raw, "train"), read_mnist(raw, "t10k")
        counts = {"train": (self.num_train, len(labels)), "test": (self.num_test, len(test_labels))}
        for part, (wanted, available) in counts.items():
            if wanted > available:
                raise UserError(f"mnist_images.num_{part} is {wanted}, but there are only {available} images")
        random = default_rng(self.seed)
        num_val = round(self.val_fraction * self.num_train)
        chosen = divide(draw(labels, self.num_train, random), labels, num_val, random)
        chosen["test"] = draw(test_labels, self.num_test, random)
        sources = {
            "train": (images, labels, image_file("train")),
            "val": (images, labels, image_file("train")),
            "test": (test_images, test_labels, image_file("t10k")),
        }
        return Arrays(
            modalities={"visual": {"shape": [1, 28, 28], "mean": [MEAN], "std": [STD]}},
            dtype="|u1",
            columns=("images", "image"),
            splits=(
                SplitArrays(
                    split,
                    sources[split][1][places].astype(np.int64),
                    {"visual": [sources[split][0][places, None]]},
                    [(sources[split][2], place) for place in places.tolist()],
                )
                for split, places in chosen.items()
            ),
            num_files=4,
        )
