"""Folders of prepared data, one for each modality, or one for several."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREPARATION = "preparation.json"
"""File beside a run's weights that says how clips become the run's input."""
Folders = Mapping[str, Path]
"""{modality: the prepared folder that holds it}."""


def folders_of(inputs: Mapping[str, str], prefix: str = "data_") -> dict[str, Path]:
    """Return {modality: folder} of a step's inputs `data_<modality>`."""
    return {role.removeprefix(prefix): Path(path) for role, path in inputs.items() if role.startswith(prefix)}


def read_description(folders: Folders) -> dict[str, Any]:
    """Return the `dataset.json` of some modalities as one.

    Returns:
        {"num_classes", "classes", "modalities": {modality: {"shape"}}, "splits": {split: number of clips}, ...}; what
        modalities differ in is of the first.
    """
    described = {
        name: json.loads((folder / "dataset.json").read_text(encoding="utf-8")) for name, folder in folders.items()
    }
    first: dict[str, Any] = next(iter(described.values()))
    return {**first, "modalities": {name: each["modalities"][name] for name, each in described.items()}}


def files_of(folder: Path, split: str, modality: str) -> list[Path]:
    """Return the `.npy` files of a split's clips, in order: `<split>_<modality>.npy`, or its shards."""
    whole = folder / f"{split}_{modality}.npy"
    return [whole] if whole.exists() else sorted(folder.glob(f"{split}_{modality}-*.npy"))


def numbers_of(folder: Path, split: str) -> NDArray[np.int64]:
    """Return the numbers of a split's clips, [n], ascending; a clip has the same number in all modalities."""
    numbers: NDArray[np.int64] = np.load(folder / f"{split}_clip.npy")
    return numbers


def describe_preparation(folders: Folders) -> str:
    """Return the content of `PREPARATION`: the description of the data of a run, and the recipes that prepared them."""
    manifests = {name: json.loads((folder / "manifest.json").read_text("utf-8")) for name, folder in folders.items()}
    recipes = {name: manifest["recipe"] for name, manifest in manifests.items()}
    content = {"description": read_description(folders), "recipes": recipes}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"
