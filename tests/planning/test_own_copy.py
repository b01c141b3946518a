import hashlib
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import official
from avbalance import plan, store
from avbalance.configuration.schema import SourceFile
from avbalance.data.lists import read_checksums
from avbalance.data.miniatures.synthetic import write_media
from avbalance.errors import UserError
from avbalance.planning.artifacts import Artifact, Plan
from avbalance.planning.own_copy import OwnCopy, suffix_of
from avbalance.prepare import download, extracted, media, select_clips
from avbalance.results.captions import count_own

URL = "https://example.org/{path}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mirror with two of three listed files."""
    for name in ("sound/a.wav", "sound/b.wav"):
        path = tmp_path / "mirror" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    lists = tmp_path / "config" / "datasets"
    lists.mkdir(parents=True)
    lines = [f"{'0' * 64}  sound/{name}.wav\n" for name in "abc"]
    (lists / "mine.sha256").write_text("".join(lines), encoding="utf-8")
    return tmp_path


def copy_of(root: Path, *files: SourceFile) -> OwnCopy:
    return OwnCopy(root, "mine", files, root / "mirror", ".mp4")


LISTED = SourceFile(list="mine.sha256", urls=[URL])
LABELS = SourceFile(path="labels.csv", urls=[URL], sha256="1" * 64)
ON_REQUEST = SourceFile(path="video/all.zip", request="ask", md5="2" * 32, unpack=True)


def test_listed_files_that_the_mirror_holds_are_recorded_with_their_own_checksums(folder: Path) -> None:
    files, labels = copy_of(folder, LISTED, LABELS, ON_REQUEST).record()
    path = folder / files["list"]["path"]
    assert path == folder / "results" / "recorded" / "mine" / "files.sha256"
    expected = {name: store.sha256(folder / "mirror" / name) for name in ("sound/a.wav", "sound/b.wav")}
    assert read_checksums(path, files["list"]["sha256"]) == expected
    assert files["urls"] == []  # nothing but the mirror
    assert labels["urls"] == [URL]  # which everyone may fetch, and which is checked
    assert labels["sha256"] == "1" * 64


def test_a_file_in_the_mirror_needs_no_published_checksum(folder: Path) -> None:
    (folder / "mirror" / "labels.csv").write_text("other labels", encoding="utf-8")
    (files,) = copy_of(folder, LISTED, LABELS).record()
    assert "labels.csv" in read_checksums(folder / files["list"]["path"], files["list"]["sha256"])


def test_the_contents_of_an_archive_may_lie_there_unpacked(folder: Path) -> None:
    (folder / "mirror" / "video" / "dev").mkdir(parents=True)
    (folder / "mirror" / "video" / "dev" / "a.mp4").write_bytes(b"video")
    entries = {Path(entry["list"]["path"]).stem: entry for entry in copy_of(folder, LISTED, ON_REQUEST).record()}
    assert entries["archives"]["unpack"] is True
    checksums = read_checksums(folder / entries["archives"]["list"]["path"], entries["archives"]["list"]["sha256"])
    assert list(checksums) == ["video/dev/a.mp4"]


def test_an_archive_in_parts_is_one_archive(folder: Path) -> None:
    for path, content in (("video/all_partaa", b"fir"), ("video/all_partab", b"st")):
        (folder / "mirror" / path).parent.mkdir(exist_ok=True)
        (folder / "mirror" / path).write_bytes(content)
    walked = SourceFile(path="video", list="none.sha256", request="ask", unpack=True)
    for file, name in ((ON_REQUEST, "video/all.zip"), (walked, "video/all")):
        (entry,) = copy_of(folder, file).record()
        checksums = read_checksums(folder / entry["list"]["path"], entry["list"]["sha256"])
        assert checksums == {name: hashlib.sha256(b"first").hexdigest()}


def test_a_mirror_without_any_of_the_files_has_no_copy(folder: Path) -> None:
    assert copy_of(folder, ON_REQUEST, LABELS).record() == []


def test_a_file_is_read_again_only_when_it_has_changed(folder: Path) -> None:
    first = copy_of(folder, LISTED).record()
    path = folder / "mirror" / "sound" / "a.wav"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.write_text("SOUND/A.WAV", encoding="utf-8")
    os.utime(path, ns=times)
    assert copy_of(folder, LISTED).record() == first  # same size and time: taken as unchanged
    os.utime(path)
    assert copy_of(folder, LISTED).record() != first


def test_frames_need_their_rate(folder: Path) -> None:
    write_media(folder / "mirror" / "sound" / "c" / "000001.jpg", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"sound/fps.txt: expected the frames per second"):
        copy_of(folder, LISTED).record()


def test_frames_become_a_video_with_the_sound_beside_them(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16, 3), 20 * index, np.uint8) for index in range(10)])
    for index, frame in enumerate(frames, start=1):
        write_media(tmp_path / "clip" / f"{index:06d}.png", frame[None])
    write_media(tmp_path / "clip.wav", wave=np.zeros(12800, np.float32), sample_rate=16000)
    (tmp_path / "fps.txt").write_text("12.5\n", encoding="utf-8")
    pictures = extracted.pictures_of(tmp_path / "clip")
    fps = extracted.read_fps(tmp_path / "clip")
    assert fps == Fraction(25, 2)
    extracted.join(pictures, fps, tmp_path / "clip.wav", tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as file:
        decoded = list(file.decode(video=0))
        assert [float(frame.time or 0) for frame in decoded] == pytest.approx([index * 0.08 for index in range(10)])
        assert np.array_equal([frame.to_ndarray(format="rgb24") for frame in decoded], frames)
        file.seek(0)
        assert sum(frame.samples for frame in file.decode(audio=0)) == 12800


def test_pictures_with_names_of_their_own_are_no_frames(tmp_path: Path) -> None:
    write_media(tmp_path / "n01440764" / "n01440764_10026.jpg", np.zeros((1, 8, 8, 3), np.uint8))
    assert extracted.pictures_of(tmp_path / "n01440764") == []


def test_frames_take_the_suffix_of_the_videos_that_a_reader_knows() -> None:
    assert suffix_of(("AudioWAV/*.wav", "VideoFlash/*.flv")) == ".flv"
    assert suffix_of(("images/*.jpg",)) == ".mp4"


def one(made: Plan, kind: str) -> Artifact:
    (artifact,) = [artifact for artifact in made.artifacts.values() if artifact.kind == kind]
    return artifact


def prepared_in(made: Plan) -> list[Artifact]:
    """Both modalities of the one dataset of a plan."""
    return [artifact for artifact in made.artifacts.values() if artifact.kind == "prep"]


@pytest.mark.parametrize("is_extracted", [False, True])
def test_a_part_of_cremad_is_prepared_from_videos_and_from_frames(
    planned: Plan, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_extracted: bool
) -> None:
    own = tmp_path / "own"
    names = official.cremad(mirror, own, 6, 1, is_extracted)
    monkeypatch.chdir(tmp_path)
    made = plan.make(Path(), {"scale": "paper", "tables": ["mmcosine_table2"], "mirror": str(own), "copy": "own"})
    raw, selection = one(made, "raw"), one(made, "selections")
    download.download(raw.recipe, Path(raw.path), str(own))
    select_clips.publish_selection(selection.recipe, Path(selection.path))
    for prep in prepared_in(made):
        media.prepare(prep.recipe, Path(prep.path), 1)
        (counts,) = count_own({"CREMA-D": prep.path}).values()
        assert counts == f"on {len(names)} of 7,442 clips (30 train, 6 val, 6 test)"


def test_own_copies_have_other_keys_and_no_numbers_of_the_paper(
    planned: Plan, mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    official.cremad(mirror, own, 1, 1)
    monkeypatch.chdir(tmp_path)
    asked = {"scale": "paper", "tables": ["mmcosine_table2"], "mirror": str(own)}
    published, mine = plan.make(Path(), asked), plan.make(Path(), {**asked, "copy": "own"})
    assert {artifact.key for artifact in published.artifacts.values()}.isdisjoint(
        artifact.key for artifact in mine.artifacts.values()
    )
    table = one(mine, "tables")
    assert table.path.startswith("results/tables/paper-own/mmcosine_table2.")
    assert list(table.settings["own"]) == ["CREMA-D"]
    assert table.settings["own"]["CREMA-D"] in {prep.path for prep in prepared_in(mine)}
    assert (table.settings["spec"]["expected"], table.settings["spec"]["claims"]) == ({}, {})
    assert one(published, "tables").settings["spec"]["expected"]["concat"]["accuracy"] == 60.08
    assert {each.settings["max_dropped"] for each in [one(mine, "selections"), *prepared_in(mine)]} == {1.0}
    assert table.settings["command"].endswith("tables=[mmcosine_table2] copy=own")


def test_own_copies_need_a_folder(planned: Plan) -> None:
    asked = {"scale": "paper", "tables": ["mmcosine_table2"], "mirror": "https://example.org", "copy": "own"}
    with pytest.raises(UserError, match="copy: own needs a folder with your files"):
        plan.make(planned.project.root, asked)
