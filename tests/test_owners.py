import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avbalance import owners

FILL = """
import sys
from pathlib import Path
from avbalance import owners
with owners.filling(Path("a")) as folder:
    (folder / "text").write_text(sys.argv[1])
    print("filled", flush=True)
    sys.stdin.readline()
"""


def start(folder: Path, text: str) -> subprocess.Popen[str]:
    """A process that fills folder `a`, finishes it after a line of input, and dies without one."""
    process = subprocess.Popen(
        [sys.executable, "-c", FILL, text], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "filled\n"
    return process


def make(path: Path) -> None:
    with owners.filling(path) as folder:
        (folder / "text").write_text("mine", encoding="utf-8")


def unfinished(folder: Path) -> list[Path]:
    return sorted(folder.glob(".a.*.unfinished"))


def test_what_a_killed_process_left_goes_and_what_a_living_one_fills_stays(tmp_path: Path) -> None:
    with start(tmp_path, "killed") as killed:
        assert owners.is_being_filled(tmp_path / "a")
        killed.kill()
    (dead,) = unfinished(tmp_path)
    assert not owners.is_being_filled(tmp_path / "a")
    with start(tmp_path, "living") as living:
        (left,) = unfinished(tmp_path)
        assert left != dead
        make(tmp_path / "a")
        assert unfinished(tmp_path) == [left]
        living.communicate("\n")
    assert unfinished(tmp_path) == []


def test_of_two_that_fill_the_same_folder_the_first_that_ends_stays(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()  # as Snakemake makes the folders of outputs
    with start(tmp_path, "first") as first, start(tmp_path, "second") as second:
        second.communicate("\n")
        first.communicate("\n")
        assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "a" / "text").read_text(encoding="utf-8") == "second"
    assert unfinished(tmp_path) == []


def test_what_the_folder_held_before_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "damaged").touch()
    make(tmp_path / "a")
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["text"]


@pytest.mark.parametrize(
    ("host", "start", "age", "alive"),
    [
        ("node.cluster.example", "1", 0, True),
        ("node.cluster.example", "1", owners.SILENT_SECONDS + 60, False),
        (socket.gethostname(), "", owners.SILENT_SECONDS + 60, True),
        (socket.gethostname(), "1", 0, False),
    ],
    ids=["elsewhere", "silent elsewhere", "silent here", "another process here with its number"],
)
def test_a_process_elsewhere_lives_while_it_is_heard(
    tmp_path: Path, host: str, start: str, age: float, alive: bool
) -> None:
    pid = os.getppid()
    left = tmp_path / f".a.{host}.{pid}.{owners._start_of(pid)}{start}.unfinished"
    left.mkdir()
    os.utime(left, (time.time() - age,) * 2)
    assert owners.is_being_filled(tmp_path / "a") == alive
    make(tmp_path / "a")
    assert left.exists() == alive


def test_the_owner_of_a_folder_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "BEAT_SECONDS", 0.01)
    with owners.filling(tmp_path / "a") as folder:
        os.utime(folder, (0, 0))
        deadline = time.monotonic() + 10
        while time.time() - folder.stat().st_mtime > owners.SILENT_SECONDS:
            assert time.monotonic() < deadline
            time.sleep(0.01)
