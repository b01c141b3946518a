"""How fast is ResNet-18 trained on a spectrogram of 257 x 188 and two frames of 224 x 224?

Two encoders, concatenation, one linear layer, Adam. On a CPU, one batch of random clips in memory, in turn and with
each number of threads:

    float32 contiguous        plain PyTorch
    float32 channels_last     the project's layout
    the same, memory kept     freed memory is kept for the next step instead of handed back to the kernel
    bfloat16                  the same with autocast

On a GPU (`--device cuda`), with bfloat16 and channels_last: the step alone, the project's loop over packed clips, and
an ordinary DataLoader that converts and standardises clip by clip.

"of peak" is the share of what the device reaches in multiplying two large matrices of that precision; counted are the
convolutions and linear layers, forwards and backwards. The goal on a CPU is 2.5 times plain PyTorch.
"""

import argparse
import ctypes
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from avmnist import settings
from measure import alternate, print_conditions, print_table, ratio
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from avbalance import cli
from avbalance.balancers.base import Balancer
from avbalance.data.packed import Batches, Split
from avbalance.train import build_balancer
from avbalance.types import Batch

SHAPES = {"audio": (257, 188), "visual": (3, 2, 224, 224)}
NUM_CLASSES = 6
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
CPU = torch.device("cpu")
WAYS = {
    "float32 contiguous": (torch.contiguous_format, torch.float32, False),
    "float32 channels_last": (torch.channels_last, torch.float32, False),
    "float32 channels_last, memory kept": (torch.channels_last, torch.float32, True),
    "bfloat16 channels_last, memory kept": (torch.channels_last, torch.bfloat16, True),
}
"""On a CPU: layout, precision, whether freed memory is kept."""
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""glibc's names in malloc.h."""


def build(device: torch.device, layout: torch.memory_format) -> Balancer:
    """The untrained model, trained jointly."""
    description = {"num_classes": NUM_CLASSES, "modalities": {name: {"shape": shape} for name, shape in SHAPES.items()}}
    balancer = build_balancer(settings(dict.fromkeys(SHAPES, "resnet18"), "linear"), description, device)
    balancer.to(memory_format=layout)  # type: ignore[call-overload]
    return balancer.train()


def keep_memory() -> None:
    """Malloc keeps what is freed; where the C library has no such switch, nothing happens."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def by_steps(balancer: Balancer, batches: Iterable[Batch], precision: torch.dtype) -> Callable[[], int]:
    """One pass over the batches; returns when the device has finished."""
    optimizer = torch.optim.Adam(balancer.parameters(), fused=True)

    def train() -> int:
        num_clips = 0
        for batch in batches:
            with torch.autocast(batch.labels.device.type, precision, enabled=precision != torch.float32):
                loss = balancer.step(batch, optimizer)
            num_clips += len(batch.labels)
        torch.stack(list(loss.values())).sum().item()
        return num_clips

    return train


def giga_operations(balancer: Balancer, batch: Batch) -> float:
    """Of one clip's training step; a multiply-add is two."""
    few = Batch({name: array[:2] for name, array in batch.inputs.items()}, batch.labels[:2], batch.index[:2])
    with FlopCounterMode(display=False) as counter:
        balancer.step(few, torch.optim.Adam(balancer.parameters()))
    return float(counter.get_total_flops()) / 2 / 1e9


def peak(device: torch.device, precision: torch.dtype) -> float:
    """Giga-operations a second in multiplying two matrices, the best of several times."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(precision) for _ in range(2))
    seconds = []
    for _ in range(6):
        start = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2e-9 * size**3 / min(seconds)


def print_rates(rates: dict[str, list[float]], plain: Callable[[str], str], shares: dict[str, float]) -> None:
    print_table(
        ["training", "clips/s", "lowest", "highest", "this / plain", "of peak"],
        [
            (name, *(f"{rate(of):.3g}" for rate in (median, min, max)), f"{ratio(of, rates[plain(name)]):.2f}", share)
            for name, of in rates.items()
            for share in [f"{median(of) * shares[name]:.0%}"]
        ],
    )


def serve(pipe: Connection, way: str, num_threads: int, batch_size: int) -> None:
    """A process that trains one step whenever it is asked to; says first which share of the peak a clip a second is."""
    layout, precision, keeps = WAYS[way]
    if keeps:
        keep_memory()
    torch.set_num_threads(num_threads)
    index = torch.arange(batch_size)
    batch = Batch({m: torch.randn(batch_size, *shape) for m, shape in SHAPES.items()}, index % NUM_CLASSES, index)
    balancer = build(CPU, layout)
    train = by_steps(balancer, [batch], precision)
    pipe.send(giga_operations(balancer, batch) / peak(CPU, precision))
    while pipe.recv():
        pipe.send(train())


def measure_cpu(threads: list[int], batch_size: int, repetitions: int) -> None:
    """Layouts and precisions in turn, each in a process of its own, for malloc's settings cannot be taken back."""
    context = get_context("spawn")
    variants: dict[str, Callable[[], int]] = {}
    shares, pipes = {}, []
    for num_threads in threads:
        for way in WAYS:
            pipe, theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, way, num_threads, batch_size), daemon=True).start()
            name = f"{way}, {num_threads} threads"
            shares[name] = pipe.recv()
            variants[name] = lambda pipe=pipe: pipe.send(True) or pipe.recv()  # type: ignore[misc]
            pipes.append(pipe)
    plain = next(iter(WAYS))
    print_rates(alternate(variants, repetitions), lambda name: f"{plain}, {name.rsplit(', ', 1)[1]}", shares)
    for pipe in pipes:
        pipe.send(False)


class Clips(Dataset[tuple[Tensor, Tensor, int]]):
    """The same arrays clip by clip, as an ordinary Dataset reads them."""

    def __init__(self, folder: Path) -> None:
        self.audio, self.visual, self.label = (
            np.load(folder / f"train_{name}.npy", mmap_mode="r") for name in ("audio", "visual", "label")
        )
        self.mean, self.std = (torch.tensor(of).view(3, 1, 1, 1) for of in (MEAN, STD))

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor, int]:
        visual = (torch.from_numpy(self.visual[place].copy()).float() - self.mean) / self.std
        return torch.from_numpy(self.audio[place].astype(np.float32)), visual, int(self.label[place])


class Loaded:
    """A DataLoader's batches on the device; its workers live on from pass to pass."""

    def __init__(self, clips: Clips, batch_size: int, num_workers: int, device: torch.device) -> None:
        keeps, pins = num_workers > 0, device.type == "cuda"
        self.device = device
        self.loader = DataLoader(
            clips, batch_size, shuffle=True, num_workers=num_workers, persistent_workers=keeps, pin_memory=pins
        )

    def __iter__(self) -> Iterator[Batch]:
        for audio, visual, labels in self.loader:
            audio, visual, labels = (of.to(self.device, non_blocking=True) for of in (audio, visual, labels))
            yield Batch({"audio": audio, "visual": visual}, labels, torch.arange(len(labels)))


def write(folder: Path, num_clips: int) -> None:
    """Random clips as a prepared data set."""
    rng = np.random.default_rng(0)
    np.save(folder / "train_visual.npy", rng.integers(0, 256, (num_clips, *SHAPES["visual"]), np.uint8))
    np.save(
        folder / "train_audio.npy", rng.standard_normal((num_clips, *SHAPES["audio"]), np.float32).astype(np.float16)
    )
    np.save(folder / "train_label.npy", np.arange(num_clips) % NUM_CLASSES)
    np.save(folder / "train_clip.npy", np.arange(num_clips))
    modalities = {"audio": {"shape": SHAPES["audio"]}, "visual": {"shape": SHAPES["visual"], "mean": MEAN, "std": STD}}
    (folder / "dataset.json").write_text(json.dumps({"modalities": modalities}), encoding="utf-8")


def measure_loops(device: torch.device, num_clips: int, batch_size: int, repetitions: int, num_workers: int) -> None:
    """The step alone, the project's loop and a DataLoader's, in turn."""
    precision = torch.bfloat16
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder, num_clips)
        split = Split(dict.fromkeys(SHAPES, folder), "train", device)
        batch = split.batch(np.arange(min(batch_size, num_clips)))
        loops: dict[str, Iterable[Batch]] = {
            "packed": Batches(split, batch_size, (0, 0)),
            "step alone": [batch] * -(-num_clips // batch_size),
            f"DataLoader, {num_workers} workers": Loaded(Clips(folder), batch_size, num_workers, device),
        }
        balancers = {name: build(device, torch.channels_last) for name in loops}
        share = giga_operations(balancers["packed"], batch) / peak(device, precision)
        variants = {name: by_steps(balancers[name], loop, precision) for name, loop in loops.items()}
        rates = alternate(variants, repetitions)
    print_rates(rates, lambda _: f"DataLoader, {num_workers} workers", dict.fromkeys(rates, share))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--loops", action="store_true", help="the GPU's measurement on a CPU, to try it out")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="CPU threads")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--clips", type=int, default=4096, help="of the loops")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the DataLoader")
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(arguments.threads[0])
    print_conditions(device=device, batch=arguments.batch_size, repetitions=arguments.repetitions)
    if device.type == "cpu" and not arguments.loops:
        measure_cpu(arguments.threads, arguments.batch_size, arguments.repetitions)
    else:
        measure_loops(device, arguments.clips, arguments.batch_size, arguments.repetitions, arguments.workers)


if __name__ == "__main__":
    cli.run(main)
