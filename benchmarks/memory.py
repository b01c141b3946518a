"""Does training's memory stay bounded when the data grow?

Packed AV-MNIST of growing size, random numbers in the packed format; of each a whole run (one epoch, then predictions
of every clip) in a fresh process. The growth is the peak of its resident memory, mapped pages included, over what it
held before the run. The goal is less than 2 GiB beside the model, however large the data; "model" is weights,
gradients, Adam's two moments and the copy of the best epoch. Linux only.
"""

import argparse
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from avmnist import BATCH_SIZE, ENCODERS, settings
from measure import print_conditions, print_table
from numpy.typing import NDArray

from avbalance import cli, store
from avbalance.configuration.schema import Training
from avbalance.data.array_writer import ArrayWriter
from avbalance.train import train_recipe

SHAPES = {"visual": (1, 28, 28), "audio": (8000,)}
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}
CHUNK = 500
MIB = 2**20


def write_packed(folder: Path, num_clips: int, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """An artifact of random packed clips of {modality: shape}; returns the bytes of its clips."""
    rng = np.random.default_rng(0)
    sizes = {split: round(share * num_clips) for split, share in SHARES.items()}
    with store.publish(folder, {"name": folder.name}) as out:
        for split, size in sizes.items():
            np.save(out / f"{split}_label.npy", rng.integers(0, 10, size))
            np.save(out / f"{split}_clip.npy", np.arange(size))
            for modality, shape in shapes.items():
                chunk = rng.standard_normal((CHUNK, *shape), dtype=np.float32)
                with closing(ArrayWriter(out / f"{split}_{modality}.npy", shape, "<f2")) as writer:
                    for rows in repeated(chunk, size):
                        writer.append(rows)
        description = {"num_classes": 10, "modalities": {name: {"shape": shape} for name, shape in shapes.items()}}
        (out / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return sum(path.stat().st_size for path in folder.glob("*.npy"))


def repeated(chunk: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """The chunk, over and over, until `size` rows."""
    for start in range(0, size, len(chunk)):
        yield chunk[: size - start]


def resident(field: str) -> int:
    """Resident bytes of this process: VmRSS now, VmHWM at its peak."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def train(data: Path, threads: int) -> dict[str, Any]:
    """One run of one epoch; what it took."""
    torch.set_num_threads(threads)
    training = Training(epochs=1, patience=1, batch_size=BATCH_SIZE, learning_rate=0.001, precision="float32")
    recipe = {
        "settings": {**settings(ENCODERS, "mlp"), "training": training.model_dump()},
        "inputs": {f"data_{modality}": str(data) for modality in SHAPES},
    }
    before = resident("VmRSS")
    trained = train_recipe(recipe, torch.device("cpu"), data.parent / f"resume-{data.name}", float("inf"))
    model = 5 * 4 * trained.metrics["num_parameters"]
    return {"before": before, "growth": resident("VmHWM") - before, "model": model}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[5000, 20000, 60000])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print_conditions(batch=BATCH_SIZE, clips=arguments.clips)
    rows = []
    for num_clips in arguments.clips:
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh,
        ):
            num_bytes = write_packed(Path(folder) / "data", num_clips, SHAPES)
            took = fresh.submit(train, Path(folder) / "data", arguments.threads).result()
        sizes = (num_bytes, took["before"], took["growth"], took["model"], took["growth"] - took["model"])
        rows.append((f"{num_clips:,}", *(f"{size / MIB:,.0f}" for size in sizes)))
    print_table(["clips", "packed MiB", "before MiB", "growth MiB", "of which model", "growth beside it"], rows)


if __name__ == "__main__":
    cli.run(main)
