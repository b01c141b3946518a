"""Runs and probes behind a table, a figure or the page, each verified when it is opened."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.data.prepared import folders_of
from avbalance.errors import UserError
from avbalance.store import open_artifact

Predictions = Mapping[str, NDArray[Any]]
SPLITS = ("train", "seen", "val", "test")
"""Prefixes of a run's arrays; `seen` are the clips of train whose logits it stores."""
PREDICTIONS = "predictions.npz"
"""File of a run's predictions."""


class Arrays(Predictions):
    """The arrays of an .npz file by name; each is read when it is first asked for.

    Args:
        file: The file.
        chosen: {split: [n], places of the clips that count}; of a split that is absent here all count. Trials of other
            clips do not count.
    """

    def __init__(self, file: Path, chosen: Mapping[str, NDArray[np.int64]] | None = None) -> None:
        self.file, self.chosen = file, chosen or {}
        self._arrays: dict[str, NDArray[Any]] = {}
        with np.load(file, allow_pickle=False) as content:
            self._names = list(content.files)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            if name not in self._names:
                raise KeyError(name)
            with np.load(self.file, allow_pickle=False) as content:
                self._arrays[name] = self._choose(name.partition("_")[0], content[name])
        return self._arrays[name]

    def _choose(self, split: str, array: NDArray[Any]) -> NDArray[Any]:
        if split == "trials" and "test" in self.chosen:
            kept = array[np.isin(array[:, :2], self.chosen["test"]).all(axis=1)]
            return np.column_stack([np.searchsorted(self.chosen["test"], kept[:, :2]), kept[:, 2]])
        return array[self.chosen[split]] if split in self.chosen else array

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Run:
    """The files of one run, or of one artifact of probes.

    Attributes:
        manifest: The artifact's manifest.

    Args:
        folder: Where the artifact lies.
        runs: The runs with which it is compared; None to see it alone.

    Raises:
        UserError: The artifact is damaged.
    """

    def __init__(self, folder: Path, runs: "Runs | None" = None) -> None:
        self.folder, self._runs = folder, runs
        self.manifest = open_artifact(folder)

    @property
    def dataset(self) -> str:
        """The dataset of its test clips."""
        return str(self.settings["dataset"])

    @property
    def data(self) -> dict[str, Path]:
        """{modality: folder of the prepared clips}; of an ensemble, which reads runs alone, those of its members."""
        return folders_of(self.settings.get("data") or self.manifest["recipe"]["inputs"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the recipe."""
        settings: dict[str, Any] = self.manifest["recipe"]["settings"]
        return settings

    @cached_property
    def predictions(self) -> Predictions:
        """Labels and predictions by name, of the clips that all compared runs have.

        Raises:
            UserError: The labels of these clips are not those of the other runs on this dataset.
        """
        arrays = Arrays(self.folder / PREDICTIONS)
        return arrays if self._runs is None else self._runs.align(self, arrays)

    def check_clips(self) -> None:
        """Read the predictions, if only to compare the test clips with those of the other runs."""
        _ = self.predictions

    @cached_property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """{column of history.csv: [epochs]}."""
        with (self.folder / "history.csv").open(encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
        return {name: np.array([float(line[name]) for line in lines]) for name in reader.fieldnames or ()}

    @cached_property
    def weight_norms(self) -> dict[str, NDArray[np.float32]]:
        """{stream: [epochs, classes]}, lengths of the class weights; empty for a head without such weights."""
        file = self.folder / "weight_norms.npz"
        arrays: Predictions = Arrays(file) if file.exists() else {}
        return {name.removeprefix("weight_norm_"): arrays[name] for name in arrays}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of metrics.json."""
        content: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
        return content


class Runs:
    """Opens each run once. Runs on one dataset are compared clip by clip, on the clips that all of them have.

    Modalities of a dataset may lack clips that others have, so runs on different modalities have different clips.

    Attributes:
        opened: {folder: run} of every artifact opened.

    Args:
        compared: Folders of the runs and probes that are compared; those that do not exist have failed.
    """

    def __init__(self, compared: Iterable[str] = ()) -> None:
        self.opened: dict[str, Run] = {}
        self._compared = list(dict.fromkeys(compared))
        self._known: dict[str, dict[str, NDArray[Any]]] = {}
        self._num_apart: dict[str, int] = {}

    @cached_property
    def _common(self) -> dict[str, dict[str, NDArray[np.int64]]]:
        """{dataset: {split: numbers of the clips that all compared runs have}}."""
        common: dict[str, dict[str, NDArray[np.int64]]] = {}
        for run in filter(None, map(self.find, self._compared)):
            if (run.folder / PREDICTIONS).exists():
                arrays, clips = Arrays(run.folder / PREDICTIONS), common.setdefault(run.dataset, {})
                for split in (split for split in SPLITS if f"{split}_clip" in arrays):
                    own = arrays[f"{split}_clip"]
                    clips[split] = np.intersect1d(clips.get(split, own), own)
        return common

    def align(self, run: Run, arrays: Arrays) -> Arrays:
        """Return a run's arrays of the clips that all compared runs have.

        Raises:
            UserError: Their labels are not those of the other runs.
        """
        chosen = {}
        for split, clips in self._common.get(run.dataset, {}).items():
            if (name := f"{split}_clip") in arrays and not np.array_equal(arrays[name], clips):
                chosen[split] = np.flatnonzero(np.isin(arrays[name], clips))
                if split == "test":
                    self._num_apart[run.dataset] = max(
                        self._num_apart.get(run.dataset, 0), len(arrays[name]) - len(clips)
                    )
        arrays = Arrays(arrays.file, chosen)
        known = self._known.setdefault(run.dataset, {})
        for name in arrays:
            is_of_clips = name in ("test_clip", "test_label", "test_video") or name.startswith("trials_")
            if is_of_clips and not np.array_equal(known.setdefault(name, arrays[name]), arrays[name]):
                raise UserError(
                    f"{run.folder}: its test clips are not those of the other runs on {run.dataset}; remove it and "
                    "make it again with 'snakemake --cores'"
                )
        return arrays

    def __getitem__(self, folder: str) -> Run:
        """The run in a folder."""
        if folder not in self.opened:
            self.opened[folder] = Run(Path(folder), self)
        return self.opened[folder]

    def find(self, folder: str) -> Run | None:
        """The run in a folder; None if it failed and left no folder."""
        return self[folder] if folder in self.opened or Path(folder).exists() else None

    def provenance(self) -> dict[str, Any]:
        """Number of runs, members of ensembles included, and their seconds; commits, versions, devices; test clips that
        all have, and the most that a run has besides; and the largest entry of a probe's gradient at its solution (None
        without probes)."""
        seconds: dict[str, float] = {}
        for folder, run in self.opened.items():
            if run.manifest["recipe"]["step"] == "train":
                seconds[folder] = run.manifest["provenance"]["seconds"]
            elif run.manifest["recipe"]["step"] == "combine":
                seconds |= run.metrics["members"]
        probes = [run for run in self.opened.values() if run.manifest["recipe"]["step"] == "probe"]
        gradients = [norm for probe in probes for norm in _gradient_norms(probe.metrics)]
        made = [run.manifest["provenance"] for run in self.opened.values()]
        return {
            "num_runs": len(seconds),
            "seconds": round(sum(seconds.values()), 1),
            "num_clips": sum(len(test["test_label"]) for test in self._known.values()) or None,
            "num_clips_apart": sum(self._num_apart.values()),
            "probe_gradient": max(gradients, default=None),
            "commits": sorted({each["commit"] for each in made}),
            "devices": sorted({each["device"] for each in made}),
            "versions": {
                name: sorted({each["versions"][name] for each in made if name in each["versions"]})
                for name in sorted({name for each in made for name in each["versions"]})
            },
        }


def _gradient_norms(metrics: dict[str, Any]) -> list[float]:
    """Gradient norms of every probe in a probe's metrics.json: one a modality, or one a layer and snapshot."""
    if "gradient_norm" in metrics:
        return [metrics["gradient_norm"]]
    return [norm for probe in metrics.values() for norm in _gradient_norms(probe)]
