"""How near is training to the best that its networks reach on this CPU, and what does each setting give?

Two encoders, concatenation, one linear layer, SGD with momentum, one thread, random clips:

    AV-MNIST    Conv1Net on 8,000 samples, Conv2Net on 28 x 28; batches of 64
    GRID        ResNet-18 of width 16 on log-mel of 40 x 62 and on 16 stacked frames of 64 x 64; batches of 32
    CREMA-D     ResNet-18 on a spectrogram of 257 x 299 and on 3 frames of 224 x 224; batches of 4

"network alone" is forward, loss, backward and the optimiser on one batch in memory, plain first (contiguous, unfused,
float32), then with each setting, the last ones together; "ours" is the project's loop over packed clips as `train`
runs it, balancer, checks and reading included. Each way has a process of its own, for malloc's settings cannot be
taken back; they take turns, and what counts is processor time, so that work beside it counts little.

The goal is that ours reaches 85 % of the fastest way that keeps float32. `--compile` adds torch.compile, with the
seconds that compiling takes.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import numpy as np
import torch
from measure import print_conditions, print_table, ratio
from torch.nn.functional import cross_entropy

from avbalance import cli
from avbalance.configuration.schema import Training
from avbalance.data.packed import Batches, Split
from avbalance.model import Model
from avbalance.registry import Spec
from avbalance.train import build_balancer
from avbalance.training.epoch import take_steps
from avbalance.training.memory import keep_memory
from avbalance.training.partial_epoch import PartialEpoch
from avbalance.training.passes import ResumableLoaders
from avbalance.training.state import State

NUM_CLASSES = 6
CPU = torch.device("cpu")
# {model: ({modality: (encoder, shape)}, batch size)}
MODELS: dict[str, tuple[dict[str, tuple[Spec, tuple[int, ...]]], int]] = {
    "AV-MNIST": ({"audio": ("conv1net", (8000,)), "visual": ("conv2net", (1, 28, 28))}, 64),
    "GRID": (
        {
            "audio": ({"resnet18": {"width": 16}}, (40, 62)),
            "visual": ({"resnet18": {"width": 16, "frames": "stacked"}}, (1, 16, 64, 64)),
        },
        32,
    ),
    "CREMA-D": ({"audio": ("resnet18", (257, 299)), "visual": ("resnet18", (3, 3, 224, 224))}, 4),
}
WAYS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "fused optimiser": ("fused",),
    "channels_last": ("channels_last",),
    "memory kept": ("kept",),
    "all three": ("fused", "channels_last", "kept"),
    "all three, bfloat16": ("fused", "channels_last", "kept", "bfloat16"),
    "all three, torch.compile": ("fused", "channels_last", "kept", "compile"),
    "ours": ("kept",),
}
"""{way: settings}."""


def write(folder: Path, encoders: dict[str, tuple[Spec, tuple[int, ...]]], num_clips: int) -> None:
    """Random clips as a prepared dataset: pictures as bytes, to standardise, all else in half precision."""
    rng, modalities = np.random.default_rng(0), {}
    for name, (_, shape) in encoders.items():
        clips = rng.standard_normal((num_clips, *shape), np.float32)
        pixels = name == "visual"
        np.save(
            folder / f"train_{name}.npy",
            (50 * clips + 128).clip(0, 255).astype(np.uint8) if pixels else clips.astype(np.float16),
        )
        scale = {"mean": [128.0] * shape[0], "std": [50.0] * shape[0]} if pixels else {}
        modalities[name] = {"shape": list(shape), **scale}
    np.save(folder / "train_label.npy", np.arange(num_clips) % NUM_CLASSES)
    description = {"num_classes": NUM_CLASSES, "modalities": modalities}
    (folder / "dataset.json").write_text(json.dumps(description, allow_nan=False), encoding="utf-8")


def alone(model: Model, split: Split, batch_size: int, settings: tuple[str, ...]) -> Callable[[], int]:
    """Steps of the network alone, as many as an epoch has."""
    batch, num_steps = split.batch(np.arange(batch_size)), len(split) // batch_size
    layout = torch.channels_last if "channels_last" in settings else torch.contiguous_format
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(model.train().parameters(), 0.001, momentum=0.9, fused="fused" in settings)
    forward = torch.compile(model, dynamic=False) if "compile" in settings else model

    def train() -> int:
        for _ in range(num_steps):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled="bfloat16" in settings):
                output = forward(batch.inputs)
            cross_entropy(output.logits, batch.labels).backward()
            optimizer.step()
        return num_steps

    return train


def serve(pipe: Connection, name: str, way: str, folder: Path) -> None:
    """A process that trains an epoch when it is asked to and answers with processor seconds a step; first the cost of
    two epochs that do not count."""
    torch.set_num_threads(1)
    encoders, batch_size = MODELS[name]
    if "kept" in WAYS[way]:
        keep_memory()
    split = Split(dict.fromkeys(encoders, folder), "train", CPU)
    methods = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint", "seed": 0}
    settings = {"encoder": {modality: encoder for modality, (encoder, _) in encoders.items()}, **methods}
    description = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    balancer = build_balancer(settings, description, CPU)
    if way == "ours":
        training = Training(
            epochs=1,
            patience=1,
            batch_size=batch_size,
            learning_rate=0.001,
            precision="float32",
            optimizer="sgd",
            momentum=0.9,
        )
        batches = Batches(split, batch_size, (0, 0))
        state = State(balancer, training.model_dump(), folder / "resume", len(batches), math.inf)

        def train() -> int:
            part = PartialEpoch(dict.fromkeys(encoders, 0))
            take_steps(state, ResumableLoaders(batches, batches, batches, state, part), part)
            return len(batches)
    else:
        train = alone(balancer.model, split, batch_size, WAYS[way])
    start = time.process_time()
    train(), train()
    pipe.send(time.process_time() - start)
    while pipe.recv():
        start = time.process_time()
        num_steps = train()
        pipe.send((time.process_time() - start) / num_steps)


def measure(name: str, ways: list[str], num_steps: int, repetitions: int) -> None:
    """Print one model's table."""
    context = get_context("spawn")
    seconds: dict[str, list[float]] = {}
    first: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, pipes = Path(temporary), {}
        write(folder, MODELS[name][0], num_steps * MODELS[name][1])
        for way in ways:
            pipes[way], theirs = context.Pipe()
            context.Process(target=serve, args=(theirs, name, way, folder), daemon=True).start()
            theirs.close()  # so that a process that dies ends the measurement
            first[way] = pipes[way].recv()
        for _ in range(repetitions):
            for way, pipe in pipes.items():
                pipe.send(True)
                seconds.setdefault(way, []).append(pipe.recv())
        for pipe in pipes.values():
            pipe.send(False)
    best = min((way for way in ways if way != "ours" and "bfloat16" not in way), key=lambda way: median(seconds[way]))
    rows = [
        (
            f"{way} (best)" if way == best else way,
            f"{1000 * median(of):,.1f}",
            f"{ratio(seconds['plain'], of):.2f}",
            f"{ratio(seconds[best], of):.2f}",
            f"{first[way]:.1f}",
        )
        for way, of in seconds.items()
    ]
    print_table([name, "CPU ms a step", "plain / this", "best / this", "CPU s of the first two epochs"], rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--steps", type=int, default=4, help="of an epoch, which is a repetition")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which needs a C++ compiler")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    print_conditions(steps=arguments.steps, repetitions=arguments.repetitions)
    ways = [way for way, settings in WAYS.items() if arguments.compile or "compile" not in settings]
    for name in arguments.models:
        measure(name, ways, arguments.steps, arguments.repetitions)


if __name__ == "__main__":
    cli.run(main)
