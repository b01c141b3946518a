"""Cost of a checkpoint, and length of the pause after it.

    ResNet-18           on a spectrogram of 257 x 299 and on frames of 224 x 224, as for CREMA-D
    R(2+1)D and ResNet  R(2+1)D of 18 layers on 8 frames of 112 x 112, ResNet-18 on log-mel of 40 x 100

A checkpoint holds the weights, the chosen epoch's weights and SGD's momentum; it is written within an epoch, synced to
the disk and hashed. The pause is that of `training.state`: 20 s, or 100 times what the checkpoint took.
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from measure import print_conditions, print_table

from avbalance import cli
from avbalance.configuration.schema import Training
from avbalance.registry import Spec
from avbalance.train import build_balancer
from avbalance.training.checkpoint import FILES, load_checkpoint
from avbalance.training.partial_epoch import PartialEpoch
from avbalance.training.state import MOST_TIME, State

CPU = torch.device("cpu")
MODELS: dict[str, dict[str, tuple[Spec, tuple[int, ...]]]] = {
    "ResNet-18, twice": {"audio": ("resnet18", (257, 299)), "visual": ("resnet18", (3, 3, 224, 224))},
    "R(2+1)D and ResNet-18": {"audio": ("resnet18", (40, 100)), "visual": ("r2plus1d", (3, 8, 112, 112))},
}


def measure(name: str, repetitions: int, folder: Path) -> list[str]:
    """A row of the table."""
    encoders = MODELS[name]
    methods = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint", "seed": 0}
    settings = {"encoder": {modality: encoder for modality, (encoder, _) in encoders.items()}, **methods}
    modalities = {modality: {"shape": shape} for modality, (_, shape) in encoders.items()}
    balancer = build_balancer(settings, {"num_classes": 400, "modalities": modalities}, CPU)
    training = Training(
        epochs=1, patience=1, batch_size=16, learning_rate=0.01, precision="float32", optimizer="sgd", momentum=0.9
    )
    state = State(balancer, training.model_dump(), folder, 1, 20)
    part = PartialEpoch(dict.fromkeys(encoders, 0))
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        state.save(part)
        seconds.append(time.perf_counter() - start)
    (file,) = folder.glob(FILES)
    start = time.perf_counter()
    load_checkpoint(folder, CPU)
    loading = time.perf_counter() - start
    num_weights = sum(weight.numel() for weight in balancer.parameters())
    return [
        name,
        f"{num_weights / 1e6:.1f}",
        f"{file.stat().st_size / 1e6:,.0f}",
        *(f"{of(seconds):.2f}" for of in (median, min, max)),
        f"{loading:.2f}",
        f"{max(20, median(seconds) / MOST_TIME):.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="folder on the disk to measure; by default that of temporary files")
    arguments = parser.parse_args()
    print_conditions(repetitions=arguments.repetitions)
    rows = []
    for name in MODELS:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows.append(measure(name, arguments.repetitions, Path(folder)))
    print_table(["model", "10^6 weights", "MB", "s", "least", "most", "s to load", "pause, s"], rows)


if __name__ == "__main__":
    cli.run(main)
