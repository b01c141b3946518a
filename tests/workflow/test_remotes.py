"""Artifacts travel by DVC: a folder, and a plain HTTP server."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from checkout import NOTHING, Checkout

from avbalance import plan
from avbalance.verify import check_artifact

ROOT = Path(__file__).parents[2]


class Storage(SimpleHTTPRequestHandler):
    """A web server that takes files by PUT, as nginx does with its DAV module."""

    def do_PUT(self) -> None:
        """Store the body."""
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or self._chunks())
        self.send_response(201)
        self.end_headers()

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return b""
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a storage server."""
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Storage, directory=tmp_path / "served")) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.mark.parametrize("kind", ["folder", "http"])
def test_weights_and_packed_data_travel_by_the_users_own_remote(
    kind: str, copy: Checkout, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = str(tmp_path / "store") if kind == "folder" else request.getfixturevalue("server")
    copy.run("dvc", "remote", "add", "--default", "store", url)
    copy.run("dvc", "remote", "modify", "store", "verify", "true")
    if kind == "http":
        copy.run("dvc", "remote", "modify", "store", "method", "PUT")
    folders = copy.run("python", "-m", "avbalance.plan", "--all", "scale=small", PYTHONPATH="src").split()
    copy.run("dvc", "add", "-q", *folders)
    copy.run("dvc", "push", "-q")
    copy.run("git", "add", "-A")
    copy.run("git", "commit", "-qm", "all artifacts")
    other = Checkout(tmp_path / "other")
    copy.run("git", "clone", "-q", str(copy.path), str(other.path))
    other.run("dvc", "pull", "-q")
    for folder in ("raw", "prep", "runs", "weights", "probes"):
        assert len(other.artifacts(folder)) == len(copy.artifacts(folder)) > 0
    assert NOTHING in other.snakemake("-n")
    said = other.run("python", "-m", "avbalance.verify", PYTHONPATH="src")
    assert "artifacts and " in said


def test_one_row_is_pulled_and_pushed_alone(clone: Checkout, tmp_path: Path) -> None:
    record = sorted((clone.path / "results" / "runs").glob("*.dvc"))[0]
    name = str(record.relative_to(clone.path))
    clone.run("dvc", "pull", "-q", name)
    (run,) = clone.artifacts("runs")
    assert run.name == record.stem
    clone.run("dvc", "remote", "add", "elsewhere", str(tmp_path / "elsewhere"))
    clone.run("dvc", "push", "-q", "--remote", "elsewhere", name)
    pushed = [file for file in (tmp_path / "elsewhere").rglob("*") if file.is_file()]
    assert len(pushed) == len(list(run.iterdir())) + 1  # and the listing of the folder


def test_runs_of_ones_own_survive_a_pull(clone: Checkout) -> None:
    mine = clone.path / "results" / "runs" / "mine-000000000000"
    mine.mkdir(parents=True)
    (mine / "metrics.json").write_text("{}", encoding="utf-8")
    clone.run("dvc", "pull", "-q")
    assert (mine / "metrics.json").exists()
    assert len(clone.artifacts("runs")) == 4


def test_an_object_damaged_in_the_remote_is_noticed(clone: Checkout) -> None:
    stored = max((clone.path / "results" / "remote").rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    stored.chmod(0o644)
    stored.write_bytes(b"x" + stored.read_bytes()[1:])
    said = clone.run("dvc", "pull", check=False)
    assert "ERROR" in said


def test_after_a_pull_dvc_has_nothing_to_report_and_nothing_to_do(pulled: Checkout) -> None:
    assert pulled.run("dvc", "status") == "Data and pipelines are up to date.\n"
    assert pulled.run("dvc", "repro").endswith("Data and pipelines are up to date.\n")
    assert pulled.run("git", "status", "--short") == ""


def test_the_files_of_grid_come_with_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AVBALANCE_MIRROR", raising=False)
    asked = {"scale": "laptop", "datasets": ["grid_digit", "grid_letter"]}
    (raw,) = (path for path in plan.make(ROOT, asked).artifacts if path.startswith("results/raw/grid_"))
    clone = Checkout(tmp_path)
    for name in (".dvc/config", f"{raw}.dvc"):
        (clone.path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone.path / name)
    (clone.path / "results/remote").symlink_to(ROOT / "results/remote")
    clone.run("git", "init", "-q")
    clone.run("dvc", "pull", "-q")
    check_artifact(clone.path / raw)
    assert (clone.path / raw / "grid_s1/clips.tar").stat().st_size == 27_873_280
