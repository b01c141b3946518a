"""Bundles hold artifacts whole, unpack what is absent, and are refused when they are damaged."""

import json
from pathlib import Path

import pytest

from avbalance import bundles, store
from avbalance.errors import UserError

ROW = "results/bundles/row-concat.tar.xz"
RUNS = [f"results/runs/row-concat-s{seed}.0123456789ab" for seed in (0, 1)]
OTHER = "results/tuned/row-concat-ogm-s100.0123456789ab"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two runs of a row and a choice of another, bundled and gone."""
    for folder in (*RUNS, OTHER):
        with store.publish(tmp_path / folder, {"step": "train", "name": folder}) as out:
            (out / "numbers.txt").write_text(folder, encoding="utf-8")
    bundles.write(tmp_path, [*RUNS, OTHER])
    remove(tmp_path, *RUNS, OTHER)
    return tmp_path


def remove(root: Path, *folders: str) -> None:
    for folder in folders:
        for file in (root / folder).iterdir():
            file.unlink()
        (root / folder).rmdir()


def test_what_is_absent_is_unpacked_and_what_exists_stays(root: Path) -> None:
    assert {bundle: list(folders) for bundle, folders in bundles.listed(root).items()} == {
        ROW: RUNS,
        "results/bundles/row-concat-ogm.tar.xz": [OTHER],
    }
    (root / RUNS[0]).mkdir()  # Snakemake makes it before the step
    (root / RUNS[1]).mkdir()
    (root / RUNS[1] / "numbers.txt").write_text("my own", encoding="utf-8")
    assert bundles.unpack(root) == 2
    assert store.open_artifact(root / RUNS[0])["recipe"]["name"] == RUNS[0]
    assert [file.name for file in (root / RUNS[1]).iterdir()] == ["numbers.txt"]
    assert (root / RUNS[1] / "numbers.txt").read_text(encoding="utf-8") == "my own"
    assert list((root / store.RESUME).iterdir()) == []
    remove(root, RUNS[1])
    assert bundles.unpack(root) == 1
    assert bundles.unpack(root) == 0


def test_the_same_artifacts_give_the_same_bytes_and_other_bundles_are_removed(root: Path) -> None:
    before = (root / ROW).read_bytes()
    bundles.unpack(root)
    (root / bundles.RECORD).unlink()
    assert bundles.write(root, RUNS) == [root / ROW]
    assert (root / ROW).read_bytes() == before
    assert [file.name for file in (root / bundles.BUNDLES).iterdir()] == [Path(ROW).name]


def test_a_damaged_artifact_enters_no_bundle(root: Path) -> None:
    bundles.unpack(root)
    (root / RUNS[0] / "numbers.txt").write_text("damaged", encoding="utf-8")
    with pytest.raises(UserError, match=r"numbers.txt has 7 bytes"):
        bundles.write(root, RUNS)


@pytest.mark.parametrize("place", [8, 100, -40, -1])
def test_a_damaged_bundle_is_one_line(root: Path, place: int) -> None:
    content = bytearray((root / ROW).read_bytes())
    content[place] ^= 1
    for damaged in (content, content[:-5], b""):
        (root / ROW).write_bytes(damaged)
        message = rf"^{root}/{ROW} is damaged \([^\n]+; restore it with 'dvc checkout --force .*{ROW}'$"
        with pytest.raises(UserError, match=message):
            bundles.unpack(root)
    assert not (root / RUNS[0]).exists()


def test_a_bundle_of_another_time_gives_what_it_has(root: Path) -> None:
    record = json.dumps({"outs": [{"path": "bundles/row-concat.tar.xz", "meta": {"artifacts": [RUNS[0], OTHER]}}]})
    (root / bundles.RECORD).write_text(record, encoding="utf-8")
    assert bundles.unpack(root) == 1
    assert not (root / OTHER).exists()


@pytest.mark.parametrize("content", ["outs: [", "outs: [{path: a}]", "[]"])
def test_a_record_that_cannot_be_read_is_one_line(root: Path, content: str) -> None:
    (root / bundles.RECORD).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"^\S+bundles.dvc: cannot be read \(.*; restore it with 'git checkout "):
        bundles.listed(root)
