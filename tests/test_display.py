"""The display of a workflow of three jobs, of which one fails, in a terminal and in a log."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from avbalance import display

ROOT = Path(__file__).parents[1]
SNAKEFILE = """
from pathlib import Path
from avbalance import display

onstart:
    draw = lambda: f"report of {len(list(Path().glob('*.txt')))} files"
    display.start(draw, workflow.output_settings.quiet)

rule all:
    input: "good.txt", "bad.txt"

rule good:
    output: "good.txt"
    log: "good.log"
    shell: "touch begun; sleep $PAUSE; touch {output}"

rule bad:
    output: "bad.txt"
    log: "bad.log"
    shell: "seq 50 > {log}; exit 1"
"""
COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", "--keep-going"]
HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
BLOCK = "jobid: "
"""Beginning of the block that Snakemake prints of each job."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    return tmp_path


def environment(pause: float) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm", "PAUSE": str(pause)}


def in_log(folder: Path, *options: str) -> str:
    """Log of a run, on a machine that asks for colours."""
    forced = {**environment(0), "FORCE_COLOR": "1"}
    command = [*COMMAND, *options]
    done = subprocess.run(command, cwd=folder, env=forced, capture_output=True, encoding="utf-8", check=False)
    return done.stdout + done.stderr


def in_terminal(folder: Path, pause: float, interrupted: bool = False) -> str:
    """Text that a terminal receives from a run; Ctrl-C is pressed once a job has begun."""
    main, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    process = subprocess.Popen(
        COMMAND, cwd=folder, env=environment(pause), stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    output, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            output += os.read(main, 4096)
        except OSError:  # the other side is closed
            break
        if interrupted and (folder / "begun").exists():
            os.killpg(process.pid, signal.SIGINT)
            interrupted = False
    os.close(main)
    assert process.wait() == 1
    return output.decode()


def test_a_terminal_shows_a_report_that_changes_and_the_failure_above_it(folder: Path) -> None:
    shown = in_terminal(folder, pause=4)
    assert shown.index("report of 0 files") < shown.index("failed: bad bad") < shown.rindex("report of 1 files")
    assert "log: bad.log" in shown
    assert [f"        {line}\r\n" in shown for line in (40, 41, 50)] == [False, True, True]
    assert BLOCK not in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)
    assert shown.rindex("report of 1 files") > shown.rindex("At least one job did not complete")
    (log,) = (folder / ".snakemake" / "log").iterdir()
    assert BLOCK in log.read_text(encoding="utf-8")


def test_ctrl_c_leaves_a_clean_terminal(folder: Path) -> None:
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background commands ignore it
    shown = in_terminal(folder, pause=60, interrupted=True)
    signal.signal(signal.SIGINT, inherited)
    assert "Terminating processes on user request" in shown
    assert shown.rindex(SHOW_CURSOR) > shown.rindex(HIDE_CURSOR)


def test_a_log_has_a_line_for_each_job_and_no_escape_codes(folder: Path) -> None:
    shown = in_log(folder)
    assert "\x1b" not in shown
    assert "1 of 3 jobs: good good, 0." in shown
    assert [line for line in shown.splitlines() if line.startswith("failed: ")] == ["failed: bad bad"]
    assert "        50\n" in shown
    assert "report" not in shown
    assert BLOCK not in shown


@pytest.mark.parametrize(("option", "expected"), [("--dry-run", True), ("--quiet", False)])
def test_a_dry_run_and_a_quiet_one_are_snakemakes_own(folder: Path, option: str, expected: bool) -> None:
    shown = in_log(folder, option)
    assert (BLOCK in shown) == expected
    assert "1 of 3 jobs" not in shown
    assert "failed: bad" not in shown


def test_a_failure_shows_what_the_executor_says_but_not_the_whole_command() -> None:
    said = (
        "Submission failed. The message was 'Memory specification\n  can not be satisfied'.\nsbatch call:\n"
        + "x" * 1000
    )
    job = {"rule_name": "train_run", "log": [], "aux": {"external_jobid": "7"}, "rule_msg": said + "\nmore"}
    assert display.failure(job).splitlines() == [
        "failed: train_run",
        "    Submission failed. The message was 'Memory specification",
        "      can not be satisfied'.",
        "    sbatch call:",
        "    " + "x" * 300,
        "    external_jobid: 7",
    ]
