"""Artifacts travel by DVC: a folder, and a plain HTTP server."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
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
    folders = copy.run("python", "-m", "avbalance.plan", "scale=small", PYTHONPATH="src").split()
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


OGM = "results/bundles/avmnist-concat-linear-ogm_ge.tar.xz"


def test_one_row_is_pulled_alone(clone: Checkout) -> None:
    clone.run("dvc", "pull", "-q", OGM)
    assert NOTHING in clone.snakemake("-n")
    (run,), (probe,) = clone.artifacts("runs"), clone.artifacts("probes")
    assert run.name.startswith("avmnist-concat-linear-ogm_ge-s0.")
    assert probe.name.startswith("avmnist-concat-linear-ogm_ge-s0.")
    said = clone.run("python", "-m", "avbalance.bundle", "scale=small", check=False, PYTHONPATH="src")
    assert "error: 4 artifacts are in bundles that are not pulled; run 'dvc pull' first" in said


def test_runs_of_ones_own_survive_a_pull_and_a_new_bundle(clone: Checkout) -> None:
    mine = clone.path / "results" / "runs" / "mine-000000000000"
    mine.mkdir(parents=True)
    (mine / "metrics.json").write_text("{}", encoding="utf-8")
    clone.run("dvc", "pull", "-q")
    record = clone.path / "results/bundles.dvc"
    before = record.read_bytes()
    said = clone.run("python", "-m", "avbalance.bundle", "scale=small", PYTHONPATH="src")
    assert "6 of 6 artifacts that tables read are in 4 bundles, " in said
    assert record.read_bytes() == before  # the same artifacts give the same bytes
    assert (mine / "metrics.json").exists()
    assert len(clone.artifacts("runs")) == 4
    assert clone.run("git", "status", "--short") == ""


def test_a_bundle_damaged_in_the_remote_or_here_is_named_and_the_others_are_pulled(clone: Checkout) -> None:
    """A third of a minute, for DVC and the workflow both refuse and restore."""
    outs = yaml.safe_load((clone.path / "results/bundles.dvc").read_text(encoding="utf-8"))["outs"]
    (checksum,) = (out["md5"] for out in outs if f"results/{out['path']}" == OGM)
    stored = clone.path / "results/remote/files/md5" / checksum[:2] / checksum[2:]
    content = stored.read_bytes()
    damaged = content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]
    stored.chmod(0o644)
    stored.write_bytes(damaged)
    assert f"Checkout failed for following targets:\n{OGM}\n" in clone.run("dvc", "pull", check=False)
    assert len(list((clone.path / "results/bundles").iterdir())) == 3
    stored.write_bytes(content)
    clone.run("dvc", "pull", "-q")
    assert (clone.path / OGM).read_bytes() == content
    (clone.path / OGM).unlink()
    (clone.path / OGM).write_bytes(damaged)
    for said in (
        clone.snakemake("-n", check=False),
        clone.run("python", "-m", "avbalance.verify", check=False, PYTHONPATH="src"),
    ):
        assert f"error: {OGM} is damaged (" in said
        assert "Traceback" not in said
    clone.run(*said.split("'")[1].split())
    assert NOTHING in clone.snakemake("-n")
    assert len(clone.artifacts("runs")) == 4


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
