"""Lists of checksums made from a real web server on this machine and from a folder of media."""

import hashlib
import os
import shutil
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from avbalance import record as step
from avbalance.data.lists import read_checksums
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import fetch
from avbalance.prepare.download import download
from avbalance.record import record

CONFIG = Path(__file__).parents[1] / "config"


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Be quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project whose data sets and models a test adds."""
    config = tmp_path / "project/config"
    for folder in ("datasets", "models", "scales"):
        (config / folder).mkdir(parents=True)
    shutil.copy(CONFIG / "config.yaml", config)
    scale = yaml.safe_load((CONFIG / "scales/miniature.yaml").read_text(encoding="utf-8"))
    (config / "scales/miniature.yaml").write_text(
        yaml.safe_dump(scale | {"datasets": {}, "tables": [], "starts": {}}), encoding="utf-8"
    )
    return config.parent


def add(root: Path, kind: str, name: str, *files: dict[str, Any]) -> None:
    content: dict[str, Any] = {"title": name, "licence": "free", "citation": "none"}
    if kind == "datasets":
        content |= {"num_classes": 2, "modalities": ["audio"], "reader": "avmnist"}
        content["sources"] = {"own": {"files": list(files)}}
    else:
        content["files"] = list(files)
    (root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_an_index_lists_is_fetched_hashed_and_kept_for_the_download(
    web: tuple[Path, str], root: Path, tmp_path: Path
) -> None:
    folder, address = web
    for name in ("train/b c.bin", "train/a.bin", "val/a.bin", "extra.bin"):
        (folder / "big" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "big" / name).write_bytes(name.encode())
    # A byte order mark, CRLF, an empty line, a line twice; not sorted.
    lines = [f"{address}/big/{name}" for name in ("train/b%20c.bin", "train/a.bin", "train/a.bin")]
    (folder / "train.txt").write_bytes("\r\n".join([*lines, "", ""]).encode("utf-8-sig"))
    (folder / "val.txt").write_text(f"{address}/big/val/a.bin", encoding="utf-8")
    (root / "config/datasets/more.urls").write_text(f"{address}/big/extra.bin\n", encoding="utf-8")
    index = [f"{address}/train.txt", f"{address}/val.txt", "more.urls"]
    entry = {"list": "all.sha256", "path": "set", "urls": [f"{address}/big/{{path}}"], "index": index}
    add(root, "datasets", "clips", entry)
    assert record("clips", root, None, tmp_path / "cache") == [root / "config/datasets/all.sha256"]
    names = ["extra.bin", "train/a.bin", "train/b c.bin", "val/a.bin"]
    written = (root / "config/datasets/all.sha256").read_text(encoding="utf-8")
    assert written == "".join(f"{sha256(name.encode())}  {name}\n" for name in names)

    shutil.rmtree(folder)  # from now on there is the cache alone
    file = entry | {"list": named(root / "config/datasets/all.sha256")}
    recipe = {"step": "download", "name": "x", "settings": {"files": [file]}, "inputs": {}}
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert {name: (tmp_path / "raw/set" / name).read_bytes().decode() for name in names} == dict(
        zip(names, names, strict=True)
    )
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_list_that_is_there_is_left_alone(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"list": "all.sha256", "urls": ["http://127.0.0.1:9/{path}"], "index": ["no.urls"]})
    (root / "config/datasets/all.sha256").write_text("as it is", encoding="utf-8")
    assert record("clips", root, None, tmp_path / "cache") == []
    assert (root / "config/datasets/all.sha256").read_text(encoding="utf-8") == "as it is"


def test_media_brought_by_the_user_are_all_files_below_their_folder_of_the_mirror(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"list": "media.sha256", "path": "videos", "request": "get them from YouTube"})
    (root / "config/datasets/shared.yaml").write_text(
        (root / "config/datasets/clips.yaml").read_text(encoding="utf-8").partition("sources:")[0] + "sources: clips\n",
        encoding="utf-8",
    )
    with pytest.raises(UserError, match="give --mirror MIRROR, a folder"):
        record("shared", root, None, tmp_path / "cache")
    with pytest.raises(UserError, match="mirror/videos: holds no files; get them from YouTube"):
        record("shared", root, str(tmp_path / "mirror"), tmp_path / "cache")
    for name in ("b.mp4", "a/c.mp4"):
        (tmp_path / "mirror/videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror/videos" / name).write_bytes(name.encode())
    (tmp_path / "mirror/other.mp4").write_bytes(b"of another dataset")
    record("shared", root, str(tmp_path / "mirror"), tmp_path / "cache")
    assert (root / "config/datasets/media.sha256").read_text(encoding="utf-8") == (
        f"{sha256(b'a/c.mp4')}  a/c.mp4\n{sha256(b'b.mp4')}  b.mp4\n"
    )


def brought(root: Path, tmp_path: Path, **files: bytes) -> tuple[Path, str]:
    """A dataset that is brought; returns the folder of its files and the mirror."""
    add(root, "datasets", "birds", {"list": "birds.sha256", "path": "birds", "request": "copy the folder birds"})
    folder = tmp_path / "mirror/birds"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder, str(tmp_path / "mirror")


@pytest.mark.parametrize("layout", ["parts", "whole", "unpacked"])
def test_an_archive_is_recorded_and_read_whole_in_parts_or_unpacked(root: Path, tmp_path: Path, layout: str) -> None:
    files = {"mp4/id1/a.mp4": b"first" * 500, "mp4/id2/b.mp4": b"second" * 500}
    entry = {"list": "birds.sha256", "path": "birds", "request": "copy the folder birds", "unpack": True}
    add(root, "datasets", "birds", entry)
    folder = tmp_path / "mirror/birds"
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / "dev.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    if layout == "unpacked":
        with zipfile.ZipFile(folder / "dev.zip") as archive:
            archive.extractall(folder)
    if layout == "parts":
        content = (folder / "dev.zip").read_bytes()
        for name, part in (("dev_partaa", content[:2000]), ("dev_partab", content[2000:])):
            (folder / name).write_bytes(part)
    if layout != "whole":
        (folder / "dev.zip").unlink()
    (path,) = record("birds", root, str(tmp_path / "mirror"), tmp_path / "cache")
    assert list(read_checksums(path)) == {"parts": ["dev"], "whole": ["dev.zip"], "unpacked": list(files)}[layout]
    assert record("birds", root, str(tmp_path / "mirror"), tmp_path / "cache") == []  # compared, and equal
    recipe = {"settings": {"files": [entry | {"list": named(path), "urls": []}]}}
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    raw = RawFiles(tmp_path / "raw")
    assert raw.matching("birds/mp4/*/*.mp4") == [f"birds/{name}" for name in files]
    for name in raw.checksums:
        raw.check(name)


def test_files_behind_links_are_listed_and_loops_end(root: Path, tmp_path: Path) -> None:
    folder, mirror = brought(root, tmp_path, list=b"l")
    disk = tmp_path / "disk"
    (disk / "deep").mkdir(parents=True)
    for name in ("a", "deep/b"):
        (disk / name).write_bytes(name.encode())
    (folder / "clips").symlink_to(disk, target_is_directory=True)
    (folder / "again").symlink_to(disk / "deep", target_is_directory=True)
    (folder / "c").symlink_to(disk / "a")
    (disk / "deep/up").symlink_to(disk, target_is_directory=True)
    (disk / "back").symlink_to(folder, target_is_directory=True)
    (path,) = record("birds", root, mirror, tmp_path / "cache")
    names = {"list": b"l", "c": b"a", "clips/a": b"a", "clips/deep/b": b"deep/b", "again/b": b"deep/b"}
    # Through `again`, `up` leads to the disk for the first time.
    assert names.items() <= contents(folder, path).items()
    assert not any("back/clips" in name or "up/deep/up" in name for name in read_checksums(path))
    recipe = {"step": "download", "name": "x", "inputs": {}}
    entry = {"list": named(path), "path": "birds", "urls": []}
    download(recipe | {"settings": {"files": [entry]}}, tmp_path / "raw", mirror, tmp_path / "cache")
    assert (tmp_path / "raw/birds/clips/deep/b").read_bytes() == b"deep/b"
    assert not any(place.is_symlink() for place in (tmp_path / "raw").rglob("*"))

    (folder / "lost").symlink_to(disk / "nothing")
    with pytest.raises(UserError, match=r"mirror/birds/lost: is a link to '.*/disk/nothing', which does not exist"):
        record("birds", root, mirror, tmp_path / "cache", again=True)


def named(path: Path) -> dict[str, str]:
    """A list of checksums as a recipe names it."""
    return {"path": str(path), "sha256": sha256(path.read_bytes())}


def contents(folder: Path, path: Path) -> dict[str, bytes]:
    """The files that a list names; each has the listed checksum."""
    found = {name: (folder / name).read_bytes() for name in read_checksums(path)}
    assert {name: sha256(content) for name, content in found.items()} == read_checksums(path)
    return found


def test_a_list_is_compared_with_the_mirror_and_made_anew_when_asked(root: Path, tmp_path: Path) -> None:
    folder, mirror = brought(root, tmp_path, a=b"1", b=b"2", c=b"3")
    (path,) = record("birds", root, mirror, tmp_path / "cache")
    before = path.read_text(encoding="utf-8")
    assert record("birds", root, mirror, tmp_path / "cache") == []
    (folder / "a").write_bytes(b"corrected")
    (folder / "b").rename(folder / "d")
    with pytest.raises(UserError) as error:
        record("birds", root, mirror, tmp_path / "cache")
    assert str(error.value) == (
        f"{path}: differs from the mirror in 3 files: a has other bytes, b does not exist, d is not listed; if the "
        "mirror is right, make the list anew with 'avbalance record birds --again'"
    )
    assert path.read_text(encoding="utf-8") == before
    assert record("birds", root, None, tmp_path / "cache") == []  # without a mirror, there is nothing to compare with
    assert record("birds", root, mirror, tmp_path / "cache", again=True) == [path]
    assert contents(folder, path) == {"a": b"corrected", "c": b"3", "d": b"2"}


def test_a_changed_file_that_was_brought_says_how_to_make_its_list_anew(root: Path, tmp_path: Path) -> None:
    folder, mirror = brought(root, tmp_path, a=b"1")
    (path,) = record("birds", root, mirror, tmp_path / "cache")
    (folder / "a").write_bytes(b"corrected")
    entry = {"list": named(path), "path": "birds", "urls": [], "request": "copy the folder birds"}
    recipe = {"step": "download", "name": "x", "inputs": {}, "settings": {"files": [entry]}}
    with pytest.raises(UserError, match=r"expected sha256 .* renew the list: .*--again"):
        download(recipe, tmp_path / "raw", mirror, tmp_path / "cache")


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"a\nb", b"a\rb", b" a", b"a "])
def test_a_name_that_no_list_can_hold_is_one_line(root: Path, tmp_path: Path, name: bytes) -> None:
    folder, mirror = brought(root, tmp_path)
    (folder / os.fsdecode(name)).write_bytes(b"x")
    with pytest.raises(UserError, match=r"birds\.sha256: cannot hold the name '.*'; allowed: UTF-8") as error:
        record("birds", root, mirror, tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["ä b.mp4", "a\u2028b", "a\x85b", "-rf", "$(x)'\"", "a\u00a0b"])
def test_any_other_name_is_listed_and_found_again(root: Path, tmp_path: Path, name: str) -> None:
    folder, mirror = brought(root, tmp_path, **{name: b"x"})
    (path,) = record("birds", root, mirror, tmp_path / "cache")
    assert contents(folder, path) == {name: b"x"}


def test_a_list_of_a_model_is_written_beside_the_model(web: tuple[Path, str], root: Path, tmp_path: Path) -> None:
    folder, address = web
    (folder / "net.onnx").write_bytes(b"weights")
    (root / "config/models/net.urls").write_text(f"{address}/net.onnx\n", encoding="utf-8")
    add(root, "models", "net", {"list": "net.sha256", "urls": [f"{address}/{{path}}"], "index": ["net.urls"]})
    record("net", root, None, tmp_path / "cache")
    assert (root / "config/models/net.sha256").read_text(encoding="utf-8") == f"{sha256(b'weights')}  net.onnx\n"


def test_nothing_is_written_when_a_file_cannot_be_had(
    web: tuple[Path, str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "RETRY_SECONDS", (0.0,))
    folder, address = web
    (folder / "a").write_bytes(b"a")
    (root / "config/datasets/two.urls").write_text(f"{address}/a\n{address}/b\n", encoding="utf-8")
    add(root, "datasets", "clips", {"list": "two.sha256", "urls": [f"{address}/{{path}}"], "index": ["two.urls"]})
    before = sorted((root / "config/datasets").iterdir())
    with pytest.raises(UserError, match=r"^b: no source has this file; tried http://.*/b \(404"):
        record("clips", root, None, tmp_path / "cache")
    assert sorted((root / "config/datasets").iterdir()) == before


@pytest.mark.parametrize("address", ["https://example.org/b.mp4", "https://example.com/"])
def test_an_index_of_other_addresses_is_one_line(root: Path, tmp_path: Path, address: str) -> None:
    (root / "config/datasets/two.urls").write_text(f"{address}\n", encoding="utf-8")
    add(
        root, "datasets", "clips", {"list": "two.sha256", "urls": ["https://example.com/{path}"], "index": ["two.urls"]}
    )
    with pytest.raises(UserError, match=rf"two\.urls: '{address}' does not have the form 'https://example\.com/"):
        record("clips", root, None, tmp_path / "cache")


def test_an_unknown_name_is_one_line_with_the_nearest(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"path": "a", "urls": ["http://127.0.0.1:9/a"], "md5": "0" * 32})
    with pytest.raises(UserError, match="'clip' is not a dataset or model; did you mean 'clips'"):
        record("clip", root, None, tmp_path / "cache")


def test_the_command_line_prints_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add(root, "datasets", "clips", {"list": "media.sha256", "path": "videos", "request": "get them from YouTube"})
    (tmp_path / "mirror/videos").mkdir(parents=True)
    (tmp_path / "mirror/videos/a.mp4").write_bytes(b"a")
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "argv", ["record", "clips", "--mirror", str(tmp_path / "mirror")])
    step.main()
    assert capsys.readouterr().out == "wrote config/datasets/media.sha256\n"
    step.main()
    assert capsys.readouterr().out == "clips: all lists exist and agree with the mirror\n"
