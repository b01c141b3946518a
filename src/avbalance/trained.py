"""Finished runs, to predict clips that no dataset has: `avbalance.load`."""

import json
from collections.abc import Mapping
from contextlib import closing
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance import metrics, store
from avbalance.data.clips import Clip, ClipError
from avbalance.data.prepared import PREPARATION
from avbalance.data.raw import RawFiles
from avbalance.data.seen import Seen
from avbalance.data.stored import open_stored
from avbalance.errors import UserError
from avbalance.evaluate import predict
from avbalance.model import Model, lay_out
from avbalance.prepare.shard import ARRAY, load_view, needed, render, writer_of
from avbalance.prepare.views.base import AudioView, VisualView
from avbalance.prepare.windows import inspect, windows_of
from avbalance.training.pretrained import load_trained
from avbalance.types import Batch

Media = str | PathLike[str] | Mapping[str, Any]


class Trained:
    """A finished run.

    Attributes:
        model: Model in evaluation mode, without gradients: {modality: [clips, *shape]} -> `Output`.
        classes: Names of the classes, in the order of logits.
        task: `single_label`, `multi_label` or `verification`.
        settings: Settings of the run: encoders, fusion, head, training.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        content = json.loads((weights / PREPARATION).read_text(encoding="utf-8"))
        description, self._recipes = content["description"], content["recipes"]
        self.model: Model = load_trained(weights, description, device)
        lay_out(self.model)  # as in training, for the same bits
        self.classes: list[str] = description["classes"]
        self.settings: dict[str, Any] = store.read_manifest(weights)["recipe"]["settings"]
        self.task = description.get("task", "single_label")
        self._shapes = {name: tuple(entry["shape"]) for name, entry in description["modalities"].items()}
        self._seen, self._device = Seen(description["modalities"], device), device
        self._root = weights.absolute().parent.parent.parent
        self._views: dict[str, VisualView | AudioView] = {}

    def prepare(self, media: Media) -> dict[str, Tensor]:
        """Turn a clip into the model's input: the same windows, views, crops and normalisation as in evaluation.

        Args:
            media: File with pictures and sound. Or a file for each, {"visual": file, "audio": file}, with "landmarks"
                for the detector `given`, and with "start" and "end" in seconds for a part of the files. Or, for a
                dataset whose reader gives arrays, {modality: array [*shape]}.

        Returns:
            {modality: [windows, *shape]}.

        Raises:
            UserError: The clip cannot be used, or lacks a modality.
        """
        if not isinstance(media, Mapping):
            media = {"visual": media, "audio": media}
        inspect.cache_clear()  # for a file may have changed since the last call
        arrays = {name: self._array(name, media) for name in self.model.encoders}
        if len({len(array) for array in arrays.values()}) > 1:
            raise UserError(f"modalities have different numbers of windows: {_lengths(arrays)}")
        inputs = {name: torch.from_numpy(array).to(self._device).float() for name, array in arrays.items()}
        return self._seen(inputs, np.arange(len(next(iter(arrays.values())))))

    def predict(self, media: Media) -> dict[str, float]:
        """Return {class: probability} of a clip, the mean over its windows as column `video_accuracy` takes it.

        Args:
            media: As of `prepare`.

        Raises:
            UserError: As of `prepare`; or the run verifies persons, so that test clips belong to no class.
        """
        if self.task == "verification":
            raise UserError("this run verifies persons: compare outputs of model.head.embedding(output.streams)")
        inputs = self.prepare(media)
        count = len(next(iter(inputs.values())))
        labels = torch.zeros((count, len(self.classes)) if self.task == "multi_label" else count)
        batch = Batch(inputs, labels.to(self._device), torch.arange(count))
        precision = getattr(torch, self.settings["training"]["precision"])
        logits = predict(self.model, [batch], precision)["logits"]
        probabilities, _ = metrics.by_video(logits, labels.numpy().astype(np.int64), np.zeros(count, dtype=np.int64))
        return dict(zip(self.classes, probabilities[0].tolist(), strict=True))

    def _array(self, modality: str, media: Mapping[str, Any]) -> NDArray[Any]:
        """A clip of one modality as it would be stored, [windows, *stored shape]."""
        recipe = self._recipes[modality]
        if recipe["step"] != "media":
            if modality not in media:
                raise UserError(f"media: no {modality!r}; give {{modality: array}} with {', '.join(self._shapes)}")
            array = np.array(media[modality])
            if array.shape != self._shapes[modality]:
                expected, found = list(self._shapes[modality]), list(array.shape)
                raise UserError(f"media: {modality!r} must be an array of shape {expected}, found {found}")
            return array[None]
        settings = recipe["settings"]
        view = self._view(modality, recipe)
        if view.medium not in media:
            raise UserError(f"media: no {view.medium!r}, from which {modality!r} is made; found {', '.join(media)}")
        names = [name for name in ("visual", "audio", "landmarks") if name in media]
        files: dict[str, Any] = {name: str(Path(media[name]).absolute()) for name in names}
        for file in files.values():
            if not Path(file).is_file():
                raise UserError(f"{file}: does not exist")
        part = {name: media[name] for name in ("start", "end") if name in media}
        clip = needed(Clip(files[view.medium], "test", 0, **files, **part), view.medium, settings["clip_seconds"])
        num_windows = settings["windows"].get("test", 1)
        how = (settings["clip_seconds"], num_windows, settings["max_seconds"])
        try:
            windows = list(windows_of(clip, RawFiles(Path("/")), view, *how))
        except ClipError as error:
            raise UserError(f"{files[view.medium]}: {error}") from error
        with TemporaryDirectory() as folder:  # written and read as in preparing, for the same rounding
            path = Path(folder) / ARRAY
            with closing(writer_of(view, path)) as file:
                file.append(render(view, windows))
            return open_stored([path]).rows(np.arange(len(windows)))

    def _view(self, modality: str, recipe: Mapping[str, Any]) -> VisualView | AudioView:
        if modality not in self._views:
            models = {
                role.removeprefix("model_"): self._root / folder
                for role, folder in recipe["inputs"].items()
                if role.startswith("model_")
            }
            for folder in models.values():
                store.open_artifact(folder)
            self._views[modality] = load_view(recipe["settings"]["view"], models)
        return self._views[modality]


def load(run: str | PathLike[str], row: str | None = None, seed: int = 0, device: str = "cpu") -> Trained:
    """Load a finished run; `avbalance.load` is this function.

    Args:
        run: Folder of a run or of its weights, `results/runs/<name>.<key>`; or, with `row`, a table,
            `results/tables/<scale>/<table>`.
        row: Row of the table.
        seed: Seed of the row's run.
        device: Such as `cpu` or `cuda`.

    Raises:
        UserError: The run or its weights do not exist or are damaged, or the row is not in the table.
    """
    folder = Path(run) if row is None else _run_of(Path(run), row, seed)
    weights = folder.parent.with_name("weights") / folder.name if folder.absolute().parent.name == "runs" else folder
    files = store.read_manifest(weights)["files"]
    if PREPARATION not in files:
        raise UserError(f"{weights}: holds no weights of a run that was trained to its end; found {', '.join(files)}")
    return Trained(weights, torch.device(device))


def _run_of(table: Path, row: str, seed: int) -> Path:
    """Folder of a row's run."""
    stamps = list(table.parent.glob(f"{table.name}.*.key"))
    if not stamps:
        raise UserError(f"{table}: no such table has been built; make it with 'snakemake --cores all'")
    inputs: dict[str, str] = json.loads(stamps[0].read_text(encoding="utf-8"))["inputs"]
    runs = {role.removesuffix(".run"): path for role, path in inputs.items() if role.endswith(".run")}
    if f"{row}.{seed}" not in runs:
        raise UserError(f"{table}: has no row {row!r} with seed {seed}; rows and seeds: {', '.join(runs)}")
    return table.parents[3] / runs[f"{row}.{seed}"]


def _lengths(arrays: Mapping[str, NDArray[Any]]) -> str:
    return ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
