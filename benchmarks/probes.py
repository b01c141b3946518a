"""How long do the probes of all layers take, what does extraction add to a forward pass, and how much memory is taken?

1. Probes of every layer of a convolutional network for MNIST (two convolutions, one linear layer, on each side of every
   activation and pooling; untrained): one pass, then each to its optimum with l2 chosen on validation; against each by
   SGD for 20 epochs: layer by layer, the model computed up to it in every epoch; for all layers at once, as Alain &
   Bengio (2016) do; or on stored features. All ways of SGD see the same standardised features in the same order, so
   they end with the same weights: the first two are timed for `--measured-epochs` and multiplied. SGD (momentum 0.9,
   batches of 64) gets the best of three learning rates, of which one is timed. A fifth of the clips is validation.
   Seconds are of the processor, on one thread.
2. Extraction from all residual blocks of ResNet-18 (their means) against the bare forward pass, in turn.
3. The peak of the resident memory of a process that solves one probe, over what it held before, for bounds by
   `--memory` above and below the size of the features; some 30 MiB are buffers of the libraries. Linux only.

Images are generated (blurred patterns of ten classes with noise), or MNIST's from `--mnist <folder>`.
"""

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import alternate, print_conditions, print_table, ratio
from memory import resident
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from avbalance import cli
from avbalance.data.packed import Batches, Split
from avbalance.encoders.resnet import ResNet18
from avbalance.probing.extraction import MIB, Extraction, first_clips, path_of
from avbalance.probing.fitting import Probe, fit_probe
from avbalance.registry import Spec

EPOCHS, SGD_BATCH, BATCH = 20, 64, 128
RATES = (0.1, 0.01, 0.001)
CLASSES = 10
CPU = torch.device("cpu")


class ConvNet(nn.Sequential):
    """conv 5x5, 32 -> ReLU -> max-pool -> conv 5x5, 64 -> ReLU -> max-pool -> linear 512 -> ReLU."""

    def __init__(self) -> None:
        super().__init__()
        for place, (given, channels) in enumerate(((1, 32), (32, 64)), start=1):
            self.add_module(f"conv{place}", nn.Conv2d(given, channels, 5, padding=2))
            self.add_module(f"relu{place}", nn.ReLU())
            self.add_module(f"pool{place}", nn.MaxPool2d(2))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(64 * 7 * 7, 512))
        self.add_module("relu3", nn.ReLU())


LAYERS = ["input", "conv?", "relu?", "pool?", "linear"]


def images(num_clips: int, mnist: Path | None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """[clips, 1, 28, 28] in [-0.5, 0.5] and labels."""
    if mnist is not None:
        with gzip.open(mnist / "train-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[:num_clips]
        with gzip.open(mnist / "train-labels-idx1-ubyte.gz") as file:
            said = np.frombuffer(file.read(), np.uint8, offset=8)[:num_clips]
        return (pixels / np.float32(255) - np.float32(0.5)).astype(np.float32), said.astype(np.int64)
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=num_clips)
    patterns = rng.normal(size=(CLASSES, 1, 7, 7)).repeat(4, axis=2).repeat(4, axis=3)
    noisy = patterns[labels] + 3 * rng.normal(size=(num_clips, 1, 28, 28))
    return (noisy / 10).clip(-0.5, 0.5).astype(np.float32), labels


def write_packed(folder: Path, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, Split]:
    """Splits: a fifth validation, a tenth test."""
    folder.mkdir()
    shape = list(inputs.shape[1:])
    (folder / "dataset.json").write_text(json.dumps({"modalities": {"visual": {"shape": shape}}}), encoding="utf-8")
    ends = {"val": len(labels) // 5, "test": len(labels) * 3 // 10, "train": len(labels)}
    start = 0
    for split, end in ends.items():
        np.save(folder / f"{split}_visual.npy", inputs[start:end])
        np.save(folder / f"{split}_label.npy", labels[start:end])
        np.save(folder / f"{split}_clip.npy", np.arange(end - start))
        start = end
    return {split: Split({"visual": folder}, split, CPU) for split in ("train", "val", "test")}


def sgd(
    features: Callable[[NDArray[np.int64]], list[Tensor]], dims: list[int], labels: Tensor, rate: float, epochs: int
) -> tuple[list[nn.Linear], float]:
    """One linear classifier a layer, trained together; and the seconds of the processor.

    Args:
        features: Gives those of all layers for the clips at some places.
        dims: Of each layer.
        labels: Of all clips.
        rate: Learning rate.
        epochs: Passes.
    """
    torch.manual_seed(0)
    probes = [nn.Linear(dim, CLASSES) for dim in dims]
    parameters = [parameter for probe in probes for parameter in probe.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=rate, momentum=0.9, fused=True)
    start = time.process_time()
    for epoch in range(epochs):
        order = np.random.default_rng(epoch).permutation(len(labels))
        for places in np.array_split(order, -(-len(labels) // SGD_BATCH)):
            chosen = labels[torch.from_numpy(places)]
            loss = torch.stack(
                [cross_entropy(probe(x), chosen) for probe, x in zip(probes, features(places), strict=True)]
            ).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return probes, time.process_time() - start


def compare_with_sgd(folder: Path, arguments: argparse.Namespace) -> None:
    """Table 1."""
    splits = write_packed(folder / "mnist", *images(arguments.clips, arguments.mnist))
    labels = {name: split.labels for name, split in splits.items()}
    torch.manual_seed(0)
    encoder = ConvNet()
    scratch = folder / "features"
    scratch.mkdir()
    reduction: Spec = {"subset": {"num": arguments.features}}

    start = time.process_time()
    extraction = Extraction(encoder, LAYERS, reduction, first_clips(splits["train"], "visual"))
    extraction.run(splits, "visual", BATCH, scratch)
    extracted = time.process_time() - start
    names = list(extraction.reductions)
    probes: dict[str, Probe] = {}
    seconds = {}
    for layer in names:
        start = time.process_time()
        probes[layer] = fit_probe(scratch, layer, labels, CLASSES, arguments.memory * MIB)
        seconds[layer] = time.process_time() - start
    ours = extracted + sum(seconds.values())

    stored = {split: [torch.from_numpy(np.load(path_of(scratch, layer, split))) for layer in names] for split in labels}
    means = [x.mean(dim=0) for x in stored["train"]]
    deviations = [x.std(dim=0).clamp(min=1e-6) for x in stored["train"]]
    for of_layers in stored.values():
        for x, mean, deviation in zip(of_layers, means, deviations, strict=True):
            x.sub_(mean).div_(deviation)
    dims = [x.shape[1] for x in stored["train"]]
    targets = torch.from_numpy(labels["train"])

    def from_store(places: NDArray[np.int64]) -> list[Tensor]:
        index = torch.from_numpy(places)
        return [x[index] for x in stored["train"]]

    errors: dict[str, list[float]] = {layer: [] for layer in names}
    by_store = []
    for rate in RATES:
        trained, took = sgd(from_store, dims, targets, rate, EPOCHS)
        by_store.append(took)
        for layer, probe, x in zip(names, trained, stored["val"], strict=True):
            with torch.no_grad():
                errors[layer].append(float((probe(x).argmax(dim=1).numpy() != labels["val"]).mean()))

    kept: dict[str, Tensor] = {}

    def from_model(places: NDArray[np.int64]) -> list[Tensor]:
        inputs = splits["train"].batch(places).inputs["visual"]

        def keep(layer: str, x: Tensor) -> None:
            kept[layer] = extraction.reductions[layer](x)

        with extraction.watched(len(places), keep):
            encoder(inputs)
        return [
            (kept[layer] - mean) / deviation for layer, mean, deviation in zip(names, means, deviations, strict=True)
        ]

    _, took = sgd(from_model, dims, targets, RATES[1], arguments.measured_epochs)
    again = took * EPOCHS / arguments.measured_epochs
    alone = 0.0
    modules = [name for name, _ in encoder.named_children()]
    for place, layer in enumerate(names):
        front = nn.Sequential(*list(encoder)[: modules.index(layer) + 1] if layer in modules else [])

        @torch.no_grad()
        def of_layer(places: NDArray[np.int64], front: nn.Module = front, place: int = place) -> list[Tensor]:
            x = front(splits["train"].batch(places).inputs["visual"])
            return [(extraction.reductions[names[place]](x) - means[place]) / deviations[place]]

        _, took = sgd(of_layer, [dims[place]], targets, RATES[1], arguments.measured_epochs)
        alone += took * EPOCHS / arguments.measured_epochs
    rows = []
    for layer, dim in zip(names, dims, strict=True):
        error = float((probes[layer].logits["val"].argmax(axis=1) != labels["val"]).mean())
        rows.append(
            (
                layer,
                f"{dim}",
                f"{seconds[layer]:.1f}",
                f"{probes[layer].l2:g}",
                f"{probes[layer].gradient_norm:.0e}",
                f"{100 * error:.2f}",
                f"{100 * min(errors[layer]):.2f}",
            )
        )
    columns = ["layer", "features", "seconds", "l2", "gradient", "val error %", "by SGD %"]
    print_table(columns, rows)
    by_sgd = median(by_store)
    print_table(
        ["all layers together", "seconds", "ratio"],
        [
            ("one pass, every probe at its optimum", f"{ours:.1f}", "1"),
            ("of which the pass", f"{extracted:.1f}", ""),
            ("SGD layer by layer, the model computed again up to each", f"{alone:.1f}", f"{alone / ours:.1f}"),
            ("SGD for all layers at once, features computed again", f"{again:.1f}", f"{again / ours:.1f}"),
            ("SGD, features stored (with the pass)", f"{by_sgd + extracted:.1f}", f"{(by_sgd + extracted) / ours:.1f}"),
        ],
    )


def compare_with_forward(folder: Path, arguments: argparse.Namespace) -> None:
    """Table 2."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((arguments.images, 3, 112, 112), dtype=np.float32)
    splits = write_packed(folder / "images", inputs, rng.integers(CLASSES, size=arguments.images))
    encoder = ResNet18((3, 112, 112)).eval()
    scratch = folder / "blocks"
    scratch.mkdir()
    num_images: int = arguments.images
    extraction = Extraction(encoder, ["layer?.?"], "mean", first_clips(splits["train"], "visual"))

    def forward() -> int:
        for split in splits.values():
            for batch in Batches(split, 32):
                with torch.no_grad():
                    encoder(batch.inputs["visual"])
        return num_images

    def extract() -> int:
        extraction.run(splits, "visual", 32, scratch)
        return num_images

    rates = alternate({"forward": forward, "extract": extract}, arguments.repetitions)
    print_table(
        ["ResNet-18, 112 x 112", "forward clips/s", "extraction clips/s", "extraction's time / forward's"],
        [
            (
                f"{len(extraction.reductions)} blocks",
                f"{median(rates['forward']):.1f}",
                f"{median(rates['extract']):.1f}",
                f"{ratio(rates['forward'], rates['extract']):.3f}",
            )
        ],
    )


def solve_one(folder: Path, num_clips: int, dim: int, bound: int) -> tuple[float, float]:
    """Seconds and growth in MiB of a probe of generated features."""
    torch.set_num_threads(1)
    labels = {split: np.load(folder / f"{split}_label.npy") for split in ("train", "val", "test")}
    before, start = resident("VmRSS"), time.perf_counter()
    fit_probe(folder, "layer", labels, CLASSES, bound * MIB)
    return time.perf_counter() - start, (resident("VmHWM") - before) / MIB


def measure_memory(folder: Path, arguments: argparse.Namespace) -> None:
    """Table 3."""
    num_clips, dim = arguments.clips, arguments.features
    scratch = folder / "solved"
    scratch.mkdir()
    rng = np.random.default_rng(0)
    means = rng.normal(size=(CLASSES, dim)) / 10
    for split, size in (("train", num_clips), ("val", num_clips // 5), ("test", num_clips // 5)):
        labels = rng.integers(CLASSES, size=size)
        np.save(scratch / f"{split}_label.npy", labels)
        features = np.lib.format.open_memmap(
            path_of(scratch, "layer", split), mode="w+", dtype=np.float32, shape=(size, dim)
        )
        for rows in np.array_split(np.arange(size), -(-size // 1000)):
            features[rows] = means[labels[rows]] + rng.normal(size=(len(rows), dim))
        features.flush()
    num_mib = 4 * num_clips * 6 // 5 * dim / MIB
    lines = []
    for bound in arguments.bounds:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            seconds, growth = fresh.submit(solve_one, scratch, num_clips, dim, bound).result()
        lines.append((f"{bound}", f"{num_mib:.0f}", f"{growth:.0f}", f"{seconds:.1f}"))
    print_table(["--memory MiB", "features MiB, train and val", "growth MiB", "seconds"], lines)


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6000, help="MNIST has 60000")
    parser.add_argument("--features", type=int, default=1000, help="random ones of each layer")
    parser.add_argument("--mnist", type=Path, help="folder of the four files, instead of generated images")
    parser.add_argument("--measured-epochs", type=int, default=1, help="of SGD on features computed again")
    parser.add_argument("--images", type=int, default=120, help="of ResNet-18")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--bounds", type=int, nargs="+", default=[24, 512], help="of memory, in MiB")
    parser.add_argument("--memory", type=int, default=2048, help="MiB for the probes of the first table")
    parser.add_argument("--tables", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_conditions(clips=arguments.clips, features=arguments.features, images=arguments.images)
    tables = {1: compare_with_sgd, 2: compare_with_forward, 3: measure_memory}
    with tempfile.TemporaryDirectory() as folder:
        for number in arguments.tables:
            tables[number](Path(folder), arguments)


if __name__ == "__main__":
    cli.run(main)
