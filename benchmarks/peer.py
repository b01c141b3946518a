"""How much processor time does a run take beside a plain training script?

The same work: 64 clips of train and 32 of test, one epoch in batches of 32, SGD with momentum, two ResNet-18 (a
spectrogram of 257 x 128, two frames of 224 x 224), concatenation, one linear layer; joint training and OGM; the test
accuracy of the model and of each modality alone inside it.

    plain      a script as research code has it: a Dataset that opens JPEGs and stored spectrograms, a DataLoader
               without workers, torchvision's networks, evaluation after the epoch
    cold       `python -m avbalance train` on packed clips
    warm       the same in a workflow, whose warm process has imported everything

A run of ours also counts multiply-adds, looks at the gradients, evaluates train and val, and writes and hashes
predictions and weights. Whole processes take turns; "loop" is the epoch's steps, "reading" all batches of an epoch.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from measure import print_conditions, print_table, ratio

SIZES = {"train": 64, "val": 4, "test": 32}
SHAPES = {"audio": (257, 128), "visual": (3, 2, 224, 224)}
NUM_CLASSES, BATCH_SIZE = 6, 32


def write(folder: Path) -> None:
    """Random clips, as files below `raw` and packed below `prep`, with recipes `joint.json` and `ogm.json`."""
    from PIL import Image

    from avbalance import store
    from avbalance.configuration.schema import Training

    rng = np.random.default_rng(0)
    with store.publish(folder / "prep", {"step": "pack"}) as out:
        for split, size in SIZES.items():
            sound = rng.standard_normal((size, *SHAPES["audio"]), np.float32)
            # Smooth pictures, so that JPEGs have the size of photos.
            coarse = rng.integers(0, 256, (size * 2, 14, 14, 3), np.uint8)
            pictures = np.stack([np.asarray(Image.fromarray(each).resize((224, 224))) for each in coarse])
            (folder / "raw" / split).mkdir(parents=True)
            for place in range(size):
                np.save(folder / "raw" / split / f"{place}.npy", sound[place])
                for frame in range(2):
                    file = folder / "raw" / split / f"{place}_{frame}.jpg"
                    Image.fromarray(pictures[2 * place + frame]).save(file, quality=90)
            np.save(out / f"{split}_audio.npy", sound.astype(np.float16))
            frames = pictures.reshape(size, 2, 224, 224, 3).transpose(0, 4, 1, 2, 3)
            np.save(out / f"{split}_visual.npy", np.ascontiguousarray(frames))
            np.save(out / f"{split}_label.npy", np.arange(size) % NUM_CLASSES)
            np.save(out / f"{split}_clip.npy", np.arange(size))
        modalities: dict[str, Any] = {name: {"shape": list(shape)} for name, shape in SHAPES.items()}
        modalities["visual"] |= {"mean": [128.0] * 3, "std": [50.0] * 3}
        description = {"name": "peer", "num_classes": NUM_CLASSES, "modalities": modalities, "splits": SIZES}
        (out / "dataset.json").write_text(json.dumps(description, allow_nan=False), encoding="utf-8")
    training = Training(
        epochs=1,
        patience=1,
        batch_size=BATCH_SIZE,
        learning_rate=0.001,
        precision="float32",
        optimizer="sgd",
        momentum=0.9,
    )
    for balancer in ("joint", "ogm"):
        methods = {"fusion": "concat", "head": "linear", "loss": "joint", "balancer": balancer, "seed": 0}
        settings = {"dataset": "peer", "encoder": dict.fromkeys(SHAPES, "resnet18"), **methods}
        recipe = {
            "step": "train",
            "name": balancer,
            "settings": {**settings, "training": training.model_dump()},
            "inputs": {f"data_{modality}": str(folder / "prep") for modality in SHAPES},
        }
        (folder / f"{balancer}.json").write_text(json.dumps(recipe, allow_nan=False), encoding="utf-8")


def plain(folder: Path, method: str) -> None:
    """The plain script; prints the processor seconds of its loop and of reading."""
    import torch
    from PIL import Image
    from torch import Tensor, nn
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, Dataset
    from torchvision.models import resnet18
    from torchvision.transforms.functional import normalize, to_tensor

    class Clips(Dataset[tuple[Tensor, Tensor, int]]):
        def __init__(self, split: str) -> None:
            self.split = split

        def __len__(self) -> int:
            return SIZES[self.split]

        def __getitem__(self, place: int) -> tuple[Tensor, Tensor, int]:
            path = folder / "raw" / self.split
            frames = [to_tensor(Image.open(path / f"{place}_{frame}.jpg").convert("RGB")) for frame in range(2)]
            frames = [normalize(frame, [0.5] * 3, [0.2] * 3) for frame in frames]
            return torch.from_numpy(np.load(path / f"{place}.npy")), torch.stack(frames), place % NUM_CLASSES

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.audio, self.visual = resnet18(num_classes=1), resnet18(num_classes=1)
            self.audio.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
            self.audio.fc, self.visual.fc = nn.Identity(), nn.Identity()
            self.head = nn.Linear(1024, NUM_CLASSES)

        def forward(self, sound: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            a = self.audio(sound.unsqueeze(1))
            v = self.visual(frames.flatten(0, 1)).view(len(sound), 2, -1).mean(dim=1)
            W, b = self.head.weight, self.head.bias
            return self.head(torch.cat([a, v], dim=1)), a @ W[:, :512].T + b / 2, v @ W[:, 512:].T + b / 2

    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.SGD(model.parameters(), 0.001, momentum=0.9)
    loader = DataLoader(Clips("train"), BATCH_SIZE, shuffle=True)
    start = time.process_time()
    for sound, frames, labels in loader:
        optimizer.zero_grad()
        joint, audio, visual = model(sound, frames)
        cross_entropy(joint, labels).backward()
        if method == "ogm":
            scores = [z.softmax(dim=1)[range(len(labels)), labels].sum() for z in (audio, visual)]
            rho = (scores[0] / scores[1]).item()
            stronger, excess = (model.audio, rho) if rho > 1 else (model.visual, 1 / rho)
            for weight in stronger.parameters():
                if weight.dim() == 4:
                    weight.grad *= 1 - np.tanh(0.8 * excess)
        optimizer.step()
    loop = time.process_time() - start
    model.eval()
    with torch.no_grad():
        right = [
            torch.stack([z.argmax(dim=1) == labels for z in model(sound, frames)])
            for sound, frames, labels in DataLoader(Clips("test"), BATCH_SIZE)
        ]
    accuracies = torch.cat(right, dim=1).float().mean(dim=1).tolist()
    start = time.process_time()
    for _ in loader:
        pass
    print(json.dumps({"loop": loop, "reading": time.process_time() - start, "accuracies": accuracies}, allow_nan=False))


def ours(folder: Path, method: str) -> None:
    """The loop of a run on packed clips, and reading them; prints the same."""
    import torch

    from avbalance.data.packed import Batches, Split
    from avbalance.train import build_balancer
    from avbalance.training.epoch import train_epoch
    from avbalance.training.memory import keep_memory
    from avbalance.training.state import State

    keep_memory()
    settings = json.loads((folder / f"{method}.json").read_text(encoding="utf-8"))["settings"]
    description = json.loads((folder / "prep" / "dataset.json").read_text(encoding="utf-8"))
    splits = {name: Split(dict.fromkeys(SHAPES, folder / "prep"), name, torch.device("cpu")) for name in SIZES}
    balancer = build_balancer(settings, description, torch.device("cpu"))
    state = State(balancer, settings["training"], folder / "resume", SIZES["train"] // BATCH_SIZE, 1e9)
    start = time.process_time()
    train_epoch(state, splits, 0)
    loop, start = time.process_time() - start, time.process_time()
    for _ in Batches(splits["train"], BATCH_SIZE, (0, 0)):
        pass
    print(json.dumps({"loop": loop, "reading": time.process_time() - start}, allow_nan=False))


def whole(command: list[str], server: int | None) -> tuple[float, str]:
    """Processor seconds of a command, and of the warm process's children meanwhile; and its output."""

    def used() -> float:
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = own.ru_utime + own.ru_stime
        if server is not None:
            fields = Path(f"/proc/{server}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            seconds += (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
        return seconds

    before = used()
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return used() - before, done.stdout


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--part", nargs=3, metavar=("NAME", "FOLDER", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        name, folder, method = arguments.part
        {"plain": plain, "ours": ours}[name](Path(folder), method)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    print_conditions(repetitions=arguments.repetitions)
    with tempfile.TemporaryDirectory() as temporary:
        compare(Path(temporary), arguments.repetitions)


def compare(folder: Path, repetitions: int) -> None:
    """Measure in turn and print."""
    from avbalance import warm

    write(folder)
    cold_environment = dict(os.environ)
    warm.start(warm.MODULES)
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="utf-8").split()
    server, address = int(children[-1]), os.environ[warm.ADDRESS]
    python = [sys.executable, str(Path(__file__))]
    rows = []
    for method in ("joint", "ogm"):
        seconds: dict[str, list[float]] = {}
        parts: dict[str, dict[str, list[float]]] = {"plain": {}, "ours": {}}
        for number in range(repetitions):
            out = folder / f"{method}-{number}"
            run = [sys.executable, *f"-m avbalance train --threads 1 --recipe {folder}/{method}.json".split()]
            for way in ("plain", "cold", "warm"):
                os.environ.clear()
                os.environ.update(cold_environment | ({warm.ADDRESS: address} if way == "warm" else {}))
                places = [f"--{name}={out}-{way}/{name}" for name in ("out", "weights", "resume")]
                command = [*python, "--part", "plain", str(folder), method] if way == "plain" else [*run, *places]
                used, output = whole(command, server if way == "warm" else None)
                seconds.setdefault(way, []).append(used)
                if way == "plain":
                    for part in ("loop", "reading"):
                        parts["plain"].setdefault(part, []).append(json.loads(output)[part])
            for part, value in json.loads(whole([*python, "--part", "ours", str(folder), method], None)[1]).items():
                parts["ours"].setdefault(part, []).append(value)
        for way in ("plain", "cold", "warm"):
            rows.append((f"{method}, whole process, {way}", *_numbers(seconds["plain"], seconds[way])))
        for part in ("loop", "reading"):
            rows.append((f"{method}, {part}, plain", *_numbers(parts["plain"][part], parts["plain"][part])))
            rows.append((f"{method}, {part}, ours", *_numbers(parts["plain"][part], parts["ours"][part])))
    print_table(["64 + 32 clips, one epoch", "CPU s", "plain / this"], rows)


def _numbers(of_plain: list[float], values: list[float]) -> tuple[str, str]:
    return f"{median(values):.3f}", f"{ratio(of_plain, values):.2f}"


if __name__ == "__main__":
    main()
