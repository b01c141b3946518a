"""How much of the model's own speed does training from packed arrays keep, and what would a DataLoader cost?

Four ways to feed one model, batch 64, Adam, float32:

    packed         the project's loop over packed, memory-mapped arrays
    DataLoader 0   the project's loop over a Dataset that decodes and transforms clip by clip (decoded.py)
    DataLoader 2   the same in two worker processes
    in memory      the bare training step on slices of one float32 tensor: the model alone

for image and audio (Conv2Net, Conv1Net, concatenation, perceptron) and for the image alone, where a step costs less
and loading weighs more. One repetition is one epoch; all files are in the page cache. The goal is that packed reaches
0.9 of in memory.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from avmnist import BATCH_SIZE, ENCODERS, MAX_GENERATED_BATCHES, pack, settings
from decoded import DecodedBatches, DecodedClips
from measure import alternate, print_conditions, print_table, ratio

from avbalance import cli
from avbalance.balancers.base import Balancer
from avbalance.configuration.schema import Training
from avbalance.data.packed import Batches, Split
from avbalance.train import build_balancer
from avbalance.training.epoch import take_steps
from avbalance.training.state import State
from avbalance.types import Batch, Loader, Loaders

CPU = torch.device("cpu")
MODELS = {"image and audio": (ENCODERS, "mlp"), "image alone": ({"visual": ENCODERS["visual"]}, "linear")}


def by_loop(balancer: Balancer, loader: Loader, num_clips: int) -> Callable[[], int]:
    """One epoch of the project's loop."""
    training = Training(epochs=1, patience=1, batch_size=BATCH_SIZE, learning_rate=0.001, precision="float32")
    state = State(balancer, training.model_dump(), Path("results/resume/throughput"), len(loader), math.inf)

    def train_epoch() -> int:
        take_steps(state, Loaders(loader, loader, loader))
        return num_clips

    return train_epoch


def by_slices(balancer: Balancer, clips: Batch) -> Callable[[], int]:
    """One epoch of bare training steps on slices of tensors in memory."""
    optimizer = torch.optim.Adam(balancer.train().parameters(), fused=True)

    def train_epoch() -> int:
        for start in range(0, len(clips.labels), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            inputs = {name: array[part] for name, array in clips.inputs.items()}
            balancer.step(Batch(inputs, clips.labels[part], clips.index[part]), optimizer)
        return len(clips.labels)

    return train_epoch


def measure(raw: Path | None, num_batches: int, repetitions: int) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """For each model, {way to feed it: clips per second of each repetition}."""
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder)
        raw, reader, description = pack(raw, packed, num_batches)
        for name, (encoders, head) in MODELS.items():
            split = Split(packed, "train", list(encoders), CPU)
            decoded = DecodedClips(raw, packed, reader, list(encoders))
            balancers = [build_balancer(settings(encoders, head), description, CPU) for _ in range(4)]
            variants = {
                "packed": by_loop(balancers[0], Batches(split, BATCH_SIZE, (0, 0)), len(split)),
                "DataLoader 0": by_loop(balancers[1], DecodedBatches(decoded, 0), len(split)),
                "DataLoader 2": by_loop(balancers[2], DecodedBatches(decoded, 2), len(split)),
                "in memory": by_slices(balancers[3], split.batch(np.arange(len(split)))),
            }
            yield name, alternate(variants, repetitions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, help="raw folder of AV-MNIST (default: the generated miniature)")
    parser.add_argument("--batches", type=int, default=MAX_GENERATED_BATCHES, help="an epoch; official: up to 750")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_conditions(batch=BATCH_SIZE, clips=arguments.batches * BATCH_SIZE, repetitions=arguments.repetitions)
    for name, rates in measure(arguments.raw, arguments.batches, arguments.repetitions):
        print_table(
            [name, "clips/s", "lowest", "highest", "packed / this"],
            [
                (way, f"{median(of):,.0f}", f"{min(of):,.0f}", f"{max(of):,.0f}", f"{ratio(rates['packed'], of):.2f}")
                for way, of in rates.items()
            ],
        )


if __name__ == "__main__":
    cli.run(main)
