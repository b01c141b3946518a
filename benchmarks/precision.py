"""What do bfloat16 autocast and channels_last change: the speed of a training step, and the accuracy reached?

Speed: one step (forward, loss, backward, Adam) of ResNet-18 at widths 64 and 16 on 1 x 112 x 112, of Conv2Net on
1 x 28 x 28 and of Conv1Net on 8,000 samples, in clips per second as a ratio to float32 in contiguous layout.
No weight of Conv1Net has four dimensions, so the memory format changes nothing there; that ratio shows the noise.

Agreement: AV-MNIST by concatenation, the project's training with one seed in either precision; the accuracy on
validation of the epoch that has the lowest loss there.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, Literal

import torch
from avmnist import BATCH_SIZE, ENCODERS, MAX_GENERATED_BATCHES, pack, settings
from measure import alternate, print_conditions, print_table, ratio

from avbalance import cli
from avbalance.configuration.schema import Training
from avbalance.data.packed import Batches, Split
from avbalance.registry import Spec
from avbalance.train import build_balancer, train
from avbalance.training.state import State
from avbalance.types import Batch

CPU = torch.device("cpu")
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
VARIANTS = [(precision, layout) for precision in ("float32", "bfloat16") for layout in FORMATS]
MODELS: dict[str, tuple[Spec, tuple[int, ...]]] = {
    "resnet18_width64": ({"resnet18": {"width": 64}}, (1, 112, 112)),
    "resnet18_width16": ({"resnet18": {"width": 16}}, (1, 112, 112)),
    "conv2net": ("conv2net", (1, 28, 28)),
    "conv1net": ("conv1net", (8000,)),
}


def steps(model: str, precision: str, layout: str, batch_size: int, num_steps: int) -> Callable[[], int]:
    """Training steps of one model in one variant."""
    encoder, shape = MODELS[model]
    description = {"num_classes": 10, "modalities": {"clip": {"shape": shape}}}
    balancer = build_balancer(settings({"clip": encoder}, "linear"), description, CPU)
    balancer.to(memory_format=FORMATS[layout]).train()  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(balancer.parameters(), fused=True)
    index = torch.arange(batch_size)
    batch = Batch({"clip": torch.randn(batch_size, *shape)}, index % 10, index)

    def train_steps() -> int:
        for _ in range(num_steps):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                balancer.step(batch, optimizer)
        return num_steps * batch_size

    return train_steps


def print_speed(models: Sequence[str], batch_size: int, num_steps: int, repetitions: int) -> None:
    rows = []
    for model in models:
        variants = {" ".join(variant): steps(model, *variant, batch_size, num_steps) for variant in VARIANTS}
        base, *others = alternate(variants, repetitions).values()
        rows.append((model, f"{median(base):,.0f}", *(f"{ratio(rates, base):.2f}" for rates in others)))
    base_name, *names = map(" ".join, VARIANTS)
    print_table(["training step", f"{base_name}, clips/s", *(f"{name}, ratio" for name in names)], rows)


def val_accuracy(
    folder: Path, description: dict[str, Any], precision: Literal["float32", "bfloat16"], seed: int, epochs: int
) -> float:
    splits = {name: Split(folder, name, list(ENCODERS), CPU) for name in ("train", "val")}
    balancer = build_balancer(settings(ENCODERS, "mlp", seed), description, CPU)
    training = Training(epochs=epochs, patience=epochs, batch_size=BATCH_SIZE, learning_rate=0.001, precision=precision)
    num_steps = len(Batches(splits["train"], BATCH_SIZE))
    state = State(balancer, training.model_dump(), folder / "resume", num_steps, float("inf"))
    train(state, splits, {}, seed)
    return min(state.history, key=lambda record: record["val_loss"])["val_accuracy"]


def print_agreement(raw: Path | None, num_batches: int, epochs: int, num_seeds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _, _, description = pack(raw, Path(folder), num_batches)
        pairs = {
            f"seed {seed}": [
                val_accuracy(Path(folder), description, precision, seed, epochs)
                for precision in ("float32", "bfloat16")
            ]
            for seed in range(num_seeds)
        }
    pairs["mean"] = [mean(column) for column in zip(*pairs.values(), strict=True)]
    rows = [(name, f"{100 * a:.1f}", f"{100 * b:.1f}", f"{100 * (b - a):+.1f}") for name, (a, b) in pairs.items()]
    num_val = description["splits"]["val"]
    print_table([f"accuracy on {num_val} validation clips", "float32", "bfloat16", "difference"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--batch-size", type=int, default=32, help="of the steps")
    parser.add_argument("--steps", type=int, default=2, help="a repetition")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=5, help="of the agreement; 0 leaves it out")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batches", type=int, default=MAX_GENERATED_BATCHES, help="an epoch; official: up to 750")
    parser.add_argument("--raw", type=Path, help="raw folder of AV-MNIST (default: the generated miniature)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_conditions(**{name: value for name, value in vars(arguments).items() if name not in ("models", "threads")})
    print_speed(arguments.models, arguments.batch_size, arguments.steps, arguments.repetitions)
    if arguments.seeds:
        print_agreement(arguments.raw, arguments.batches, arguments.epochs, arguments.seeds)


if __name__ == "__main__":
    cli.run(main)
