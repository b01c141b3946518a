"""Clips on disk as arrays and as JPEG pictures, and batches that are read ahead."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avbalance.data.array_writer import ArrayWriter
from avbalance.data.packed import Batches, Split
from avbalance.data.stored import JPEGS, JpegArray, JpegWriter, MappedArray, open_stored
from avbalance.errors import UserError

CPU = torch.device("cpu")
SHAPES = [(3, 4, 32, 40), (3, 32, 40), (1, 32, 40), (1, 2, 32, 40)]


def pictures(shape: tuple[int, ...], num_clips: int) -> NDArray[np.uint8]:
    """Smooth pictures, each of another brightness and slope, whose channels differ by a constant."""
    height, width = shape[-2:]
    plane = np.linspace(0, 60, height)[:, None] + np.linspace(0, 90, width)
    clips = np.arange(num_clips).reshape(-1, *[1] * len(shape))
    colours = 20.0 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    frames = 3.0 * np.arange(shape[1])[:, None, None] if len(shape) == 4 else 0.0
    return (plane * (1 - clips / num_clips) + 7 * clips + colours + frames).astype(np.uint8)


def write(path: Path, rows: NDArray[np.uint8], kind: type[JpegWriter] | type[ArrayWriter] = JpegWriter) -> Path:
    writer = JpegWriter(path, rows.shape[1:]) if kind is JpegWriter else ArrayWriter(path, rows.shape[1:], "|u1")
    writer.append(rows[:2])
    writer.append(rows[2:])
    writer.close()
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_jpeg_pictures_come_back_in_their_shape_and_nearly_as_they_were(shape: tuple[int, ...], tmp_path: Path) -> None:
    clips = pictures(shape, 7)
    paths = [write(tmp_path / f"{k}.npy", clips[k : k + 3]) for k in (0, 3)] + [write(tmp_path / "6.npy", clips[6:])]
    stored = open_stored(paths)
    assert isinstance(stored, JpegArray)
    assert (stored.shape, stored.dtype) == (shape, np.uint8)
    index = np.array([6, 0, 3, 0, 2, 5])
    difference = stored.rows(index).astype(int) - clips[index]
    assert np.abs(difference).max() <= 8
    assert np.abs(difference).mean() < 1.5
    assert (tmp_path / "0.jpegs").stat().st_size < clips[:3].nbytes


def test_chosen_clips_are_counted_alone(tmp_path: Path) -> None:
    clips = pictures((3, 32, 40), 6)
    for kind in (JpegWriter, ArrayWriter):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        paths = [write(folder / "0.npy", clips[:4], kind), write(folder / "1.npy", clips[4:], kind)]
        whole, chosen = open_stored(paths), open_stored(paths, np.array([1, 3, 5]))
        assert isinstance(whole, JpegArray if kind is JpegWriter else MappedArray)
        np.testing.assert_array_equal(chosen.rows(np.array([2, 0])), whole.rows(np.array([5, 1])))


def test_clips_of_another_shape_are_refused(tmp_path: Path) -> None:
    writer = JpegWriter(tmp_path / "a.npy", (3, 32, 40))
    with pytest.raises(AssertionError):
        writer.append(np.zeros((1, 3, 40, 32), np.uint8))
    writer.close()


def test_the_same_clips_have_the_same_bytes(tmp_path: Path) -> None:
    clips = pictures((3, 4, 32, 40), 5)
    files = [write(tmp_path / f"{name}.npy", clips) for name in "ab"]
    for ending in (".npy", JPEGS):
        assert files[0].with_suffix(ending).read_bytes() == files[1].with_suffix(ending).read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eleven clips of pictures, as JPEG in two shards, and sound."""
    clips = pictures((3, 4, 32, 40), 11)
    write(tmp_path / "train_visual-0000.npy", clips[:6])
    write(tmp_path / "train_visual-0001.npy", clips[6:])
    np.save(tmp_path / "train_audio.npy", np.random.default_rng(0).normal(size=(11, 20)).astype("<f2"))
    np.save(tmp_path / "train_label.npy", np.arange(11) % 3)
    np.save(tmp_path / "train_clip.npy", np.arange(11))
    visual = {"shape": [3, 4, 32, 40], "mean": [100.0] * 3, "std": [50.0] * 3}
    described = {"num_classes": 3, "modalities": {"audio": {"shape": [20]}, "visual": visual}}
    (tmp_path / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
    return tmp_path


def split_of(folder: Path) -> Split:
    return Split(dict.fromkeys(("audio", "visual"), folder), "train", CPU)


def test_batches_do_not_depend_on_the_number_of_workers_that_read_ahead(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for num_threads in (1, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda num_threads=num_threads: num_threads)
        split = split_of(folder)
        assert split.num_ahead > 0
        found.append([list(Batches(split, 3, (0, 1))), list(Batches(split, 11))])
    alone = split_of(folder)
    alone.num_ahead = 0
    found.append([list(Batches(alone, 3, (0, 1))), list(Batches(alone, 11))])
    for one, *others in zip(*[[batch for passes in each for batch in passes] for each in found], strict=True):
        for other in others:
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.labels, other.labels)
            assert all(torch.equal(one.inputs[name], other.inputs[name]) for name in ("audio", "visual"))
    assert [len(batch.labels) for batch in found[0][0]] == [3, 3, 3, 2]


def test_two_batches_are_read_ahead_and_none_that_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = split_of(folder)
    requested: list[list[int]] = []
    plain = split.request
    monkeypatch.setattr(split, "request", lambda index: (requested.append(index.tolist()), plain(index))[1])
    batches = iter(Batches(split, 2))
    with split.unread():
        assert next(batches).inputs == {}
        assert next(batches).index.tolist() == [2, 3]
    assert requested == []
    assert set(next(batches).inputs) == {"audio", "visual"}
    assert requested == [[4, 5], [6, 7], [8, 9]]
    next(batches)
    assert requested[3:] == [[10]]
    assert [batch.index.tolist() for batch in batches] == [[8, 9], [10]]
    assert len(requested) == 4


def test_a_picture_that_cannot_be_read_ends_the_pass(folder: Path) -> None:
    blob = folder / f"train_visual-0001{JPEGS}"
    split = split_of(folder)
    blob.write_bytes(bytes(blob.stat().st_size))
    with pytest.raises(UserError, match=f"^{blob}: holds a picture that is damaged; run 'avbalance verify'$"):
        list(Batches(split, 3))
