"""Turn a dataset's clips into packed arrays: `python -m avbalance.prepare.media --recipe R --out DIR --threads N`.

The reader lists the clips; worker processes decode them shard by shard, and the view of each modality renders an array.
The result does not depend on the number of workers. Finished shards stay in `results/resume/shards`, named by a hash of
everything that determines their content. So an interrupted preparation continues, and after a change of some clips only
their shards are made again. A shard and the artifact that uses it share one copy on disk.
"""

import os
import shutil
import signal
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

from avbalance import cli, registry, store
from avbalance.data.clips import Clip, Reader
from avbalance.data.raw import RawFiles
from avbalance.device import take_device
from avbalance.errors import UserError
from avbalance.prepare import dataset_files
from avbalance.prepare import shard as shards
from avbalance.prepare.selection import SPLITS, Entry, Selection, files_of, select
from avbalance.prepare.shard import Shard
from avbalance.prepare.views.base import AudioView, VisualView
from avbalance.progress import Progress

RESUME = Path("results/resume")
SHARDS_WANTED = 64
"""Approximate number of shards of a split, which has at most twice as many: enough for all cores, few to map."""
LEAST_CLIPS = 32
"""Smallest number of clips of a shard, except the last one."""


def prepare(recipe: dict[str, Any], out: Path, num_workers: int, device: str = "cpu", resume: Path = RESUME) -> None:
    """Publish the packed arrays of a recipe.

    Args:
        recipe: Its settings are {"dataset", "task", "num_classes", "classes", "reader": {name: options}, "prepare":
            a `schema.Preparation` with resolved views}; its inputs {"raw": folder, "model_<name>": folder, ...}.
        out: The folder to publish.
        num_workers: Number of worker processes; 1 for none besides this process.
        device: Device of detectors that can use a GPU: cpu or cuda.
        resume: Folder of finished shards and of reports of failures.

    Raises:
        UserError: The raw files are damaged, a list is malformed, a split is empty, or too many clips are dropped.
        OSError: The disk is full. Finished shards are kept.
    """
    settings, raw = recipe["settings"], Path(recipe["inputs"]["raw"])
    options = settings["prepare"]
    models = {
        role.removeprefix("model_"): Path(path) for role, path in recipe["inputs"].items() if role.startswith("model_")
    }
    for folder in models.values():
        store.open_artifact(folder)
    store.read_manifest(raw)
    checksums = RawFiles(raw).checksums
    reader: Reader = registry.load("data", settings["reader"])
    _check_classes(reader.class_names(raw), settings, raw)
    chosen = {name: options[name] for name in ("val_fraction", "seed", "drop_duplicates")}
    views = shards.load_views(options["views"], models)
    unseen = [] if any(isinstance(view, VisualView) for view in views.values()) else ["visual", "landmarks"]
    unseen += [] if any(isinstance(view, AudioView) for view in views.values()) else ["audio"]
    selection = select(reader.clips(raw), reader.media, checksums, unseen, **chosen)
    trained = [  # the persons of test trials are not classes
        clip for clip in selection.clips if (settings["task"], clip.split) != ("verification", "test")
    ]
    dataset_files.check_labels(((clip.name, clip.label) for clip in trained), settings["num_classes"], raw)
    known: dict[str, str] = {}
    with store.publish(out, recipe, known) as folder:
        planned = list(_plan_shards(selection.clips, recipe, raw, checksums, models, device, resume / "shards"))
        made = list(_make_shards(planned, num_workers, resume / out.name))
        packed = _collect_shards(folder, planned, made, selection, known)
        report = {
            "num_clips": selection.num_listed,
            "dropped": sorted(selection.dropped, key=_by_name),
            "repaired": sorted(selection.repaired, key=_by_name),
            "unused": selection.unused,
        }
        kept = resume / f"{out.name}-report.json"
        dataset_files.write_report(folder, report, selection.num_listed, options["max_dropped"], kept)
        if empty := [split for split in SPLITS if not packed[split]]:
            raise UserError(
                f"{raw}: split {empty[0]!r} has no usable clip; see prepare.val_fraction, the lists, and {kept}"
            )
        labels = dataset_files.write_labels(folder, packed, settings)
        rows = dataset_files.clip_rows(packed, checksums)
        dataset_files.write_clips(folder, dataset_files.CLIP_COLUMNS, rows)
        num_trials = dataset_files.write_trials(folder, reader, raw, packed)
        modalities = {name: dataset_files.describe_modality(view, name, planned, made) for name, view in views.items()}
        counts = {split: len(labels[split]) for split in SPLITS}
        about = {"trials": num_trials} if num_trials else {}
        dataset_files.write_description(folder, settings, modalities, counts, about)
    kept.unlink()


def _plan_shards(
    clips: list[Clip],
    recipe: dict[str, Any],
    raw: Path,
    checksums: Mapping[str, str],
    models: dict[str, Path],
    device: str,
    folder: Path,
) -> Iterator[Shard]:
    """Yield the shards of all splits, in order."""
    options = recipe["settings"]["prepare"]
    for split in SPLITS:
        members = [clip for clip in clips if clip.split == split]
        size = LEAST_CLIPS
        while size * 2 * SHARDS_WANTED <= len(
            members
        ):  # doubled, so that one more clip rarely changes the other shards
            size *= 2
        for start in range(0, len(members), size):
            mine = members[start : start + size]
            needed = {file: checksums[file] for clip in mine for file in files_of(clip)}
            num_windows = options["windows"].get(split, 1)
            how = (options["views"], options["clip_seconds"], num_windows, options["max_seconds"])
            content = [
                [clip.name, clip.start, clip.end, *map(needed.get, (clip.visual, clip.audio, clip.landmarks))]  # type: ignore[arg-type]
                for clip in mine
            ]
            weights = sorted(path.name for path in models.values())
            key = store.digest({"code": recipe["code"], "how": how, "weights": weights, "clips": content})
            yield Shard(
                folder=folder / key,
                clips=mine,
                raw=raw,
                views=options["views"],
                models=models,
                clip_seconds=options["clip_seconds"],
                num_windows=num_windows,
                max_seconds=options["max_seconds"],
                device=device,
            )


def _make_shards(planned: list[Shard], num_workers: int, resume: Path) -> Iterator[dict[str, Any]]:
    """Make all shards; yield their contents in the order of the plan."""
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


def _collect_shards(
    folder: Path, planned: list[Shard], made: list[dict[str, Any]], selection: Selection, known: dict[str, str]
) -> dataset_files.Packed:
    """Link the arrays of the shards into `folder`; add their digests to `known` and their reports to `selection`."""
    packed: dataset_files.Packed = {split: [] for split in SPLITS}
    numbers = dict.fromkeys(SPLITS, 0)
    for shard, content in zip(planned, made, strict=True):
        selection.dropped += content["dropped"]
        by_name = {clip.name: clip for clip in shard.clips}
        split = shard.clips[0].split
        for window in content["clips"]:
            rows = packed[split]
            new = bool(rows) and rows[-1][1].name != window["clip"]
            rows.append((rows[-1][0] + new if rows else 0, by_name[window["clip"]], window))
            selection.repaired += [{"clip": window["clip"], "why": repair} for repair in window["repairs"]]
        if content["clips"]:
            for modality, digest in content["files"].items():
                name = f"{split}_{modality}-{numbers[split]:04d}.npy"
                _link(shard.folder / f"{modality}.npy", folder / name)
                known[name] = digest
            numbers[split] += 1
    return packed


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it if the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _check_classes(listed: list[str] | None, settings: Mapping[str, Any], raw: Path) -> None:
    """Check that the classes of the configuration are those of the dataset's lists.

    Raises:
        UserError: A class has another name or place in the lists.
    """
    for label, (ours, theirs) in enumerate(zip(settings["classes"] or [], listed or [], strict=False)):
        if ours != theirs:
            raise UserError(
                f"{raw}: class {label} is {theirs!r} in the lists, but {ours!r} in classes of config/datasets/"
                f"{settings['dataset']}.yaml; correct it there"
            )


def _by_name(entry: Entry) -> tuple[str, str]:
    return entry["clip"], entry["why"]


def run(recipe: dict[str, Any], out: Path, threads: int = 1, device: str = "auto") -> None:
    """Publish a prepared dataset with `threads` worker processes; a GPU is taken only for a detector that uses it."""
    views = recipe["settings"]["prepare"]["views"].values()
    methods = registry.methods_of(("view", view) for view in views)
    uses_gpu = any(getattr(registry.find(kind, name), "uses_gpu", False) for kind, name in methods)
    with take_device(device if uses_gpu else "cpu", RESUME) as place:
        prepare(recipe, out, threads, str(place))


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
