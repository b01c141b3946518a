"""Lists of checksums made from a real web server on this machine and from a folder of media."""

import hashlib
import shutil
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from avbalance.cli import UserError
from avbalance.planning.data import read_checksums
from avbalance.prepare import fetch
from avbalance.prepare import record as step
from avbalance.prepare.download import download
from avbalance.prepare.record import record

CONFIG = Path(__file__).parents[2] / "config"


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
    scale = yaml.safe_load((CONFIG / "scales/miniature.yaml").read_text())
    (config / "scales/miniature.yaml").write_text(yaml.safe_dump(scale | {"datasets": {}, "tables": [], "starts": {}}))
    return config.parent


def add(root: Path, kind: str, name: str, *files: dict[str, Any]) -> None:
    content: dict[str, Any] = {"title": name, "licence": "free", "citation": "none"}
    if kind == "datasets":
        content |= {"num_classes": 2, "modalities": ["audio"], "reader": "avmnist"}
        content["sources"] = {"own": {"files": list(files)}}
    else:
        content["files"] = list(files)
    (root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


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
    (folder / "val.txt").write_text(f"{address}/big/val/a.bin")
    (root / "config/datasets/more.urls").write_text(f"{address}/big/extra.bin\n")
    index = [f"{address}/train.txt", f"{address}/val.txt", "more.urls"]
    entry = {"list": "all.sha256", "path": "set", "urls": [f"{address}/big/{{path}}"], "index": index}
    add(root, "datasets", "clips", entry)
    assert record("clips", root, None, tmp_path / "cache") == [root / "config/datasets/all.sha256"]
    names = ["extra.bin", "train/a.bin", "train/b c.bin", "val/a.bin"]
    written = (root / "config/datasets/all.sha256").read_text()
    assert written == "".join(f"{sha256(name.encode())}  {name}\n" for name in names)

    shutil.rmtree(folder)  # from now on there is the cache alone
    entries = read_checksums(root / "config/datasets/all.sha256")
    file = entry | {"list": {"list": "all.sha256", "entries": entries}}
    recipe = {"step": "download", "name": "x", "settings": {"files": [file]}, "inputs": {}}
    download(recipe, tmp_path / "raw", cache=tmp_path / "cache")
    assert {name: (tmp_path / "raw/set" / name).read_bytes().decode() for name in names} == dict(
        zip(names, names, strict=True)
    )
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_list_that_is_there_is_left_alone(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"list": "all.sha256", "urls": ["http://127.0.0.1:9/{path}"], "index": ["no.urls"]})
    (root / "config/datasets/all.sha256").write_text("as it is")
    assert record("clips", root, None, tmp_path / "cache") == []
    assert (root / "config/datasets/all.sha256").read_text() == "as it is"


def test_media_brought_by_the_user_are_all_files_below_their_folder_of_the_mirror(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"list": "media.sha256", "path": "videos", "request": "get them from YouTube"})
    (root / "config/datasets/shared.yaml").write_text(
        (root / "config/datasets/clips.yaml").read_text().partition("sources:")[0] + "sources: clips\n"
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
    assert (root / "config/datasets/media.sha256").read_text() == (
        f"{sha256(b'a/c.mp4')}  a/c.mp4\n{sha256(b'b.mp4')}  b.mp4\n"
    )


def test_a_list_of_a_model_is_written_beside_the_model(web: tuple[Path, str], root: Path, tmp_path: Path) -> None:
    folder, address = web
    (folder / "net.onnx").write_bytes(b"weights")
    (root / "config/models/net.urls").write_text(f"{address}/net.onnx\n")
    add(root, "models", "net", {"list": "net.sha256", "urls": [f"{address}/{{path}}"], "index": ["net.urls"]})
    record("net", root, None, tmp_path / "cache")
    assert (root / "config/models/net.sha256").read_text() == f"{sha256(b'weights')}  net.onnx\n"


def test_nothing_is_written_when_a_file_cannot_be_had(
    web: tuple[Path, str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "RETRY_SECONDS", (0.0,))
    folder, address = web
    (folder / "a").write_bytes(b"a")
    (root / "config/datasets/two.urls").write_text(f"{address}/a\n{address}/b\n")
    add(root, "datasets", "clips", {"list": "two.sha256", "urls": [f"{address}/{{path}}"], "index": ["two.urls"]})
    before = sorted((root / "config/datasets").iterdir())
    with pytest.raises(UserError, match=r"^b cannot be had; tried http://.*/b \(404"):
        record("clips", root, None, tmp_path / "cache")
    assert sorted((root / "config/datasets").iterdir()) == before


@pytest.mark.parametrize("address", ["https://example.org/b.mp4", "https://example.com/"])
def test_an_index_of_other_addresses_is_one_line(root: Path, tmp_path: Path, address: str) -> None:
    (root / "config/datasets/two.urls").write_text(f"{address}\n")
    add(
        root, "datasets", "clips", {"list": "two.sha256", "urls": ["https://example.com/{path}"], "index": ["two.urls"]}
    )
    with pytest.raises(UserError, match=rf"two\.urls: '{address}' has not the form 'https://example\.com/"):
        record("clips", root, None, tmp_path / "cache")


def test_an_unknown_name_is_one_line_with_the_nearest(root: Path, tmp_path: Path) -> None:
    add(root, "datasets", "clips", {"path": "a", "urls": ["http://127.0.0.1:9/a"], "md5": "0" * 32})
    with pytest.raises(UserError, match="'clip' is no dataset and no model; did you mean 'clips'"):
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
    assert capsys.readouterr().out == "clips: no list is missing\n"
