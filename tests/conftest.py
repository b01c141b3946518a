"""What several tests need."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import registered
from avbalance import plan, store
from avbalance.check import kind_of
from avbalance.configuration.project import read_project
from avbalance.configuration.schema import Training
from avbalance.errors import UserError
from avbalance.planning.artifacts import Plan
from avbalance.planning.data import model_of
from avbalance.prepare.download import download

torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
NO_PARAMETERS = SimpleNamespace(params={})
TWO_ROWS = """
title: Two rows
paper: ours
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}
rows:
  concat: {}
  film: {fusion: film}
columns: [accuracy, acc_audio_probe]
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--method", help="module:Class on which the property tests of its kind run, and nothing else")


def pytest_configure(config: pytest.Config) -> None:
    if method := config.getoption("method"):
        registered.METHOD = (kind_of(method), method)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name != "workflow")  # long tests first: workers then end together
    if registered.METHOD is not None:
        name = registered.METHOD[1]
        items[:] = [item for item in items if name in getattr(item, "callspec", NO_PARAMETERS).params.values()]


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder with the official files."""
    folder = os.environ.get("AVBALANCE_MIRROR")
    if not folder:
        pytest.skip("AVBALANCE_MIRROR is not set: no official files here")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of RetinaFace's MobileNet, as a recipe's input holds them."""
    folder = tmp_path_factory.mktemp("mobilenet")
    recipe = model_of(Plan(read_project(ROOT, {})), "retinaface_mobilenet").recipe
    try:
        download(recipe, folder / "raw", os.environ.get("AVBALANCE_MIRROR"), folder / "cache")
    except UserError as error:
        pytest.skip(f"no weights of RetinaFace's MobileNet: {error}")
    return folder / "raw"


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A small prepared data set: 8 x 8 images and 160 samples of sound, 3 classes, 60 / 21 / 30 clips."""
    rng = np.random.default_rng(0)
    patterns = {"visual": rng.normal(size=(3, 1, 8, 8)), "audio": rng.normal(size=(3, 160))}
    sizes = {"train": 60, "val": 21, "test": 30}
    with store.publish(tmp_path / "prep", {"step": "prepare.pack"}) as out:
        for split, size in sizes.items():
            labels = np.arange(size) % 3
            np.save(out / f"{split}_label.npy", labels)
            np.save(out / f"{split}_clip.npy", np.arange(size))
            for modality, pattern in patterns.items():
                clips = pattern[labels] + 1.5 * rng.normal(size=(size, *pattern.shape[1:]))
                np.save(out / f"{split}_{modality}.npy", clips.astype(np.float16))
        shapes = {modality: {"shape": pattern.shape[1:]} for modality, pattern in patterns.items()}
        description = {"name": "patterns", "num_classes": 3, "modalities": shapes, "splits": sizes}
        (out / "dataset.json").write_text(json.dumps(description), encoding="utf-8")
    return tmp_path / "prep"


@pytest.fixture
def recipe(prepared: Path) -> Callable[..., dict[str, Any]]:
    """Recipes of runs on `prepared`; keywords replace settings, `training` is merged."""

    def make(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
        training = Training(epochs=6, batch_size=16, learning_rate=0.003, patience=6, precision="float32").model_dump()
        settings: dict[str, Any] = {
            "dataset": "patterns",
            "encoder": {"audio": "conv1net", "visual": "conv2net"},
            "fusion": "concat",
            "head": "linear",
            "loss": "joint",
            "balancer": "joint",
            "seed": 0,
            "training": {**training, **changes.pop("training", {})},
        }
        return {
            "step": "train",
            "name": "run-0",
            "settings": {**settings, **changes},
            "inputs": {f"data_{modality}": str(prepared) for modality in {**settings, **changes}["encoder"]},
        }

    return make


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    """A table of two rows and two seeds: raw, prep, four runs, four probes, the table. Nothing is there yet."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    (tmp_path / "config" / "tables" / "mine.yaml").write_text(TWO_ROWS, encoding="utf-8")
    return plan.make(tmp_path, {"scale": "miniature", "tables": "mine", "seeds": [0, 1], "device": "cpu"})
