"""Extracted features: files of three formats become the arrays of a dataset, and each defect is one line."""

import csv
import json
import pickle
import re
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pyarrow import parquet
from safetensors.numpy import save_file

from avbalance import registry, store
from avbalance.data import feature_files
from avbalance.data.features import Features
from avbalance.errors import UserError
from avbalance.prepare import pack
from avbalance.prepare.download import download

ROOT = Path(__file__).parents[2]
SPLITS = ["train"] * 5 + ["val"] * 2 + ["test"] * 3
NAMES = [f"clip{row}" for row in range(10)]
TEXT = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32)
LENGTHS = [2, 3, 5, 4, 1, 4, 6, 2, 4, 3]
SOUND = [np.random.default_rng(row).normal(size=(length, 3)).astype(np.float32) for row, length in enumerate(LENGTHS)]


def keyed_parquet(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    columns = {"clip": list(arrays), "features": [array.tolist() for array in arrays.values()]}
    parquet.write_table(pa.table(columns), path, row_group_size=4)


def rows_parquet(path: Path, array: NDArray[Any]) -> None:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])
    parquet.write_table(pa.table({"features": lists}), path, row_group_size=3)


KEYED: dict[str, Callable[[Path, dict[str, NDArray[Any]]], None]] = {
    "npz": lambda path, arrays: np.savez_compressed(path, **arrays),  # type: ignore[arg-type]
    "safetensors": lambda path, arrays: save_file(arrays, path),
    "parquet": keyed_parquet,
}
ROWS: dict[str, Callable[[Path, NDArray[Any]], None]] = {
    "npz": lambda path, array: np.savez(path, features=array),
    "safetensors": lambda path, array: save_file({"features": array}, path),
    "parquet": rows_parquet,
}


def write_index(folder: Path, **columns: list[Any]) -> None:
    rows = {"clip": NAMES, "split": SPLITS, "label": [0, 1] * 5, **columns}
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Text by row, in another order than the index, and sound by key."""
    write_index(tmp_path, text=list(range(9, -1, -1)))
    np.savez(tmp_path / "text.npz", TEXT[::-1])
    np.savez(tmp_path / "sound.npz", **dict(zip(NAMES, SOUND, strict=True)))  # type: ignore[arg-type]
    return tmp_path


def read(raw: Path, **options: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401
    """{<split>_<modality>: array} of a raw folder."""
    options = {
        "index": "index.csv",
        "files": {"text": "text.npz", "sound": "sound.npz"},
        "steps": {"sound": 4},
    } | options
    arrays = Features(**options).read_arrays(raw)
    return {
        f"{part.split}_{modality}": np.concatenate(list(chunks))
        for part in arrays.splits
        for modality, chunks in part.chunks.items()
    }


def packed(raw: Path, out: Path, **settings: Any) -> Path:  # noqa: ANN401
    """Pack a raw folder as the workflow does."""
    options = {"index": "index.csv", "files": {"text": "text.npz"}, **settings.pop("reader", {})}
    files = {path.name: path for path in raw.iterdir() if path.is_file()}
    with store.publish(out / "raw", {"step": "download"}) as folder:
        for name, path in files.items():
            (folder / name).write_bytes(path.read_bytes())
    recipe = {
        "step": "pack",
        "settings": {"dataset": "mine", "num_classes": 2, "task": "single_label", **settings}
        | {"reader": {"features": options}},
        "inputs": {"raw": str(out / "raw")},
    }
    pack.pack(recipe, out / "prep")
    return out / "prep"


def test_sequences_are_filled_with_zeros_and_cut_at_the_end(raw: Path) -> None:
    arrays = read(raw)
    assert arrays["train_sound"].shape == (5, 4, 3)
    np.testing.assert_array_equal(arrays["train_sound"][0], np.concatenate([SOUND[0], np.zeros((2, 3))]))  # 2 steps
    np.testing.assert_array_equal(arrays["train_sound"][2], SOUND[2][:4])  # 5 steps
    np.testing.assert_array_equal(np.concatenate([arrays[f"{split}_text"] for split in ("train", "val", "test")]), TEXT)


def test_sequences_may_be_aligned_at_their_end(raw: Path) -> None:
    arrays = read(raw, align="end")
    np.testing.assert_array_equal(arrays["train_sound"][0], np.concatenate([np.zeros((2, 3)), SOUND[0]]))
    np.testing.assert_array_equal(arrays["train_sound"][2], SOUND[2][1:])


@pytest.mark.parametrize("kind", KEYED)
def test_each_format_holds_an_array_for_each_clip(raw: Path, kind: str) -> None:
    KEYED[kind](raw / f"keyed.{kind}", dict(zip(NAMES, SOUND, strict=True)))
    arrays = read(raw, files={"sound": f"keyed.{kind}"})
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: array.tobytes() for name, array in read(raw).items() if name.endswith("sound")
    }


@pytest.mark.parametrize("kind", ROWS)
def test_each_format_holds_one_array_of_all_clips(raw: Path, kind: str) -> None:
    ROWS[kind](raw / f"rows.{kind}", TEXT[::-1].copy())
    arrays = read(raw, files={"text": f"rows.{kind}"}, steps=None)
    np.testing.assert_array_equal(np.concatenate(list(arrays.values())), TEXT)


def test_an_index_may_be_parquet_and_name_keys(raw: Path) -> None:
    keys = [f"key{row}" for row in range(10)]
    columns = {"clip": NAMES, "split": SPLITS, "labels": [[row % 3, 0] for row in range(10)], "sound": keys}
    parquet.write_table(pa.table(columns), raw / "index.parquet")
    np.savez(raw / "sound.npz", **dict(zip(keys, SOUND, strict=True)))  # type: ignore[arg-type]
    arrays = Features(index="index.parquet", files={"sound": "sound.npz"}, steps={"sound": 4}).read_arrays(raw)
    parts = {part.split: part for part in arrays.splits}
    assert list(parts["train"].labels) == [(0,), (0, 1), (0, 2), (0,), (0, 1)]
    np.testing.assert_array_equal(next(iter(parts["val"].chunks["sound"]))[0], SOUND[5][:4])


def test_a_packed_set_has_float32_features_names_and_classes(raw: Path, tmp_path: Path) -> None:
    reader = {"files": {"text": "text.npz", "sound": "sound.npz"}, "steps": {"sound": 4}}
    folder = packed(raw, tmp_path / "out", reader=reader, classes=["sad", "glad"])
    stored = np.load(folder / "test_text.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, TEXT[7:])
    described = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    assert described["classes"] == ["sad", "glad"]
    assert described["modalities"] == {"text": {"shape": [6]}, "sound": {"shape": [4, 3]}}
    lines = (folder / "clips.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["split,index,label,clip", "train,0,0,clip0"]


def test_several_labels_become_a_matrix(raw: Path, tmp_path: Path) -> None:
    write_index(raw, label=[0] * 10, text=list(range(10)))
    text = (raw / "index.csv").read_text(encoding="utf-8")
    lines = text.replace(",label,", ",labels,").splitlines()
    lines[1], lines[2] = lines[1].replace(",0,0", ",0 2,0"), lines[2].replace(",0,1", ",,1")
    (raw / "index.csv").write_text("\n".join(lines), encoding="utf-8")
    folder = packed(raw, tmp_path / "out", task="multi_label", num_classes=3)
    assert np.load(folder / "train_label.npy")[:3].tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 0]]
    with pytest.raises(UserError, match=r"clips have lists of labels, but the dataset's task is not multi_label"):
        packed(raw, tmp_path / "single", num_classes=3)


def test_a_sentiment_becomes_two_or_seven_classes(raw: Path) -> None:
    sentiments = [-3, -2.33, -1.67, -0.67, -0.33, 0, 0.33, 1.67, 2.67, 3]
    write_index(raw, label=sentiments, text=list(range(10)))
    options: dict[str, Any] = {"index": "index.csv", "files": {"text": "text.npz"}}
    for edges, expected in (
        ([0], [0] * 5 + [1] * 5),
        ([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], [0, 1, 1, 2, 3, 3, 3, 5, 6, 6]),  # rounded, counted from -3
    ):
        parts = Features(**options, edges=edges).read_arrays(raw).splits
        assert [label for part in parts for label in part.labels] == expected


def test_val_is_a_share_of_each_class_where_the_index_has_none(raw: Path) -> None:
    count = 100
    names, labels = [f"clip{row}" for row in range(count)], [row % 2 for row in range(count)]
    with (raw / "index.csv").open("w", newline="", encoding="utf-8") as file:
        rows = zip(names, ["train"] * 80 + ["test"] * 20, labels, range(count), strict=True)
        csv.writer(file).writerows([["clip", "split", "label", "text"], *rows])
    np.savez(raw / "text.npz", np.arange(count, dtype=np.float32)[:, None])
    parts = {}
    for seed in (0, 0, 1):
        reader = Features(index="index.csv", files={"text": "text.npz"}, val_fraction=0.25, seed=seed)
        parts[seed, seed in parts] = {part.split: part for part in reader.read_arrays(raw).splits}
    first = parts[0, False]
    assert np.bincount(list(first["val"].labels)).tolist() == [10, 10]
    clips = {split: {clip for (clip,) in part.sources} for split, part in first.items()}
    assert len(clips["train"] | clips["val"] | clips["test"]) == 100
    assert first["val"].sources != parts[1, False]["val"].sources


def damaged(**columns: list[Any]) -> Callable[[Path], None]:
    """Function that writes an index with these columns instead of the right ones."""
    return lambda raw: write_index(raw, **{"text": list(range(10)), **columns})


def text_of(array: NDArray[Any]) -> Callable[[Path], None]:
    """Function that writes another text.npz."""
    return lambda raw: np.savez(raw / "text.npz", array)


DEFECTS: dict[str, tuple[Callable[[Path], object], dict[str, Any], str]] = {
    "absent index": (lambda raw: (raw / "index.csv").unlink(), {}, r"index\.csv: this list does not exist"),
    "absent file": (lambda raw: (raw / "text.npz").unlink(), {}, r"text\.npz: this file does not exist"),
    "other format": (
        write_index,
        {"files": {"text": "text.pkl"}, "steps": None},
        r"text\.pkl: is no file of features; allowed: \.npz, ",
    ),
    "damaged file": (lambda raw: (raw / "text.npz").write_bytes(b"PK" * 99), {}, r"text\.npz: cannot be read: "),
    "unknown split": (
        damaged(split=["dev", *SPLITS[1:]]),
        {},
        r"index\.csv: line 2: 'dev' is not a split; allowed: train, val, test",
    ),
    "empty split": (damaged(split=["train"] * 10), {}, r"index\.csv: split 'test' has no clip"),
    "two clips of a name": (damaged(clip=[*NAMES[:9], "clip3"]), {}, r"line 11: clip 'clip3' stands in line 5 already"),
    "label that is no number": (
        damaged(label=["sad", *[0] * 9]),
        {},
        r"line 2: label: found 'sad'; allowed: a class as a number from 0",
    ),
    "no label": (
        lambda raw: (raw / "index.csv").write_text("clip,split\na,train\n", encoding="utf-8"),
        {},
        "has no column 'label' or",
    ),
    "missing key": (
        lambda raw: np.savez(raw / "sound.npz", **dict(zip(NAMES[1:], SOUND[1:], strict=True))),  # type: ignore[arg-type]
        {},
        r"index\.csv: line 2: sound\.npz has no array 'clip0'; clip 'clip0' needs it",
    ),
    "row beyond the array": (
        damaged(text=[*range(9), 10]),
        {},
        r"line 11: text\.npz holds one array of 10 rows; column 'text' must name the row of clip 'clip9', from 0; "
        "found '10'",
    ),
    "no rows": (write_index, {}, r"line 2: text\.npz holds one array of 10 rows; .* found no such column"),
    "NaN": (
        text_of(np.where(TEXT[::-1] == TEXT[4, 2], np.nan, TEXT[::-1])),
        {},
        r"text\.npz: clip 'clip4': 1 of 6 numbers are NaN, infinite or too large for float32; replace them, or leave",
    ),
    "other length": (
        text_of(TEXT[::-1]),
        {"steps": None},
        r"sound\.npz: clip 'clip1' has the shape \[3, 3\], but clip 'clip0' \[2, 3\]; features\.steps: "
        r"\{sound: <steps>\} brings sequences to one length",
    ),
    "no steps": (
        text_of(TEXT[::-1]),
        {"steps": {"text": 3, "sound": 3}},
        r"text\.npz: clip 'clip0': has the shape \[6\] without steps",
    ),
    "pictures": (
        text_of(np.zeros((10, 3, 4, 4))),
        {},
        r"has the shape \[3, 4, 4\]; allowed: \[dim\] or \[steps, dim\]",
    ),
    "steps of no file": (
        text_of(TEXT),
        {"steps": {"sund": 3}},
        r"features\.steps: 'sund' has no file; allowed: text, sound",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_one_line_with_place_and_remedy(raw: Path, defect: str) -> None:
    spoil, options, message = DEFECTS[defect]
    spoil(raw)
    with pytest.raises(UserError, match=message) as error:
        read(raw, **options)
    assert "\n" not in str(error.value)


def test_features_may_come_in_an_archive(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "mirror").mkdir()
    archive = tmp_path / "mirror/features.tar"
    with tarfile.open(archive, "w") as file:
        for name in ("index.csv", "text.npz", "sound.npz"):
            file.add(raw / name, name)
    described = {"path": "features.tar", "sha256": store.sha256(archive), "unpack": True, "urls": []}
    recipe = {"step": "download", "name": "mine-0", "settings": {"files": [described]}, "inputs": {}}
    download(recipe, tmp_path / "fetched", mirror=str(tmp_path / "mirror"), cache=tmp_path / "cache")
    assert {name: array.tobytes() for name, array in read(tmp_path / "fetched").items()} == {
        name: array.tobytes() for name, array in read(raw).items()
    }


def test_a_label_beyond_the_classes_names_the_clip(raw: Path, tmp_path: Path) -> None:
    damaged(label=[*[0, 1] * 4, 0, 2])(raw)
    with pytest.raises(UserError, match=r"clip 'clip9' has the label 2, but num_classes is 2: labels are 0 to 1"):
        packed(raw, tmp_path / "out")


def test_parquet_without_its_package_names_the_extra(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows_parquet(raw / "text.parquet", TEXT)
    monkeypatch.setattr(feature_files, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"text\.parquet: parquet needs the package pyarrow: pip install .*\[pyarrow\]"):
        read(raw, files={"text": "text.parquet"}, steps=None)


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_a_large_array_is_read_without_being_held_in_memory(raw: Path, kind: str) -> None:
    count, dim = 20_000, 500
    ROWS[kind](raw / f"large.{kind}", np.ones((count, dim), np.float32))  # 40 MB
    with (raw / "index.csv").open("w", newline="", encoding="utf-8") as file:
        rows = ((f"clip{row}", SPLITS[row % 10], 0, row) for row in range(count))
        csv.writer(file).writerows([["clip", "split", "label", "text"], *rows])
    reader = Features(index="index.csv", files={"text": f"large.{kind}"})
    arrays = reader.read_arrays(raw)
    part = next(iter(arrays.splits))
    tracemalloc.start()
    assert sum(len(chunk) for chunk in part.chunks["text"]) == 10_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6  # two chunks of 256 clips have 1 MB


def test_the_lines_in_the_head_of_mosei_convert_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "config/datasets/mosei.yaml").read_text(encoding="utf-8")
    head = text.partition("in a folder mosei:")[2].partition("\ntitle")[0]
    code = "\n".join(re.findall("^#     (.*)$", head, re.MULTILINE))
    random, parts = np.random.default_rng(0), {}
    for part, count in {"train": 6, "valid": 2, "test": 3}.items():
        dims = {"text": 300, "audio": 74, "vision": 35}
        parts[part] = {key: random.normal(size=(count, 50, dim)) for key, dim in dims.items()}
        parts[part]["labels"] = random.uniform(-3, 3, (count, 1, 1))
    parts["train"]["audio"][0, 0, 0] = -np.inf
    (tmp_path / "mosei_senti_data.pkl").write_bytes(pickle.dumps(parts))
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "mosei.yaml", "exec"), {})  # the lines of the project's own file
    (tmp_path / "raw").mkdir()
    for file in ("index.csv", "text.npz", "audio.npz", "visual.npz"):
        (tmp_path / file).rename(tmp_path / "raw" / file)
    files = {modality: f"{modality}.npz" for modality in ("text", "audio", "visual")}
    reader = registry.load("data", {"features": {"index": "index.csv", "files": files, "edges": [0]}})
    splits = {part.split: part for part in reader.read_arrays(tmp_path / "raw").splits}
    assert [len(splits[split].labels) for split in ("train", "val", "test")] == [6, 2, 3]
    assert splits["val"].labels == [int(label >= 0) for label in parts["valid"]["labels"].ravel()]
    sound = np.concatenate(list(splits["train"].chunks["audio"]))
    assert sound[0, 0, 0] == 0
    np.testing.assert_array_equal(sound[1:], parts["train"]["audio"][1:].astype(np.float32))
