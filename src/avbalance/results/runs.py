"""The runs and probes behind a table or figure, each verified when it is first read."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.store import open_artifact

Predictions = dict[str, NDArray[Any]]


class Runs:
    """Opens each artifact once and remembers its manifest; all on one data set must have been tested on the same clips.

    Attributes:
        manifests: {folder: manifest} of every artifact read.
    """

    def __init__(self) -> None:
        self.manifests: dict[str, dict[str, Any]] = {}
        self._test: dict[str, Predictions] = {}
        self._predictions: dict[str, Predictions] = {}

    def predictions(self, folder: str) -> Predictions | None:
        """Labels and what the model said, by name; None where the run failed and left no folder."""
        if folder not in self._predictions:
            if not self._verify(folder):
                return None
            with np.load(Path(folder) / "predictions.npz", allow_pickle=False) as file:
                found = dict(file)
            known = self._test.setdefault(self.data(folder), {})
            for name in found:
                is_of_clips = name in ("test_label", "test_video") or name.startswith("trials_")
                if is_of_clips and not np.array_equal(known.setdefault(name, found[name]), found[name]):
                    raise UserError(
                        f"{folder}: its test clips are not those of the other runs on {self.data(folder)}; remove it "
                        "and make it again with 'snakemake --cores'"
                    )
            self._predictions[folder] = found
        return self._predictions[folder]

    def data(self, folder: str) -> str:
        """The prepared data set behind a run or probe that was read."""
        return str(self.manifests[folder]["recipe"]["inputs"]["data"])

    def history(self, folder: str) -> dict[str, NDArray[np.float64]]:
        """{column of history.csv: [epochs]}."""
        self._verify(folder)
        with (Path(folder) / "history.csv").open(encoding="utf-8") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
        return {name: np.array([float(line[name]) for line in lines]) for name in reader.fieldnames or ()}

    def weight_norms(self, folder: str) -> dict[str, NDArray[np.float64]]:
        """{stream: [epochs, classes]}, the length of each class's weight; none of a head without such weights."""
        self._verify(folder)
        file = Path(folder) / "weight_norms.npz"
        if not file.exists():
            return {}
        with np.load(file, allow_pickle=False) as norms:
            return {name.removeprefix("weight_norm_"): norms[name].astype(np.float64) for name in norms}

    def metrics(self, folder: str) -> dict[str, Any]:
        """The run's metrics.json."""
        content: dict[str, Any] = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))
        return content

    def provenance(self) -> dict[str, Any]:
        """Of everything read: number of runs, their seconds, commits, versions, devices, test clips, and the
        largest entry of a probe's gradient at its solution (None without probes)."""
        runs = [manifest["provenance"] for manifest in self.manifests.values() if manifest["recipe"]["step"] == "train"]
        probes = [folder for folder, manifest in self.manifests.items() if manifest["recipe"]["step"] == "probe"]
        gradients = [norm for folder in probes for norm in _gradient_norms(self.metrics(folder))]
        made = [manifest["provenance"] for manifest in self.manifests.values()]
        return {
            "num_runs": len(runs),
            "seconds": round(sum(run["seconds"] for run in runs), 1),
            "num_clips": sum(len(test["test_label"]) for test in self._test.values()) or None,
            "probe_gradient": max(gradients, default=None),
            "commits": sorted({each["commit"] for each in made}),
            "devices": sorted({each["device"] for each in made}),
            "versions": {
                name: sorted({each["versions"][name] for each in made if name in each["versions"]})
                for name in sorted({name for each in made for name in each["versions"]})
            },
        }

    def _verify(self, folder: str) -> bool:
        if folder not in self.manifests:
            if not Path(folder).exists():
                return False
            self.manifests[folder] = open_artifact(Path(folder))
        return True


def _gradient_norms(figures: dict[str, Any]) -> list[float]:
    """Of every probe in a probe's metrics.json: one a modality, or one a layer and moment."""
    if "gradient_norm" in figures:
        return [figures["gradient_norm"]]
    return [norm for probe in figures.values() for norm in _gradient_norms(probe)]
