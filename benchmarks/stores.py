"""Bytes, speed and accuracy of JPEG pictures beside raw arrays.

The clips of GRID in which a digit is said, as 16 frames of 64 x 64 (gray) for training, and of 112 x 112 in colour for
bytes and speed, each written as raw arrays and as JPEG pictures of the same frames:

    bytes      on disk
    clips/s    of processor time, in random order, files in the page cache: rows, and batches of 16 for training
    start      from nothing to the first batch: open the run's data, verified before, and read
    accuracy   test accuracy of a ResNet-18 of width 16 on the frames alone, several seeds, the same for both stores;
               and, without the noise of training, of the models of raw arrays on JPEG: mean, and the mean difference
               with its 95 % interval over the seeds (t)
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import cv2
import numpy as np
import torch
from grid import unpack
from measure import print_conditions, print_table
from numpy.typing import NDArray
from scipy.stats import t

from avbalance import cli, store
from avbalance.configuration.schema import Training
from avbalance.data.array_writer import ArrayWriter
from avbalance.data.clips import Clip
from avbalance.data.grid import GRID
from avbalance.data.packed import Batches, Split
from avbalance.data.raw import RawFiles
from avbalance.data.stored import JpegWriter
from avbalance.model import Model
from avbalance.prepare.views.frames import Frames
from avbalance.prepare.windows import windows_of
from avbalance.train import train_recipe

CPU = torch.device("cpu")
WRITERS = {"array": ArrayWriter, "jpeg": JpegWriter}
BATCH_SIZE = 16


def clips_of(raw: Path) -> list[Clip]:
    """Clips with a digit; every fifth one of train becomes val."""
    (raw / "grid_s1").mkdir()
    unpack(raw / "grid_s1", 1000)
    (raw / "grid_s1/metadata.csv").symlink_to(Path(os.environ["AVBALANCE_MIRROR"], "grid_s1/metadata.csv").resolve())
    return GRID("digit").clips(raw)


def rendered(clips: list[Clip], raw: RawFiles, view: Frames) -> NDArray[np.uint8]:
    """[clips, *stored_shape]."""
    return np.stack([window.array for clip in clips for window in windows_of(clip, raw, view, None, 1, 600.0)])


def write(folder: Path, clips: list[Clip], arrays: NDArray[np.uint8], view: Frames, kind: str) -> Path:
    """A prepared modality."""
    splits = [clip.split if clip.split == "test" or place % 5 else "val" for place, clip in enumerate(clips)]
    with store.publish(folder / kind, {"step": "media"}) as out:
        for split in ("train", "val", "test"):
            chosen = [place for place, own in enumerate(splits) if own == split]
            dtype = ("|u1",) if kind == "array" else ()
            writer = WRITERS[kind](out / f"{split}_visual-0000.npy", view.stored_shape, *dtype)
            for place in chosen:
                writer.append(arrays[place][None])
            writer.close()
            np.save(out / f"{split}_label.npy", np.array([clips[place].label for place in chosen]))
            np.save(out / f"{split}_clip.npy", np.array(chosen))
        pictures = {"whole": False, "vectors": False}
        about = {"shape": view.shape, "mean": view.mean, "std": view.std, "pictures": pictures}
        content = json.dumps({"num_classes": 10, "modalities": {"visual": about}}, allow_nan=False)
        (out / "dataset.json").write_text(content, encoding="utf-8")
    return folder / kind


def start(folder: Path) -> float:
    """Seconds from nothing to the first batch."""
    begin = time.perf_counter()
    store.open_artifacts({"visual": folder}.values())
    split = Split({"visual": folder}, "train", CPU)
    next(iter(Batches(split, BATCH_SIZE, (0, 0))))
    return time.perf_counter() - begin


def rates(folders: dict[str, Path], repetitions: int) -> dict[str, list[float]]:
    """{store and what is read: clips per second of processor time}, one thread."""
    found: dict[str, list[float]] = {}
    for _ in range(1 + repetitions):
        for kind, folder in folders.items():
            split = Split({"visual": folder}, "train", CPU)
            order = np.random.default_rng(0).permutation(len(split))
            begin = time.process_time()
            for first in range(0, len(split), BATCH_SIZE):
                split.stored("visual", order[first : first + BATCH_SIZE])
            middle = time.process_time()
            for _ in Batches(split, BATCH_SIZE, (0, 0)):
                pass
            end = time.process_time()
            found.setdefault(f"{kind}, as stored", []).append(len(split) / (middle - begin))
            found.setdefault(f"{kind}, batches", []).append(len(split) / (end - middle))
    return {name: each[1:] for name, each in found.items()}


def trained(folder: Path, seed: int, epochs: int, resume: Path) -> Model:
    """A ResNet-18 at its epoch with the lowest validation loss."""
    training = Training(epochs=epochs, patience=epochs, batch_size=32, learning_rate=0.03, precision="float32")
    settings: dict[str, Any] = {
        "encoder": {"visual": {"resnet18": {"width": 16, "frames": "stacked"}}},
        **{"fusion": "concat", "head": "linear", "loss": "joint", "balancer": "joint"},
        "seed": seed,
        "training": {**training.model_dump(), "optimizer": "sgd", "momentum": 0.9},
    }
    recipe = {"step": "train", "name": "run", "settings": settings, "inputs": {"data_visual": str(folder)}}
    return train_recipe(recipe, CPU, resume / f"{folder.name}-{seed}", 1e9).model.eval()


@torch.no_grad()
def accuracy(model: Model, folder: Path) -> float:
    """Test accuracy in per cent."""
    batches = Batches(Split({"visual": folder}, "test", CPU), BATCH_SIZE)
    right = [model(batch.inputs).logits.argmax(dim=1) == batch.labels for batch in batches]
    return 100 * float(torch.cat(right).float().mean())


def print_accuracies(folders: dict[str, Path], num_seeds: int, epochs: int) -> None:
    """Test accuracy of models trained on each store, and that of those trained on raw arrays on the other store."""
    found: dict[str, list[float]] = {"array": [], "jpeg": [], "array, tested on jpeg": []}
    for seed in range(num_seeds):
        models = {kind: trained(folder, seed, epochs, Path("resume")) for kind, folder in folders.items()}
        for kind, model in models.items():
            found[kind].append(accuracy(model, folders[kind]))
        found["array, tested on jpeg"].append(accuracy(models["array"], folders["jpeg"]))
        print(f"seed {seed}: {', '.join(f'{each[-1]:.1f} %' for each in found.values())}", flush=True)
    rows = []
    for name, each in found.items():
        differences = [own - array for own, array in zip(each, found["array"], strict=True)]
        half = t.ppf(0.975, num_seeds - 1) * stdev(differences) / num_seeds**0.5
        rows.append([f"trained on {name}", f"{mean(each):.2f}", f"{mean(differences):+.2f} ± {half:.2f}"])
    print_table(["frames alone", "test accuracy, %", "against raw arrays, points"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="0 to train nothing")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    print_conditions(batch=BATCH_SIZE, repetitions=arguments.repetitions, epochs=arguments.epochs)
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        raw = Path("raw")
        raw.mkdir()
        clips = clips_of(raw)
        small, large = Frames(size=64, num_frames=16, gray=True), Frames(size=112, num_frames=16)
        folders: dict[str, Path] = {}
        for view, name in ((large, "large"), (small, "small")):
            arrays = rendered(clips, RawFiles(raw), view)
            folders |= {f"{name}/{kind}": write(Path(name), clips, arrays, view, kind) for kind in WRITERS}
        large_ones = {kind: folders[f"large/{kind}"] for kind in WRITERS}
        for kind, folder in large_ones.items():
            size = sum(path.stat().st_size for path in folder.glob("*_visual*"))
            start(folder)
            print(f"{kind}: {size / 1e6:,.1f} MB, start {median(start(folder) for _ in range(5)):.3f} s")
        found = rates(large_ones, arguments.repetitions)
        print_table(
            ["store", "clips / CPU s", "lowest", "highest"],
            [[way, *(f"{of(each):,.0f}" for of in (median, min, max))] for way, each in found.items()],
        )
        torch.set_num_threads(1)
        if arguments.seeds > 1:
            small_ones = {kind: folders[f"small/{kind}"] for kind in WRITERS}
            print_accuracies(small_ones, arguments.seeds, arguments.epochs)


if __name__ == "__main__":
    cli.run(main)
