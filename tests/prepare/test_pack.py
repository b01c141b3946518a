import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import registry, store
from avbalance.data.arrays import ArrayReader, Arrays, SplitArrays
from avbalance.errors import UserError
from avbalance.prepare import pack as step
from avbalance.prepare.pack import pack


class TwoClips(ArrayReader):
    """A reader whose train labels are given; drops one of `num_files`."""

    def __init__(self, labels: tuple[int, int], num_files: int = 100) -> None:
        self.labels = labels
        self.num_files = num_files

    def read_arrays(self, raw: Path) -> Arrays:
        assert (raw / "a").read_text(encoding="utf-8") == "raw"
        rows = np.arange(6.0).reshape(2, 3)
        split = SplitArrays("train", np.array(self.labels), {"audio": [rows[:1], rows[1:]]}, [("x", 5), ("y", 6)])
        dropped = [{"file": "a", "why": "silent"}]
        modalities = {"audio": {"shape": [3]}}
        return Arrays(modalities, "<f2", ("file", "take"), iter([split]), self.num_files, dropped, max_dropped=0.01)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    with store.publish(Path("raw"), {}) as folder:
        (folder / "a").write_text("raw", encoding="utf-8")
    settings = {"dataset": "two", "num_classes": 2, "reader": {"two_clips": {}}}
    return {"step": "pack", "name": "two", "settings": settings, "inputs": {"raw": "raw"}}


def read_with(monkeypatch: pytest.MonkeyPatch, reader: TwoClips) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, spec: reader)


def test_the_dataset_is_described_and_published(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    read_with(monkeypatch, TwoClips((0, 1)))
    pack(recipe, Path("prep"))
    assert store.open_artifact(Path("prep"))["recipe"] == recipe
    assert json.loads(Path("prep/dataset.json").read_text(encoding="utf-8")) == {
        "name": "two",
        "num_classes": 2,
        "classes": ["0", "1"],
        "modalities": {"audio": {"shape": [3]}},
        "splits": {"train": 2},
    }
    recipe["settings"]["classes"] = ["cat", "dog"]
    pack(recipe, Path("named"))
    assert json.loads(Path("named/dataset.json").read_text(encoding="utf-8"))["classes"] == ["cat", "dog"]


def test_chunks_labels_origins_and_the_report_are_written(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_with(monkeypatch, TwoClips((0, 1)))
    pack(recipe, Path("prep"))
    audio = np.load("prep/train_audio.npy")
    assert audio.dtype == np.float16
    assert audio.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.load("prep/train_label.npy").tolist() == [0, 1]
    clips = Path("prep/clips.csv").read_text(encoding="utf-8")
    assert clips == "split,index,label,file,take\ntrain,0,0,x,5\ntrain,1,1,y,6\n"
    report = json.loads(Path("prep/report.json").read_text(encoding="utf-8"))
    assert report == {"dropped": [{"file": "a", "why": "silent"}], "repaired": []}
    assert list(Path("results/resume").iterdir()) == []  # the copy is for failures


def test_damaged_raw_files_are_refused(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    read_with(monkeypatch, TwoClips((0, 1)))
    Path("raw/a").write_text("r4w", encoding="utf-8")
    with pytest.raises(UserError, match=r"raw/a has other bytes"):
        pack(recipe, Path("prep"))


def test_a_label_out_of_range_is_refused(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    read_with(monkeypatch, TwoClips((0, 2)))
    with pytest.raises(UserError, match=r"clip 'y 6' has the label 2, but num_classes is 2"):
        pack(recipe, Path("prep"))
    assert not Path("prep").exists()


def test_the_report_outlives_a_dataset_with_too_many_dropped_files(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_with(monkeypatch, TwoClips((0, 1), num_files=99))  # 1 / 99 > 1 %
    with pytest.raises(UserError, match=r"1 of 99 .* a: silent; all are listed in results/resume/prep-report\.json$"):
        pack(recipe, Path("prep"))
    assert not Path("prep").exists()
    report = json.loads(Path("results/resume/prep-report.json").read_text(encoding="utf-8"))
    assert report == {"dropped": [{"file": "a", "why": "silent"}], "repaired": []}


def test_the_command_line_packs_a_recipe(
    recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_with(monkeypatch, TwoClips((0, 1)))
    Path("recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["pack", "--recipe", "recipe.json", "--out", "prep"])
    step.main()
    assert store.open_artifact(tmp_path / "prep")
