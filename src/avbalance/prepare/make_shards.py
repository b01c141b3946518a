"""Make the shards of a prepared modality: `python -m avbalance.prepare.make_shards --recipe R --part K --parts N`.

A shard's name is a hash of everything that determines its content, and finished shards stay in `results/resume/shards`:
an interrupted preparation continues from them, and after a change of some clips only their shards are made again. Jobs
on several machines can make a part each, every N-th shard; `prepare.media` then gathers all.
"""

import os
import shutil
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack
from itertools import islice
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from avbalance import cli, registry, store
from avbalance.device import take_device
from avbalance.errors import UserError
from avbalance.prepare import shard as shards
from avbalance.prepare.clip_lists import Stretch, cut
from avbalance.prepare.select_clips import read_summary
from avbalance.prepare.selection import SPLITS
from avbalance.prepare.shard import Shard
from avbalance.progress import Progress

RESUME = Path("results/resume")


def take(device: str, recipe: dict[str, Any]) -> AbstractContextManager[torch.device]:
    """Take a device for the detector of a recipe's view; a CPU if it has none that uses a GPU."""
    methods = registry.methods_of([("view", recipe["settings"]["view"])])
    uses_gpu = any(getattr(registry.find(kind, name), "uses_gpu", False) for kind, name in methods)
    return take_device(device if uses_gpu else "cpu", RESUME)


def models_of(recipe: dict[str, Any]) -> dict[str, Path]:
    """{name: folder} of the weights of detectors, verified."""
    models = {
        role.removeprefix("model_"): Path(path) for role, path in recipe["inputs"].items() if role.startswith("model_")
    }
    for folder in models.values():
        store.open_artifact(folder)
    return models


def plan_shards(recipe: dict[str, Any], folder: Path, device: str, part: int = 0, parts: int = 1) -> Iterator[Shard]:
    """Yield the shards of all splits, in order, or every `parts`-th, from that at the place `part`.

    Args:
        recipe: As in `media.prepare`.
        folder: Folder of all finished shards.
        device: Device of detectors that can use a GPU.
    """
    selection, models = Path(recipe["inputs"]["selection"]), models_of(recipe)
    store.open_artifact(selection)
    counts = read_summary(selection)["clips"]
    stretches = (each for split in SPLITS for each in cut(selection / f"{split}.jsonl", counts[split]))
    for stretch in islice(stretches, part, None, parts):
        yield _shard(stretch, recipe, models, folder, device)


def _shard(stretch: Stretch, recipe: dict[str, Any], models: dict[str, Path], folder: Path, device: str) -> Shard:
    settings = recipe["settings"]
    num_windows = settings["windows"].get(stretch.split, 1)
    medium = registry.find("view", settings["view"]).medium
    content = []
    for listed, checksums in stretch.read():
        clip = shards.needed(listed, medium, settings["clip_seconds"])
        digests = [checksums[file] if file else None for file in (clip.visual, clip.audio, clip.landmarks)]
        content.append([clip.name, clip.start, clip.end, *digests])
    key = store.digest(
        {
            "code": recipe["code"],
            "how": [settings[name] for name in ("view", "clip_seconds", "max_seconds")] + [num_windows],
            "weights": sorted(path.name for path in models.values()),
            "clips": content,
        }
    )
    return Shard(
        folder=folder / key,
        stretch=stretch,
        raw=Path(recipe["inputs"]["raw"]),
        view=settings["view"],
        models=models,
        clip_seconds=settings["clip_seconds"],
        num_windows=num_windows,
        max_seconds=settings["max_seconds"],
        device=device,
    )


def make_all(planned: list[Shard], num_workers: int, resume: Path) -> Iterator[dict[str, Any]]:
    """Make shards, each in one worker process; yield the contents of their `shard.json` in order.

    Raises:
        UserError: A worker was killed, or a raw file is damaged.
        OSError: The disk is full. Finished shards are kept.
    """
    with ExitStack() as stack:
        progress = Progress(resume, len(planned), "shard")
        stack.callback(shutil.rmtree, resume, ignore_errors=True)
        stack.callback(progress.close)
        results: Iterable[dict[str, Any]] = map(shards.make_shard, planned)
        if num_workers > 1 and len(planned) > 1:
            workers, context = min(num_workers, len(planned)), get_context("spawn")
            pool = stack.enter_context(ProcessPoolExecutor(workers, context, _start_worker))
            stack.push(_stop_workers)
            results = pool.map(shards.make_shard, planned)
        try:
            for content in results:
                progress.advance()
                yield content
        except BrokenProcessPool as error:
            raise UserError(
                "a worker was killed, perhaps because memory ran out; finished shards are kept: run the same command "
                "again, with fewer --threads if it happens again"
            ) from error


def _start_worker() -> None:
    """Make a worker stop at once at Ctrl-C and when the process that started it ends."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


def _stop_workers(kind: type[BaseException] | None, *_: object) -> None:
    """After an error, end the workers that are still busy with a shard."""
    if kind is not None:
        for worker in active_children():
            worker.terminate()


def run(recipe: dict[str, Any], part: int, parts: int, threads: int = 1, device: str = "auto") -> None:
    """Make every `parts`-th shard with `threads` worker processes; a GPU is taken only for a detector that uses it."""
    with take(device, recipe) as place:
        planned = list(plan_shards(recipe, RESUME / "shards", str(place), part, parts))
        for _ in make_all(planned, threads, RESUME / f"{recipe['name']}.{part}"):
            pass


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
