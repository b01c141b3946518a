"""How much does augmentation cost in training?

An epoch of the project's batches alone and with training (SGD), on generated pictures, for the two recipes of scale
paper:

    CREMA-D    one frame of 360 x 480, random_resized_crop to 224 x 224, ResNet-18
    Kinetics   16 frames of 256 x 256, scale_jitter to 224 x 224, ResNet3D-50

with `augment`, and without on pictures that are stored as they are seen.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import alternate, print_conditions, print_table, ratio

from avbalance import optimization, registry
from avbalance.data.packed import Batches, Split, describe
from avbalance.train import build_balancer

SIZE, NUM_CLASSES = 224, 10
TRAINING = {"optimizer": "sgd", "learning_rate": 0.001}
RECIPES: dict[str, tuple[tuple[int, ...], tuple[int, int], str, Any]] = {
    "CREMA-D": ((3,), (360, 480), "random_resized_crop", "resnet18"),
    "Kinetics": ((3, 16), (256, 256), "scale_jitter", {"r3d": {"depth": 50}}),
}


def write(folder: Path, channels: tuple[int, ...], stored: tuple[int, int], num_clips: int) -> Split:
    """Random pixels as a prepared data set."""
    pixels = np.random.default_rng(0).integers(0, 256, (num_clips, *channels, *stored), dtype=np.uint8)
    np.save(folder / "train_visual.npy", pixels)
    np.save(folder / "train_label.npy", np.arange(num_clips) % NUM_CLASSES)
    pictures = {"whole": False, "vectors": False}
    visual = {"shape": [*channels, SIZE, SIZE], "mean": [128.0] * 3, "std": [64.0] * 3, "pictures": pictures}
    (folder / "dataset.json").write_text(json.dumps({"num_classes": NUM_CLASSES, "modalities": {"visual": visual}}))
    return Split(folder, "train", ["visual"], torch.device("cpu"))


def reading(batches: Batches) -> Callable[[], int]:
    """A pass over the batches."""
    return lambda: sum(len(batch.labels) for batch in batches)


def training(batches: Batches, folder: Path, encoder: object) -> Callable[[], int]:
    """An epoch of training steps."""
    methods = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint"}
    settings = {"encoder": {"visual": encoder}, **methods, "seed": 0}
    balancer = build_balancer(settings, describe(folder), torch.device("cpu")).train()
    optimizer = optimization.make(balancer.parameters(), TRAINING)

    def epoch() -> int:
        num_clips = 0
        for batch in batches:
            balancer.step(batch, optimizer)
            num_clips += len(batch.labels)
        return num_clips

    return epoch


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--clips", type=int, default=8, help="clips an epoch")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_conditions(clips=arguments.clips, batch=arguments.batch_size, repetitions=arguments.repetitions)
    for name in arguments.recipes:
        channels, stored, augmentation, encoder = RECIPES[name]
        with tempfile.TemporaryDirectory() as folder:
            ways: dict[str, Callable[[], int]] = {}
            for way, size in (("plain", (SIZE, SIZE)), ("augmented", stored)):
                place = Path(folder) / way
                place.mkdir()
                split = write(place, channels, size, arguments.clips)
                augment = registry.load("augmentation", augmentation) if way == "augmented" else None
                batches = Batches(split, arguments.batch_size, (0, 0), augmentation=augment)
                ways |= {f"batches, {way}": reading(batches), f"training, {way}": training(batches, place, encoder)}
            rates = alternate(ways, arguments.repetitions)
        rows = []
        for what in ("batches", "training"):
            plain, augmented = (rates[f"{what}, {way}"] for way in ("plain", "augmented"))
            times = [f"{1000 / median(each):.1f}" for each in (plain, augmented)]
            rows.append([what, *times, f"{ratio(plain, augmented):.2f}"])
        print_table([name, "plain, ms a clip", "augmented, ms a clip", "augmented / plain"], rows)


if __name__ == "__main__":
    main()
