"""Turn one modality of a dataset's clips into packed arrays: `python -m avbalance.prepare.media --recipe R --out DIR`.

The shards of the selected clips (`make_shards`) that other jobs have not made are made here, by worker processes; the
result does not depend on their number. All are then gathered. A shard and the artifact that uses it share one copy on
disk.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance import cli, registry, store
from avbalance.prepare import dataset_files
from avbalance.prepare.make_shards import RESUME, make_all, models_of, plan_shards, take
from avbalance.prepare.select_clips import read_summary
from avbalance.prepare.selection import SPLITS
from avbalance.prepare.shard import Shard, load_view
from avbalance.prepare.views.base import AudioView, VisualView

CLIP_COLUMNS = ("clip", "start_seconds", "seconds", "num_frames", "sha256", "repairs")


def prepare(recipe: dict[str, Any], out: Path, num_workers: int, device: str = "cpu", resume: Path = RESUME) -> None:
    """Publish the packed arrays of a recipe.

    Args:
        recipe: Its settings are {"dataset", "task", "num_classes", "classes", "modality", "view": {name: options},
            "clip_seconds", "windows", "max_seconds", "max_dropped"}, as in `schema.Dataset` and `schema.Preparation`;
            its inputs {"raw": folder, "selection": folder, "model_<name>": folder, ...}.
        out: The folder to publish.
        num_workers: Number of worker processes; 1 for none besides this process.
        device: Device of detectors that can use a GPU: cpu or cuda.
        resume: Folder of finished shards and of reports of failures.

    Raises:
        UserError: The raw files are damaged, a split is empty, or too many clips are dropped.
        OSError: The disk is full. Finished shards are kept.
    """
    settings, selection = recipe["settings"], Path(recipe["inputs"]["selection"])
    view = load_view(settings["view"], models_of(recipe), device)
    planned = list(plan_shards(recipe, resume / "shards", device))
    report: dict[str, Any] = json.loads((selection / "report.json").read_text(encoding="utf-8"))
    known: dict[str, str] = {}
    kept = resume / f"{out.name}-report.json"
    with store.publish(out, recipe, known) as folder:
        gathered = Gathered(folder, settings, known, report)
        made = make_all(planned, num_workers, resume / out.name)
        rows = (row for shard, content in zip(planned, made, strict=True) for row in gathered.add(shard, content))
        dataset_files.write_clips(folder, CLIP_COLUMNS, rows)
        for entries in (report["dropped"], report["repaired"]):
            entries.sort(key=dataset_files.by_clip)
        dataset_files.write_report(folder, report, report["num_clips"], settings["max_dropped"], kept)
        counts = gathered.write_labels()
        dataset_files.check_splits(counts, Path(recipe["inputs"]["raw"]), kept)
        listed = read_summary(selection)["trials"]
        trials = dataset_files.write_trials(folder, selection, listed, gathered.numbers("test"))
        described = {settings["modality"]: describe(view, gathered.sums)}
        about = {"trials": trials} if trials else {}
        dataset_files.write_description(folder, settings, described, counts, about)
    kept.unlink()


class Gathered:
    """Files of a prepared modality, which shards fill one after another.

    Clips are numbered: the k-th of w windows of the selected clip at place p of its split has the number p w + k, in
    every modality, although each may lack clips.

    Attributes:
        labels: {split: the label, or labels, of each packed clip}.
        videos, clips: {split: the place of its selected clip; its number}.
        sums: Number of values, sum and sum of squares of the training clips of sound.

    Args:
        folder: Folder to fill.
        settings: As in `prepare`.
        known: Takes {file: sha256} of the arrays.
        report: Takes what became of the clips.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], known: dict[str, str], report: Mapping[str, Any]
    ) -> None:
        self.folder, self.settings, self.known, self.report = folder, settings, known, report
        self.labels: dict[str, list[int | tuple[int, ...]]] = {split: [] for split in SPLITS}
        self.videos: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.clips: dict[str, list[int]] = {split: [] for split in SPLITS}
        self.medium = registry.find("view", settings["view"]).medium
        self.sums = np.zeros(3)
        self._num_shards: Counter[str] = Counter()

    def add(self, shard: Shard, content: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
        """Take a shard with its `shard.json`; yield the rows of clips.csv: split, index, label and `CLIP_COLUMNS`."""
        split = shard.stretch.split
        listed = {each.clip.name: (place, each) for place, each in enumerate(shard.stretch.read(), shard.stretch.first)}
        self.report["dropped"].extend(content["dropped"])
        for number, window in enumerate(content["clips"]):
            place, (clip, checksums) = listed[window["clip"]]
            self.labels[split].append(clip.label)
            self.videos[split].append(place)
            self.clips[split].append(place * shard.num_windows + number % shard.num_windows)
            self.report["repaired"].extend({"clip": clip.name, "why": repair} for repair in window["repairs"])
            file = getattr(clip, self.medium)
            values = [window[name] for name in ("start_seconds", "seconds", "num_frames")]
            label = clip.label if isinstance(clip.label, int) else " ".join(map(str, clip.label))
            repairs = "; ".join(window["repairs"])
            yield split, len(self.clips[split]) - 1, label, clip.name, *values, checksums[file], repairs
        if split == "train":
            self.sums += content["sums"]
        if content["clips"]:
            for name, digest in content["files"].items():
                own = f"{split}_{self.settings['modality']}-{self._num_shards[split]:04d}{Path(name).suffix}"
                _link(shard.folder / name, self.folder / own)
                self.known[own] = digest
            self._num_shards[split] += 1

    def numbers(self, split: str) -> dict[int, int]:
        """{place of a selected clip: number of its first window} of the packed clips of a split."""
        pairs = zip(reversed(self.videos[split]), reversed(self.clips[split]), strict=True)
        return dict(pairs)

    def write_labels(self) -> dict[str, int]:
        """Write the labels, videos and numbers of each split; return {split: number of its clips}."""
        for split in SPLITS:
            labels = dataset_files.label_array(self.labels[split], self.settings, self.folder)
            np.save(self.folder / f"{split}_label.npy", labels)
            np.save(self.folder / f"{split}_video.npy", np.array(self.videos[split], dtype=np.int64))
            np.save(self.folder / f"{split}_clip.npy", np.array(self.clips[split], dtype=np.int64))
        return {split: len(clips) for split, clips in self.clips.items()}


def describe(view: VisualView | AudioView, sums: NDArray[np.float64]) -> dict[str, Any]:
    """Return a modality's entry in dataset.json: its shape, and how a batch of it is standardised.

    Args:
        sums: As of `Gathered`.
    """
    if isinstance(view, VisualView):
        pictures = {"whole": view.whole, "vectors": view.vectors}
        return {"shape": list(view.shape), "mean": list(view.mean), "std": list(view.std), "pictures": pictures}
    described: dict[str, Any] = {"shape": list(view.shape)}
    if view.normalise == "dataset":
        count, total, squares = sums
        mean = total / count
        described |= {"mean": [float(mean)], "std": [float(np.sqrt(max(squares / count - mean**2, 1e-12)))]}
    return described


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it if the file system cannot link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def run(recipe: dict[str, Any], out: Path, threads: int = 1, device: str = "auto") -> None:
    """Publish a prepared modality with `threads` worker processes; a GPU is taken only for a detector that uses it."""
    with take(device, recipe) as place:
        prepare(recipe, out, threads, str(place))


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
