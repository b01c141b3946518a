"""What holds for every dataset: its miniature goes from generated files to batches, and its real files are named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from avbalance import plan, registry, store
from avbalance.configuration.project import Project, read_project, sources_of
from avbalance.data.clips import Reader
from avbalance.data.packed import Split, read_description
from avbalance.prepare import audit, media, pack
from avbalance.prepare.download import download

ROOT = Path(__file__).parents[2]
MINIATURE = yaml.safe_load((ROOT / "config/scales/miniature.yaml").read_text(encoding="utf-8"))["datasets"]
DATASETS = sorted(path.stem for path in (ROOT / "config/datasets").glob("*.yaml"))
MADE_HERE = [name for name in DATASETS if name in MINIATURE]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def project() -> Project:
    return read_project(ROOT, {"scale": "miniature"})


def make(name: str) -> tuple[Path, dict[str, Any]]:
    """A miniature's prepared folder, by its steps in the current folder; and the recipe of its audit."""
    planned = plan.make(ROOT, {"scale": "miniature", "datasets": name})
    by_folder = {artifact.folder: artifact for artifact in planned.artifacts.values()}
    raw, prep = by_folder["raw"], by_folder["prep"]
    download(raw.recipe, Path(raw.path))
    if prep.recipe["step"] == "media":
        media.prepare(prep.recipe, Path(prep.path), 1)
    else:
        pack.pack(prep.recipe, Path(prep.path))
    return Path(prep.path), by_folder["audit/miniature"].recipe


@pytest.mark.parametrize("name", MADE_HERE)
def test_a_miniature_becomes_batches_and_an_audit(
    name: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, recipe = make(name)
    store.open_artifact(folder)
    described, spec = read_description(folder), project.datasets[name]
    assert list(described["modalities"]) == spec.modalities
    classes = set()
    for split in ("train", "val", "test"):
        data = Split(folder, split, spec.modalities, CPU)
        assert len(data) == described["splits"][split] > 0
        batch = data.batch(np.arange(min(len(data), 16)))
        for modality, array in batch.inputs.items():
            assert list(array.shape[1:]) == described["modalities"][modality]["shape"]
            assert array.isfinite().all()
            assert array.std() > 0.01, modality
        if spec.task == "multi_label":
            assert data.labels.shape[1] == spec.num_classes
            assert set(np.unique(data.labels)) == {0, 1}
            found = set(np.flatnonzero(data.labels.any(axis=0)).tolist())
        else:
            found = set(data.labels.tolist())
        if split == "train":
            classes = found
        elif (spec.task, split) != ("verification", "test"):
            assert found <= classes
    assert classes <= set(range(spec.num_classes))
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert all(entry["why"] for entry in report["dropped"])
    assert spec.title in audit.render(recipe)


@pytest.mark.parametrize("name", DATASETS)
def test_licence_citation_and_reader_are_there(name: str, project: Project) -> None:
    spec = project.datasets[name]
    assert spec.licence
    assert spec.citation
    reader = registry.load("data", spec.reader)
    assert isinstance(reader, Reader) == (spec.prepare is not None)
    for source in sources_of(project.datasets, name).values():
        for file in source.files:
            assert all(url.startswith(("https://", "http://")) for url in file.urls)


def generators() -> list[str]:
    """Datasets whose files are generated for them; others share them."""
    found = read_project(ROOT, {"scale": "miniature"}).datasets
    return [name for name in MADE_HERE if not isinstance(found[name].sources, str)]


@pytest.mark.parametrize("name", generators())
def test_the_same_seed_gives_the_same_files(name: str, project: Project, tmp_path: Path) -> None:
    generator = sources_of(project.datasets, name)["generated"].generator
    assert generator is not None
    digests = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        registry.load("data", generator).generate(folder)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        digests.append([(str(path.relative_to(folder)), store.sha256(path)) for path in paths])
    assert digests[0] == digests[1]
    assert len(digests[0]) > 10
