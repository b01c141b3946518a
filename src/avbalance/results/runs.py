"""Runs and probes behind a table, a figure or the page, each verified when it is opened."""

import csv
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.store import open_artifact

Predictions = Mapping[str, NDArray[Any]]


class Arrays(Predictions):
    """The arrays of an .npz file by name; each is read when it is first asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._arrays: dict[str, NDArray[Any]] = {}
        with np.load(file, allow_pickle=False) as content:
            self._names = list(content.files)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            if name not in self._names:
                raise KeyError(name)
            with np.load(self.file, allow_pickle=False) as content:
                self._arrays[name] = content[name]
        return self._arrays[name]

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
        known: {prepared dataset: its test clips} of the runs read so far; new ones are entered.

    Raises:
        UserError: The artifact is damaged.
    """

    def __init__(self, folder: Path, known: dict[str, dict[str, NDArray[Any]]]) -> None:
        self.folder, self._known = folder, known
        self.manifest = open_artifact(folder)

    @property
    def data(self) -> str:
        """The prepared dataset."""
        recipe = self.manifest["recipe"]
        return str(recipe["inputs"].get("data") or recipe["settings"]["data"])  # an ensemble reads runs alone

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the recipe."""
        settings: dict[str, Any] = self.manifest["recipe"]["settings"]
        return settings

    @cached_property
    def predictions(self) -> Predictions:
        """Labels and predictions by name.

        Raises:
            UserError: The test clips are not those of the other runs on this dataset.
        """
        arrays = Arrays(self.folder / "predictions.npz")
        known = self._known.setdefault(self.data, {})
        for name in arrays:
            is_of_clips = name in ("test_label", "test_video") or name.startswith("trials_")
            if is_of_clips and not np.array_equal(known.setdefault(name, arrays[name]), arrays[name]):
                raise UserError(
                    f"{self.folder}: its test clips are not those of the other runs on {self.data}; remove it "
                    "and make it again with 'snakemake --cores'"
                )
        return arrays

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
    """Opens each run once; all on one dataset must have been tested on the same clips.

    Attributes:
        opened: {folder: run} of every artifact opened.
    """

    def __init__(self) -> None:
        self.opened: dict[str, Run] = {}
        self._known: dict[str, dict[str, NDArray[Any]]] = {}

    def __getitem__(self, folder: str) -> Run:
        """The run in a folder."""
        if folder not in self.opened:
            self.opened[folder] = Run(Path(folder), self._known)
        return self.opened[folder]

    def find(self, folder: str) -> Run | None:
        """The run in a folder; None if it failed and left no folder."""
        return self[folder] if folder in self.opened or Path(folder).exists() else None

    def provenance(self) -> dict[str, Any]:
        """Number of runs, members of ensembles included, and their seconds; commits, versions, devices, test clips; and
        the largest entry of a probe's gradient at its solution (None without probes)."""
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
