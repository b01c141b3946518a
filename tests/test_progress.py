import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from avbalance import owners, progress, store
from avbalance.progress import FILE, Progress


def test_the_file_says_who_works_and_how_far_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start = time.time()
    step = Progress(store.RESUME / "run-0", 10, "epoch", done=4)
    parts = progress.read("run-0")
    assert parts is not None
    assert start <= parts.started == parts.time <= time.time()
    assert (parts.owner, parts.unit) == (owners.this_process(), "epoch")
    assert (parts.first, parts.done, parts.total, parts.seconds) == (4, 4, 10, None)
    step.advance(val_loss=0.5)
    step.advance(val_loss=0.25)
    later = progress.read("run-0")
    assert later is not None
    assert (later.first, later.done, later.total) == (4, 6, 10)
    assert later.seconds == (later.time - parts.started) / 2
    step.close()
    assert progress.read("run-0") is None


@pytest.mark.parametrize("content", ["", "{", "5", "{}"])
def test_a_damaged_file_tells_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / store.RESUME / "run-0" / FILE
    file.parent.mkdir(parents=True)
    file.write_text(content, encoding="utf-8")
    assert progress.read("run-0", tmp_path) is None


def test_the_file_is_gone_and_nothing_else_is_touched_when_the_step_has_finished(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_text("", encoding="utf-8")
    progress = Progress(tmp_path, 1, "epoch")
    progress.advance()
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.pt", FILE}
    progress.close()
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_log_has_a_line_for_each_part(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from avbalance.progress import Progress; "
        "p = Progress(Path(sys.argv[1]), 60, 'epoch', 11); p.advance(train_loss=0.123456, val_loss=2); "
        "print(open(sys.argv[2]).read(), end=''); p.close()"
    )
    log = tmp_path / "run-0.log"
    with log.open("w", encoding="utf-8") as opened:
        command = [sys.executable, "-c", code, str(tmp_path / "run-0"), str(log)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=opened, encoding="utf-8", check=True)
    first, second = log.read_text(encoding="utf-8").splitlines()
    assert first == "run-0: 11 of at most 60 epochs are done"
    assert re.fullmatch(r"epoch 12 of 60, train_loss 0.1235, val_loss 2, \d+\.\d s", second)
    assert done.stdout == log.read_text(encoding="utf-8")  # at once, not when the step ends


def test_a_terminal_shows_the_step_and_its_figures(tmp_path: Path) -> None:
    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    code = (
        "import sys; from pathlib import Path; from avbalance.progress import Progress; "
        "p = Progress(Path(sys.argv[1]), 2, 'epoch'); p.advance(val_loss=0.123456); p.advance(val_loss=2); p.close()"
    )
    folder = tmp_path / "run-0"
    subprocess.run([sys.executable, "-c", code, str(folder)], stderr=terminal, check=True)
    os.close(terminal)
    output = os.read(main, 100_000).decode()
    assert "run-0" in output
    assert "2/2" in output
    assert "val_loss=2" in output
