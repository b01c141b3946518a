"""What holds for every dataset: its miniature goes from generated files to batches, and its real files are named."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from avbalance import plan, registry, store
from avbalance.configuration.project import Project, read_project, sources_of
from avbalance.data.clips import Reader
from avbalance.data.packed import Split
from avbalance.data.prepared import folders_of, read_description
from avbalance.planning.artifacts import Artifact
from avbalance.prepare import audit, media, pack, select_clips
from avbalance.prepare.download import download

ROOT = Path(__file__).parents[2]
MINIATURE = yaml.safe_load((ROOT / "config/scales/miniature.yaml").read_text(encoding="utf-8"))["datasets"]
DATASETS = sorted(path.stem for path in (ROOT / "config/datasets").glob("*.yaml"))
MADE_HERE = [name for name in DATASETS if name in MINIATURE]
SOURCES = {
    name: yaml.safe_load((ROOT / f"config/datasets/{name}.yaml").read_text("utf-8"))["sources"] for name in MADE_HERE
}
GENERATED = [name for name, sources in SOURCES.items() if not isinstance(sources, str)]
"""Datasets whose files are generated for them; others share them."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def project() -> Project:
    return read_project(ROOT, {"scale": "miniature"})


class Prepared:
    """The miniatures in a folder of their own, each made when it is first asked for; datasets may share their files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.artifacts = plan.make(ROOT, {"scale": "miniature", "datasets": MADE_HERE}).artifacts
        self.named = {(artifact.kind, artifact.slug): artifact for artifact in self.artifacts.values()}

    def raw(self, name: str) -> Artifact:
        """The generated files of a dataset."""
        raw = self.artifacts[next(iter(self.prep(name).values())).inputs["raw"]]
        if not (self.folder / raw.path).exists():
            download(raw.recipe, self.folder / raw.path)
        return raw

    def prep(self, name: str) -> dict[str, Artifact]:
        """{modality: its prepared clips} of a dataset."""
        folders = folders_of(self.named["audit", name].inputs)
        return {modality: self.artifacts[str(path)] for modality, path in folders.items()}

    def prepare(self, name: str) -> dict[str, Path]:
        """A dataset's {modality: prepared folder}, relative to the current one."""
        self.raw(name)
        for prep in dict.fromkeys(self.prep(name).values()):
            if prep.step == "pack":
                pack.pack(prep.recipe, Path(prep.path))
                continue
            selection = self.artifacts[prep.inputs["selection"]]
            if not Path(selection.path).exists():
                select_clips.publish_selection(selection.recipe, Path(selection.path))
            media.prepare(prep.recipe, Path(prep.path), 1)
        return {modality: Path(prep.path) for modality, prep in self.prep(name).items()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared(tmp_path_factory.mktemp("datasets"))


@pytest.mark.parametrize("name", MADE_HERE)
def test_a_miniature_becomes_batches_and_an_audit(
    name: str, project: Project, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared.folder)
    folders = prepared.prepare(name)
    store.open_artifacts(folders.values())
    described, spec = read_description(folders), project.datasets[name]
    assert list(described["modalities"]) == spec.modalities
    classes = set()
    for split in ("train", "val", "test"):
        data = Split(folders, split, CPU)
        assert 0 < len(data) <= described["splits"][split]
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
    for folder in folders.values():
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        assert all(entry["why"] for entry in report["dropped"])
    assert spec.title in audit.render(prepared.named["audit", name].recipe)


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


@pytest.mark.parametrize("name", GENERATED)
def test_the_same_seed_gives_the_same_files(name: str, prepared: Prepared, tmp_path: Path) -> None:
    raw = prepared.raw(name)
    download(raw.recipe, tmp_path / "again")
    files = [store.read_manifest(folder)["files"] for folder in (prepared.folder / raw.path, tmp_path / "again")]
    assert files[0] == files[1]
    assert len(files[0]) > 3
