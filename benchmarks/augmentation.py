"""Cost of augmentation in training.

A pass over the project's batches with and without, and a training step (SGD) on one of them, on generated pictures, for
the two recipes of scale paper:

    CREMA-D    one frame of 360 x 480, random_resized_crop to 224 x 224, ResNet-18
    Kinetics   16 frames of 256 x 256, scale_jitter to 224 x 224, ResNet3D-50

Without augmentation pictures are stored as they are seen. Times are of the processor, so that other work beside it
counts little; one thread.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from measure import print_conditions, print_table

from avbalance import registry
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import read_description
from avbalance.train import build_balancer
from avbalance.training.optimization import make_optimizer

SIZE, NUM_CLASSES = 224, 10
RECIPES: dict[str, tuple[tuple[int, ...], tuple[int, int], str, Any]] = {
    "CREMA-D": ((3,), (360, 480), "random_resized_crop", "resnet18"),
    "Kinetics": ((3, 16), (256, 256), "scale_jitter", {"r3d": {"depth": 50}}),
}


def write(folder: Path, channels: tuple[int, ...], stored: tuple[int, int], num_clips: int) -> Split:
    """Random pixels as a prepared data set."""
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (num_clips, *channels, *stored), dtype=np.uint8)
    np.save(folder / "train_visual.npy", pixels)
    np.save(folder / "train_label.npy", np.arange(num_clips) % NUM_CLASSES)
    np.save(folder / "train_clip.npy", np.arange(num_clips))
    pictures = {"whole": False, "vectors": False}
    visual = {"shape": [*channels, SIZE, SIZE], "mean": [128.0] * 3, "std": [64.0] * 3, "pictures": pictures}
    (folder / "dataset.json").write_text(
        json.dumps({"num_classes": NUM_CLASSES, "modalities": {"visual": visual}}), encoding="utf-8"
    )
    return Split({"visual": folder}, "train", torch.device("cpu"))


def training_step(split: Split, folder: Path, encoder: object) -> Callable[[], object]:
    """A step on all clips, which are in memory."""
    methods = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint"}
    settings = {"encoder": {"visual": encoder}, **methods, "seed": 0}
    balancer = build_balancer(settings, read_description({"visual": folder}), torch.device("cpu")).train()
    training = {"optimizer": "sgd", "learning_rate": 0.001, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": None}
    optimizer = make_optimizer(balancer.groups(), training)
    batch = split.batch(np.arange(len(split)))
    return lambda: balancer.step(batch, optimizer)


def milliseconds(work: Callable[[], object], repetitions: int, num_clips: int) -> float:
    """Processor time a clip: the median of the repetitions after a first one that does not count."""
    times = []
    for _ in range(1 + repetitions):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * median(times[1:]) / num_clips


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4, help="clips a batch; there is one")
    parser.add_argument("--repetitions", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_conditions(clips=arguments.clips, repetitions=arguments.repetitions)
    rows = []
    for name, (channels, stored, augmentation, encoder) in RECIPES.items():
        with tempfile.TemporaryDirectory() as folder:
            seen = write(Path(folder) / "seen", channels, (SIZE, SIZE), arguments.clips)
            larger = write(Path(folder) / "larger", channels, stored, arguments.clips)
            plain = Batches(seen, arguments.clips, (0, 0))
            augmented = Batches(
                larger, arguments.clips, (0, 0), augmentation=registry.load("augmentation", augmentation)
            )
            step = training_step(seen, Path(folder) / "seen", encoder)
            ways = (lambda: list(plain), lambda: list(augmented), step)  # noqa: B023
            read, cut, trained = (milliseconds(work, arguments.repetitions, arguments.clips) for work in ways)
        rows.append(
            [name, *(f"{each:,.1f}" for each in (read, cut, trained)), f"{(trained + cut) / (trained + read):.3f}"]
        )
    columns = ["ms a clip", "batch, plain", "batch, augmented", "step", "training, augmented / plain"]
    print_table(columns, rows)


if __name__ == "__main__":
    main()
