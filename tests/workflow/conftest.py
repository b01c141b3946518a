"""A small project, built for real by Snakemake and published by DVC, and fresh clones of it."""

import shutil
import subprocess
from pathlib import Path

import pytest
from checkout import Checkout, copy_of
from filelock import FileLock

ROOT = Path(__file__).parents[2]
SCALE = """
seeds: [0]
threads: 1
tables: [two_rows, one_figure]
training: {epochs: 2, batch_size: 32, learning_rate: 0.01, optimizer: sgd, patience: 2, precision: float32}
datasets:
  avmnist: {source: generated, reader: {num_train: 100, num_test: 50}}
"""
TABLE = """
title: Two rows
paper: none
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}, training: {optimizer: sgd}}
rows:
  concat: {}
  ogm: {balancer: {ogm_ge: {alpha: 0.5}}}
columns: [accuracy, acc_audio_alone, acc_audio_masked, acc_audio_probe]
expected: {concat: {accuracy: 90.0}}
claims:
  ogm_wins: {left: ogm, right: concat, metric: accuracy, relation: ">", text: OGM-GE wins}
"""
FIGURE = """
title: Curves
paper: none
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}
rows:
  concat: {}
figure: {curves: {}}
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """The project with a small scale and two tables of its own, which is built once for all workers of pytest-xdist."""
    if worker_id == "master":
        return build(tmp_path_factory.mktemp("built") / "project")
    done = tmp_path_factory.getbasetemp().parent / "built"
    with FileLock(f"{done}.lock"):
        if not done.exists():
            done.write_text(str(build(tmp_path_factory.mktemp("built") / "project").path), encoding="utf-8")
    return Checkout(Path(done.read_text(encoding="utf-8")))


def build(path: Path) -> Checkout:
    """Build the project, push it to its remote and commit it."""
    checkout = copy_of(ROOT, path)
    config = checkout.path / "config"
    for table in (config / "tables").iterdir():
        table.unlink()
    for scale in ("laptop", "paper"):  # they name tables
        (config / "scales" / f"{scale}.yaml").unlink()
    (config / "scales" / "small.yaml").write_text(SCALE, encoding="utf-8")
    (config / "tables" / "two_rows.yaml").write_text(TABLE, encoding="utf-8")
    (config / "tables" / "one_figure.yaml").write_text(FIGURE, encoding="utf-8")
    checkout.run("git", "init", "-q")
    checkout.run("git", "config", "user.name", "test")
    checkout.run("git", "config", "user.email", "test@example.org")
    checkout.snakemake()
    checkout.run("python", "-m", "avbalance.bundle", "scale=small", PYTHONPATH="src")
    checkout.run("dvc", "push", "-q")
    checkout.run("git", "add", "-A")
    checkout.run("git", "commit", "-qm", "built")
    return checkout


@pytest.fixture
def clone(built: Checkout, tmp_path: Path) -> Checkout:
    """A fresh clone: what a newcomer has."""
    subprocess.run(["git", "clone", "-q", built.path, tmp_path / "clone"], check=True)
    return Checkout(tmp_path / "clone")


@pytest.fixture
def pulled(clone: Checkout) -> Checkout:
    """A fresh clone after `dvc pull`."""
    clone.run("dvc", "pull", "-q")
    return clone


@pytest.fixture
def copy(built: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the built project with everything in it."""
    shutil.copytree(built.path, tmp_path / "copy", symlinks=True)
    return Checkout(tmp_path / "copy")
