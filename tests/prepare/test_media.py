"""The step from clips to packed arrays, on encoded media."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avbalance import registry, store
from avbalance.data.clips import Clip
from avbalance.data.miniatures.synthetic import write_media
from avbalance.data.packed import Split
from avbalance.data.prepared import open_folders
from avbalance.errors import UserError
from avbalance.prepare import dataset_files, make_shards, media, select_clips
from avbalance.prepare.clip_lists import cut, write_list
from avbalance.prepare.download import download
from avbalance.prepare.windows import spread

VIEWS = {
    "audio": {
        "log_mel": {"sample_rate": 16000, "seconds": 0.64, "num_mels": 8, "window_samples": 400, "hop_samples": 640}
    },
    "flow": {"flow": {"size": 16, "num_frames": 2, "method": "dis"}},
    "visual": {"faces": {"detector": {"given": {}}, "size": 24, "num_frames": 3, "gray": True}},
}
OPTIONS: dict[str, Any] = {
    "clip_seconds": None,
    "windows": {},
    "val_fraction": 0.2,
    "seed": 0,
    "max_seconds": 600.0,
    "max_dropped": 0.02,
    "drop_duplicates": False,  # splits share files here
}


def recipe_of(raw: Path, views: dict[str, Any], reader: dict[str, Any], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    """Settings of a dataset with its preparation, from which `prepare` makes the recipes of its steps."""
    settings = {"dataset": "small", "task": "single_label", "num_classes": 10, "classes": None, "reader": reader}
    settings |= {name: changes.pop(name) for name in ("task", "num_classes") if name in changes}
    settings["prepare"] = {**OPTIONS, **changes, "views": views}
    return {"settings": settings, "inputs": {"raw": str(raw)}}


def step(name: str, of_dataset: dict[str, Any], settings: dict[str, Any], **inputs: Path) -> dict[str, Any]:
    """Recipe of a step, with the settings of its dataset that all steps have."""
    shared = {key: value for key, value in of_dataset["settings"].items() if key not in ("reader", "prepare")}
    paths = of_dataset["inputs"] | {role: str(path) for role, path in inputs.items()}
    return {"step": name, "name": "small-0", "settings": shared | settings, "inputs": paths, "code": ""}


def select_recipe(recipe: dict[str, Any]) -> dict[str, Any]:
    options = recipe["settings"]["prepare"]
    media = sorted({registry.find("view", view).medium for view in options["views"].values()})
    chosen = {name: options[name] for name in ("val_fraction", "seed", "drop_duplicates", "max_dropped")}
    return step("select_clips", recipe, {"reader": recipe["settings"]["reader"], "media": media, **chosen})


def media_recipe(recipe: dict[str, Any], modality: str, selection: Path) -> dict[str, Any]:
    options = recipe["settings"]["prepare"]
    shared = {name: options[name] for name in ("clip_seconds", "windows", "max_seconds", "max_dropped")}
    settings = {"modality": modality, "view": options["views"][modality], **shared}
    return step("media", recipe, settings, selection=selection)


def prepare(recipe: dict[str, Any], out: Path, num_workers: int, resume: Path) -> dict[str, Path]:
    """Select the clips of a dataset and prepare its modalities: {modality: folder below `out`}."""
    select_clips.publish_selection(select_recipe(recipe), out / "selection", resume)
    for modality in recipe["settings"]["prepare"]["views"]:
        media.prepare(media_recipe(recipe, modality, out / "selection"), out / modality, num_workers, resume=resume)
    return folders_below(out, recipe["settings"]["prepare"]["views"])


def folders_below(out: Path, modalities: Iterable[str]) -> dict[str, Path]:
    return {modality: out / modality for modality in modalities}


def published(folder: Path, fill: Any) -> Path:  # noqa: ANN401
    with store.publish(folder, {"step": "download"}) as out:
        fill(out)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 sentences, about ten a digit: 62 clips of train, two shards; 20 of val; 18 of test."""
    generator = registry.load("data", {"grid_miniature": {"num_sentences": 100}})
    return published(tmp_path_factory.mktemp("raw") / "grid", generator.generate)


@pytest.fixture(scope="module")
def made(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    prepare(recipe_of(raw, VIEWS, {"grid": {}}), folder / "prep", 1, folder / "resume")
    return folder


def shards(folder: Path) -> dict[str, tuple[int, int]]:
    """{finished shard: (inode, time) of its arrays}."""
    found = sorted((folder / "resume/shards").glob("[!.]*/clips.npy"))
    return {path.parent.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def first_shard(raw: Path, made: Path) -> str:
    """The shard that has the first sounds."""
    recipe = media_recipe(recipe_of(raw, VIEWS, {"grid": {}}), "audio", made / "prep/selection")
    return next(make_shards.plan_shards(recipe, made, "cpu")).folder.name


def clips_of(prep: Path) -> list[dict[str, str]]:
    with (prep / "clips.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_arrays_labels_and_index_belong_together(made: Path) -> None:
    folders = folders_below(made / "prep", VIEWS)
    open_folders(folders)
    for folder in folders.values():
        assert json.loads((folder / "report.json").read_text(encoding="utf-8"))["dropped"] == []
    rows = clips_of(folders["visual"])
    for split, count in (("train", 62), ("val", 20), ("test", 18)):
        data = Split(folders, split, torch.device("cpu"))
        mine = [row for row in rows if row["split"] == split]
        assert len(data) == len(mine) == count
        assert data.labels.tolist() == [int(row["label"]) for row in mine]
        # The digit stands at the end of a sentence's name: 000_a0.
        assert [int(row["clip"][-1]) for row in mine] == data.labels.tolist()
        assert data.videos is not None
        assert data.videos.tolist() == list(range(count))
        batch = data.batch(np.arange(count))
        shapes = {name: tuple(array.shape[1:]) for name, array in batch.inputs.items()}
        # Windows of 400 samples every 640 of 10,240: 1 + (10240 - 400) // 640.
        assert shapes == {"audio": (8, 16), "flow": (2, 2, 16, 16), "visual": (1, 3, 24, 24)}
        assert all(array.isfinite().all() for array in batch.inputs.values())
    assert {row["start_seconds"] for row in rows} == {"0.64"}
    assert {row["num_frames"] for row in rows} == {"16"}


def test_a_name_that_is_no_text_is_kept_in_lists_and_written_with_an_escape_in_tables(tmp_path: Path) -> None:
    clip = Clip(os.fsdecode(b"caf\xe9\xc3\xa9"), "train", (0, 2), visual=os.fsdecode(b"\xe9.mp4"), start=0.5)
    write_list(tmp_path, "train", [clip], {os.fsdecode(b"\xe9.mp4"): "0" * 64})
    (stretch,) = cut(tmp_path / "train.jsonl", 1)
    assert stretch.read() == [(clip, {os.fsdecode(b"\xe9.mp4"): "0" * 64})]
    dataset_files.write_clips(tmp_path, ["clip"], [("train", 0, 0, clip.name)])
    assert "caf\\udce9é" in (tmp_path / "clips.csv").read_bytes().decode()


def test_a_list_is_cut_into_stretches_that_have_every_clip_once(tmp_path: Path) -> None:
    clips = [Clip(f"clip {place}", "val", place, audio="a.wav") for place in range(70)]
    write_list(tmp_path, "val", clips, {"a.wav": "0" * 64})
    stretches = list(cut(tmp_path / "val.jsonl", 70))
    assert [(each.first, each.count, each.split) for each in stretches] == [
        (0, 32, "val"),
        (32, 32, "val"),
        (64, 6, "val"),
    ]
    assert [listed.clip for each in stretches for listed in each.read()] == clips
    # 64 shards of 32 clips are 2,048; from twice as many on a shard has 64.
    assert [sum(1 for _ in cut(tmp_path / "val.jsonl", count)) for count in (4095, 4096)] == [128, 64]


def test_a_batch_of_several_shards_is_what_the_shards_hold(made: Path) -> None:
    arrays = [np.load(path) for path in sorted((made / "prep/visual").glob("train_visual-*.npy"))]
    assert [len(array) for array in arrays] == [32, 30]
    whole = np.concatenate(arrays)
    data = Split({"visual": made / "prep/visual"}, "train", torch.device("cpu"))
    index = np.random.default_rng(0).permutation(62)[:20]
    described = json.loads((made / "prep/visual/dataset.json").read_text(encoding="utf-8"))["modalities"]["visual"]
    expected = (whole[index].astype(np.float32) - described["mean"][0]) / described["std"][0]
    np.testing.assert_allclose(data.batch(index).inputs["visual"].numpy(), expected, rtol=1e-6)


def test_the_bytes_do_not_depend_on_the_number_of_workers(raw: Path, made: Path, tmp_path: Path) -> None:
    prepare(recipe_of(raw, VIEWS, {"grid": {}}), tmp_path / "prep", 3, tmp_path / "resume")
    assert files_below(tmp_path / "prep") == files_below(made / "prep")


def files_below(prep: Path) -> list[dict[str, Any]]:
    return [store.read_manifest(prep / name)["files"] for name in ("selection", *VIEWS)]


def test_jobs_make_a_part_of_the_shards_each_and_the_last_gathers(
    raw: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    selection = made / "prep/selection"
    recipe = media_recipe(recipe_of(raw, VIEWS, {"grid": {}}), "audio", selection)
    for part, known in ((2, 1), (0, 3), (1, 4)):  # 4 shards: one job has two
        make_shards.run(recipe, part, 3, device="cpu")
        assert len(list(Path("results/resume/shards").iterdir())) == known
    before = {path: path.stat().st_ino for path in Path("results/resume/shards").glob("*/shard.json")}
    media.run(recipe, Path("audio"), device="cpu")
    assert {path: path.stat().st_ino for path in Path("results/resume/shards").glob("*/shard.json")} == before
    assert store.read_manifest(Path("audio"))["files"] == store.read_manifest(made / "prep/audio")["files"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_clips_that_are_read_within_archives_give_the_same_bytes(
    raw: Path, made: Path, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "mirror").mkdir()
    file = tmp_path / f"mirror/grid.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in raw.glob("grid_s1/**/*.*"):
                archive.write(path, path.relative_to(raw))
    else:
        with tarfile.open(file, "w:gz" if kind == "tar.gz" else "w") as archive:
            archive.add(raw / "grid_s1", "grid_s1")
    entry = {"path": file.name, "urls": [], "sha256": store.sha256(file), "unpack": True}
    download({"settings": {"files": [entry]}}, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert not list((tmp_path / "raw").rglob("*.mp4"))
    prepare(recipe_of(tmp_path / "raw", VIEWS, {"grid": {}}), tmp_path / "prep", 1, tmp_path / "resume")
    assert files_below(tmp_path / "prep") == files_below(made / "prep")


def test_shards_and_artifact_are_one_copy_on_disk(made: Path) -> None:
    inodes = {inode for inode, _ in shards(made).values()}
    assert {path.stat().st_ino for path in (made / "prep").glob("*/*-*.npy")} == inodes


def test_after_one_clip_changed_only_its_shard_is_made_again(raw: Path, made: Path, tmp_path: Path) -> None:
    changed = "000_a0"

    def fill(folder: Path) -> None:
        for path in raw.rglob("*"):
            if path.is_file() and path.name != "manifest.json":
                target = folder / path.relative_to(raw)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
        clip = folder / f"grid_s1/clips/{changed}.mp4"
        other = (folder / "grid_s1/clips/001_b1.mp4").read_bytes()
        clip.unlink()
        clip.write_bytes(other)

    before = shards(made)
    again = published(tmp_path / "raw", fill)
    prepare(recipe_of(again, VIEWS, {"grid": {}}), tmp_path / "prep", 1, made / "resume")
    after = shards(made)
    assert {key: after[key] for key in before} == before
    assert len(after) == len(before) + 3
    assert len(before) == 12  # of each of three modalities train 2, val 1, test 1


def test_a_damaged_finished_shard_is_made_again(raw: Path, made: Path, tmp_path: Path) -> None:
    key = first_shard(raw, made)
    path = made / "resume/shards" / key / "clips.npy"
    good = path.read_bytes()
    bad = path.with_name("bad")
    bad.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    bad.rename(path)
    prepare(recipe_of(raw, VIEWS, {"grid": {}}), tmp_path / "prep", 1, made / "resume")
    assert path.read_bytes() == good


def test_a_raw_file_with_other_bytes_is_named(raw: Path, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        registry.load("data", {"grid_miniature": {"num_sentences": 60}}).generate(folder)

    damaged = published(tmp_path / "raw", fill)
    path = damaged / "grid_s1/clips/000_a0.mp4"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"000_a0.mp4: differs from its manifest"):
        prepare(recipe_of(damaged, VIEWS, {"grid": {}}), tmp_path / "prep", 1, tmp_path / "resume")
    assert not (tmp_path / "prep/audio").exists()


ODD_READER = """
import json
from pathlib import Path
from avbalance.data.clips import Clip, Reader

class Odd(Reader):
    media = ("*.mp4", "*.mpg", "*.avi")
    def clips(self, raw: Path) -> list[Clip]:
        names = (raw / "list.txt").read_text().split()
        return [
            Clip(name, ("train", "val", "test")[i % 3], i % 2, visual=name, audio=name) for i, name in enumerate(names)
        ]

class Given(Reader):
    def clips(self, raw: Path) -> list[Clip]:
        return [Clip(**clip) for clip in json.loads((raw / "clips.json").read_text())]

class Moments(Reader):
    def clips(self, raw: Path) -> list[Clip]:
        return [
            Clip(f"{split}{i}", split, (i % 3, 3), visual="long.mp4", audio="long.mp4", start=i, end=i + 1.0)
            for split in ("train", "val", "test")
            for i in range(4)
        ]
"""


@pytest.fixture
def odd_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules/odd_readers.py").write_text(ODD_READER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "modules")


PLAIN = {
    "audio": {"waveform": {"sample_rate": 8000, "seconds": 1.0}},
    "visual": {"frames": {"size": 32, "num_frames": 2}},
}


@pytest.mark.usefixtures("odd_readers")
def test_real_clips_are_packed_or_named_with_the_reason(mirror: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in (mirror / "video").iterdir() if path.suffix != ".json")

    def fill(folder: Path) -> None:
        for name in names:
            (folder / name).symlink_to(mirror / "video" / name)
        (folder / "empty.mp4").write_bytes(b"")
        (folder / "text.mp4").write_text("this is no video", encoding="utf-8")
        (folder / "unlisted.avi").write_bytes(b"x")
        (folder / "list.txt").write_text("\n".join([*names, "empty.mp4", "text.mp4", "gone.mp4"]), encoding="utf-8")

    raw = published(tmp_path / "raw", fill)
    recipe = recipe_of(raw, PLAIN, {"odd_readers:Odd": {}}, max_dropped=0.5, val_fraction=0.0)
    folders = prepare(recipe, tmp_path / "prep", 2, tmp_path / "resume")
    silent = {"kinetics_arm_wrestling_noaudio.mp4", "nasa_13013_rotated_noaudio.mp4"}
    for modality, folder in folders.items():
        report = read_report(folder)
        why = {entry["clip"]: entry["why"] for entry in report["dropped"]}
        assert why["gone.mp4"] == "gone.mp4 does not exist"
        assert {clip for clip, reason in why.items() if reason == "has no sound"} == (silent & set(why))
        broken = {"corrupted.mp4", "empty.mp4", "gone.mp4", "text.mp4"}
        assert set(why) == (broken | silent if modality == "audio" else broken)
        assert all("\n" not in reason and reason for reason in why.values())
        assert [entry["file"] for entry in report["unused"]] == ["unlisted.avi"]
        assert {row["clip"] for row in clips_of(folder)} == set(names) - set(why)
        assert report["num_clips"] == len(names) + 3


def read_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return report


@pytest.mark.usefixtures("odd_readers")
def test_too_many_bad_clips_are_an_error_that_lists_them(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "list.txt").write_text(" ".join(f"gone{i:02d}.mp4" for i in range(12)), encoding="utf-8")

    raw = published(tmp_path / "raw", fill)
    with pytest.raises(UserError) as error:
        prepare(recipe_of(raw, PLAIN, {"odd_readers:Odd": {}}), tmp_path / "prep", 1, tmp_path / "resume")
    assert "12 of 12 clips cannot be used, more than max_dropped (2.0%)" in str(error.value)
    assert "gone03.mp4: gone03.mp4 does not exist" in str(error.value)
    report = json.loads((tmp_path / "resume/selection-report.json").read_text(encoding="utf-8"))
    assert len(report["dropped"]) == 12
    assert not (tmp_path / "prep/selection").exists()


@pytest.mark.usefixtures("odd_readers")
def test_windows_of_a_clip_are_one_video_and_several_classes_are_zeros_and_ones(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (50, 32, 32, 3), dtype=np.uint8)
    wave = rng.normal(0, 0.1, 16000 * 5).astype(np.float32)
    raw = published(tmp_path / "raw", lambda folder: write_media(folder / "long.mp4", frames, 10, wave, 16000))
    views = PLAIN | {"audio": {"waveform": {"sample_rate": 8000, "seconds": 0.4, "normalise": "dataset"}}}
    changes = {"task": "multi_label", "clip_seconds": 0.4, "windows": {"test": 3}}
    recipe = recipe_of(raw, views, {"odd_readers:Moments": {}}, num_classes=5, **changes)
    prepare(recipe, tmp_path / "prep", 1, tmp_path / "resume")
    test = Split({"audio": tmp_path / "prep/audio"}, "test", torch.device("cpu"))
    assert test.clips.tolist() == list(range(12))
    assert test.videos is not None
    assert test.videos.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert test.labels[3].tolist() == [0, 1, 0, 1, 0]
    assert test.batch(np.arange(2)).labels.dtype == torch.float32
    starts = [float(row["start_seconds"]) for row in clips_of(tmp_path / "prep/audio") if row["split"] == "test"]
    # Of the second 1 to 2, windows of 0.4 s begin at 1, 1.3 and 1.6.
    assert starts[3:6] == [1.0, 1.3, 1.6]
    train = Split({"audio": tmp_path / "prep/audio"}, "train", torch.device("cpu"))
    sound = train.batch(np.arange(4)).inputs["audio"]
    assert abs(float(sound.mean())) < 0.01
    assert float(sound.std()) == pytest.approx(1.0, abs=0.02)


def two_seconds(folder: Path, *clips: dict[str, Any]) -> None:
    """Two seconds of pictures of which one has sound; of every split one good clip, and these."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (20, 32, 32, 3), dtype=np.uint8)
    wave = rng.normal(0, 0.1, 16000).astype(np.float32)
    write_media(folder / "a.mp4", frames, 10, wave, 16000)
    files = {"visual": "a.mp4", "audio": "a.mp4"}
    good = [{"name": split, "split": split, "label": 0, **files} for split in ("train", "val", "test")]
    (folder / "clips.json").write_text(
        json.dumps(good + [{"split": "train", "label": 0, **files, **clip} for clip in clips]), encoding="utf-8"
    )


@pytest.mark.usefixtures("odd_readers")
def test_times_that_make_no_clip_are_reported(tmp_path: Path) -> None:
    odd = {"empty": (1.0, 1.0), "backwards": (1.5, 0.5), "behind": (7.0, 8.0), "beyond": (0.5, 1.9)}
    clips = [{"name": name, "start": start, "end": end} for name, (start, end) in odd.items()]
    raw = published(tmp_path / "raw", lambda folder: two_seconds(folder, *clips))
    prepare(recipe_of(raw, PLAIN, {"odd_readers:Given": {}}, max_dropped=0.5), tmp_path / "prep", 1, tmp_path)
    report = read_report(tmp_path / "prep/audio")
    why = {entry["clip"]: entry["why"] for entry in report["dropped"]}
    assert why["empty"] == "begins at 1 s and ends at 1 s"
    assert why["backwards"] == "begins at 1.5 s and ends at 0.5 s"
    assert why["behind"].startswith("is 7.0 to 8.0 s of a file of 0.0 to ")
    assert set(why) == {"empty", "backwards", "behind"}
    # Sound lasts one of the two seconds; encoders pad it a little.
    repairs = [entry["why"] for entry in report["repaired"] if entry["clip"] == "beyond"]
    assert [repair for repair in repairs if repair.startswith("silence for 0.")]


def test_a_class_that_the_lists_do_not_have_is_named(tmp_path: Path) -> None:
    raw = published(tmp_path / "raw", lambda folder: two_seconds(folder))
    recipe = recipe_of(raw, PLAIN, {"grid": {"word": "colour"}}, num_classes=4)
    recipe["settings"]["classes"] = ["blue", "grene", "red", "white"]
    with pytest.raises(UserError, match=r"raw: class 1 is 'green' in the lists, but 'grene' in classes of config/data"):
        prepare(recipe, tmp_path / "prep", 1, tmp_path)


@pytest.mark.usefixtures("odd_readers")
def test_sound_that_is_too_long_is_reported_too(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        write_media(folder / "long.wav", wave=np.full(8000 * 30, 0.1, np.float32), sample_rate=8000)
        two_seconds(folder, {"name": "long", "audio": "long.wav"})

    raw = published(tmp_path / "raw", fill)
    recipe = recipe_of(raw, PLAIN, {"odd_readers:Given": {}}, max_dropped=0.5, max_seconds=10.0)
    prepare(recipe, tmp_path / "prep", 1, tmp_path)
    (entry,) = read_report(tmp_path / "prep/audio")["dropped"]
    assert entry == {"clip": "long", "why": "lasts 30.0 s, more than 10 s"}


@pytest.mark.usefixtures("odd_readers")
@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (
            {"name": "x", "label": 10, "start": 0.0, "end": 1.0},
            r"clip 'x' has the label 10, but num_classes is 10: labels are 0 to 9",
        ),
        ({"name": "val", "split": "test"}, r"two clips are named 'val' \(val and test\)"),
    ],
)
def test_what_no_clip_may_be_is_an_error_before_anything_is_decoded(
    tmp_path: Path, clip: dict[str, Any], message: str
) -> None:
    raw = published(tmp_path / "raw", lambda folder: two_seconds(folder, clip))
    with pytest.raises(UserError, match=message):
        prepare(recipe_of(raw, PLAIN, {"odd_readers:Given": {}}), tmp_path / "prep", 1, tmp_path / "resume")
    assert not (tmp_path / "resume").exists()


@pytest.mark.usefixtures("odd_readers")
def test_a_split_without_a_clip_is_an_error_that_keeps_the_report(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        two_seconds(folder)
        clips = [
            clip for clip in json.loads((folder / "clips.json").read_text(encoding="utf-8")) if clip["split"] != "val"
        ]
        (folder / "clips.json").write_text(json.dumps(clips), encoding="utf-8")

    raw = published(tmp_path / "raw", fill)
    with pytest.raises(UserError, match=r"split 'val' has no usable clip; see .*selection-report.json"):
        prepare(recipe_of(raw, PLAIN, {"odd_readers:Given": {}}), tmp_path / "prep", 1, tmp_path / "resume")
    assert (tmp_path / "resume/selection-report.json").exists()


@pytest.mark.usefixtures("odd_readers")
@pytest.mark.parametrize("times", [{}, {"start": 0.2, "end": 0.8}])
def test_a_clip_with_broken_pictures_and_good_sound_is_a_clip_of_sound_alone(
    tmp_path: Path, times: dict[str, float]
) -> None:
    def fill(folder: Path) -> None:
        rng = np.random.default_rng(1)
        write_media(folder / "good.wav", wave=rng.normal(0, 0.1, 8000).astype(np.float32), sample_rate=8000)
        (folder / "broken.mp4").write_text("this is no video", encoding="utf-8")
        # By name it comes between others, whose numbers must stay the same in both modalities.
        clip = {"name": "m", "split": "test", "label": 3, "visual": "broken.mp4", "audio": "good.wav", **times}
        two_seconds(
            folder, clip, {"name": "a", "split": "test", "label": 1}, {"name": "z", "split": "test", "label": 2}
        )

    raw = published(tmp_path / "raw", fill)
    recipe = recipe_of(raw, PLAIN, {"odd_readers:Given": {}}, max_dropped=0.2)
    folders = prepare(recipe, tmp_path / "prep", 1, tmp_path / "resume")
    assert [row["clip"] for row in clips_of(folders["audio"]) if row["split"] == "test"] == ["a", "m", "test", "z"]
    assert [row["clip"] for row in clips_of(folders["visual"]) if row["split"] == "test"] == ["a", "test", "z"]
    assert [entry["clip"] for entry in read_report(folders["visual"])["dropped"]] == ["m"]
    assert read_report(folders["audio"])["dropped"] == []
    cpu = torch.device("cpu")
    sound, pictures = (Split({name: folders[name]}, "test", cpu) for name in ("audio", "visual"))
    both = Split(folders, "test", cpu)
    assert sound.clips.tolist() == [0, 1, 2, 3]
    assert pictures.clips.tolist() == both.clips.tolist() == [0, 2, 3]
    assert sound.labels.tolist() == [1, 3, 0, 2]
    assert both.labels.tolist() == [1, 0, 2]
    batch = both.batch(np.array([2, 1]))
    torch.testing.assert_close(batch.inputs["audio"], sound.batch(np.array([3, 2])).inputs["audio"])
    torch.testing.assert_close(batch.inputs["visual"], pictures.batch(np.array([2, 1])).inputs["visual"])
    # The share that may be dropped holds for each modality: 1 of 6 pictures.
    recipe["settings"]["prepare"]["max_dropped"] = 0.1
    with pytest.raises(UserError, match=r"1 of 6 clips cannot be used, more than max_dropped \(10.0%\)"):
        prepare(recipe, tmp_path / "again", 1, tmp_path / "resume")
    assert (tmp_path / "again/audio").exists()
    assert not (tmp_path / "again/visual").exists()


@pytest.mark.usefixtures("odd_readers")
def test_sound_in_windows_lies_on_the_clock_of_the_pictures(tmp_path: Path) -> None:
    """Pictures last 2 s, the sound beside them 3 s: a window in the middle is of 0.9 to 1.1 s."""

    def fill(folder: Path) -> None:
        write_media(folder / "ramp.wav", wave=np.linspace(0, 0.9, 24000, dtype=np.float32), sample_rate=8000)
        two_seconds(folder, {"name": "x", "split": "test", "audio": "ramp.wav"})

    raw = published(tmp_path / "raw", fill)
    views = PLAIN | {"audio": {"waveform": {"sample_rate": 8000, "seconds": 0.2}}}
    recipe = recipe_of(raw, views, {"odd_readers:Given": {}}, clip_seconds=0.2)
    folders = prepare(recipe, tmp_path / "prep", 1, tmp_path / "resume")
    rows = {name: [row for row in clips_of(folder) if row["clip"] == "x"] for name, folder in folders.items()}
    assert [row["start_seconds"] for (row,) in rows.values()] == ["0.9", "0.9"]
    test = Split({"audio": folders["audio"]}, "test", torch.device("cpu"))
    # 0.9 over 3 s: 0.27 at 0.9 s, 0.33 at 1.1 s.
    assert float(test.batch(np.array([1])).inputs["audio"].mean()) == pytest.approx(0.3, abs=0.002)


@pytest.mark.parametrize("text", ["", "[]", '{"files": {}, "clips": [], "dropped": []}'])
def test_a_damaged_note_of_a_shard_is_no_finished_shard(raw: Path, made: Path, tmp_path: Path, text: str) -> None:
    key = first_shard(raw, made)
    note = made / "resume/shards" / key / "shard.json"
    good = note.read_text(encoding="utf-8")
    note.write_text(text, encoding="utf-8")
    prepare(recipe_of(raw, VIEWS, {"grid": {}}), tmp_path / "prep", 1, made / "resume")
    assert note.read_text(encoding="utf-8") == good


@pytest.mark.parametrize(
    ("span", "seconds", "count", "expected"),
    [
        ((0.0, 10.0), None, 1, [(0, 10)]),
        ((0.0, 10.0), 2.0, 1, [(4, 6)]),
        ((0.0, 10.0), 2.0, 3, [(0, 2), (4, 6), (8, 10)]),
        ((1.0, 2.0), 4.0, 2, [(1, 2), (1, 2)]),
    ],
)
def test_windows_are_evenly_spaced(
    span: tuple[float, float], seconds: float | None, count: int, expected: list[tuple[float, float]]
) -> None:
    assert spread(*span, seconds, count) == expected


def command(recipe: dict[str, Any], folder: Path, threads: int) -> list[str]:
    """The step that prepares the pictures; their clips are selected at once."""
    select_clips.publish_selection(select_recipe(recipe), folder / "selection", folder)
    recipe = media_recipe(recipe, "visual", folder / "selection")
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    step = [sys.executable, "-m", "avbalance.prepare.media", "--recipe", "recipe.json", "--out", "prep"]
    return [*step, "--threads", str(threads)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_killed_worker_is_one_line_and_the_same_command_goes_on(raw: Path, made: Path, tmp_path: Path) -> None:
    """Half a minute, for workers start, die and start again."""
    recipe = recipe_of(raw, VIEWS, {"grid": {}})
    call = command(recipe, tmp_path, 2)
    process = subprocess.Popen(call, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, encoding="utf-8")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("results/resume/shards/[!.]*/shard.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.005)
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    workers = [int(task) for task in tasks if "spawn_main" in Path(f"/proc/{task}/cmdline").read_text(encoding="utf-8")]
    os.kill(workers[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: a worker was killed")
    assert "Traceback" not in errors
    assert not (tmp_path / "prep").exists()
    finished = shards_below(tmp_path / "results/resume/shards")
    assert finished
    subprocess.run(call, cwd=tmp_path, env=environment(), check=True, capture_output=True, timeout=60)
    assert store.read_manifest(tmp_path / "prep")["files"] == store.read_manifest(made / "prep/visual")["files"]
    kept = shards_below(tmp_path / "results/resume/shards")
    assert {key: kept[key] for key in finished} == finished


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_step(raw: Path, tmp_path: Path, sent: signal.Signals) -> None:
    slow = {"visual": {"flow": {"size": 128, "num_frames": 12}}}
    call = command(recipe_of(raw, slow, {"grid": {}}), tmp_path, 2)
    process = subprocess.Popen(call, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, encoding="utf-8")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("results/resume/shards/.*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    process.send_signal(sent)
    _, errors = process.communicate(timeout=30)
    if sent == signal.SIGTERM:
        assert errors.strip().splitlines()[-1].startswith("interrupted; finished work is kept")
        assert list(tmp_path.glob(".prep.*")) == []
    deadline = time.monotonic() + 10
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: str) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def shards_below(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_ino for path in folder.glob("[!.]*/shard.json")}


def test_a_full_disk_is_one_line_and_leaves_nothing_unfinished(raw: Path, tmp_path: Path) -> None:
    # No file may grow beyond 32 KiB, as on a disk with no more room: the arrays of frames do.
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 * 1024, 32 * 1024))

    recipe = recipe_of(raw, VIEWS, {"grid": {}})
    done = subprocess.run(
        command(recipe, tmp_path, 1), cwd=tmp_path, env=environment(), capture_output=True, encoding="utf-8",
        preexec_fn=limit, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: prep: File too large")
    assert "Traceback" not in done.stderr
    left = [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and path.parent.name != "selection" and path.name != "recipe.json"
    ]
    assert left == []


@pytest.mark.parametrize(("detector", "takes"), [("given", "cpu"), ("retinaface_resnet50", "cuda")])
def test_a_gpu_is_taken_only_for_a_detector_that_uses_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detector: str, takes: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    recipe = recipe_of(tmp_path / "none", {"visual": {"faces": {"detector": {detector: {}}}}}, {"grid": {}})
    # 'cuda' does not exist: only a step that wants it says so, the other goes on to its clips
    with pytest.raises(UserError, match="'cuda' does not exist" if takes == "cuda" else "none"):
        media.run(media_recipe(recipe, "visual", tmp_path / "none"), tmp_path / "prep", device="cuda")
