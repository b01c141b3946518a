"""Display of a running workflow: a live report at the bottom of a terminal, or a line for each finished job in a log.

The display replaces Snakemake's messages about jobs. Errors and warnings stay, and Snakemake's own log below
`.snakemake/log/` keeps everything.
"""

import logging
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

JOBS = (LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED, LogEvent.PROGRESS, LogEvent.JOB_ERROR)
MESSAGES = ("Select jobs to execute...", "RuleException:\nCalledProcessError in file")
"""Beginnings of messages about jobs that have no event; the second stands beside each JOB_ERROR."""
SECONDS = 2.0
"""Time between two drawings."""
SHARE = 0.05
"""Largest share of a core that drawing takes."""
FIRST_LINES = 4
"""Number of lines of an executor's message that are shown; others repeat the whole command."""
MOST_CHARACTERS = 300
"""Length to which such a line is cut."""
LAST_LINES = 10
"""Number of lines of a failed job's log that are shown."""


def start(draw: Callable[[], RenderableType], quiet: Collection[object] | None) -> None:
    """Show the display until the process ends.

    Args:
        draw: Draws the report that a terminal shows.
        quiet: Values of Snakemake's option `--quiet`; with any, and with a logger of the user's choice (`--logger`),
            Snakemake's messages stay as they are.
    """
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler" and isinstance(handler, logging.StreamHandler) and not quiet:
            logger.addHandler(Display(handler, draw))


class Display(logging.Handler):
    """Handler of Snakemake's messages about jobs, which `printer` prints no more.

    Args:
        printer: Snakemake's handler for the terminal or log.
        draw: Draws the report.
    """

    def __init__(self, printer: "logging.StreamHandler[TextIO]", draw: Callable[[], RenderableType]) -> None:
        super().__init__()
        printer.addFilter(lambda record: not _is_routine(record))
        self._printer, self._draw = printer, draw
        self._begun: dict[int, tuple[str, float]] = {}  # {job: (name, time)}
        self._finished: list[str] = []
        self._picture: RenderableType = ""
        self._next = 0.0
        console = Console(file=printer.stream, soft_wrap=True, markup=False, emoji=False, highlight=False)
        self._live = None
        if printer.stream.isatty() and not console.is_dumb_terminal:
            self._live = Live(
                console=console, get_renderable=self._report, refresh_per_second=1 / SECONDS, redirect_stdout=False
            )
            self._live.start(refresh=True)
            printer.setStream(sys.stderr)  # which now prints above the report

    def emit(self, record: logging.LogRecord) -> None:
        """Handle a message of Snakemake."""
        values, event = vars(record), _event(record)
        if event == LogEvent.JOB_INFO:
            self._begun[values["jobid"]] = (_name(values), time.monotonic())
        elif event == LogEvent.JOB_FINISHED:
            name, begin = self._begun.pop(values["job_id"])
            self._finished.append(f"{name}, {time.monotonic() - begin:.1f} s")
        elif event == LogEvent.PROGRESS:
            if self._live is None:
                self._print(f"{values['done']} of {values['total']} jobs: {'; '.join(self._finished)}")
            self._finished.clear()
        elif event == LogEvent.JOB_ERROR:
            self._print(failure(values))

    def close(self) -> None:
        """Leave the last report on the terminal; Snakemake calls this before it ends, however it ends."""
        if self._live is not None:
            self._next = 0.0
            self._live.stop()
            self._printer.setStream(sys.stderr)
            self._live = None
        super().close()

    def _print(self, text: str) -> None:
        print(text, file=self._printer.stream, flush=True)

    def _report(self) -> RenderableType:
        """Last picture, or a new one if drawing has taken less than its share of the time."""
        if time.monotonic() >= self._next:
            begin = time.thread_time()
            try:
                self._picture = self._draw()
            except (OSError, ValueError, KeyError) as error:  # a file changes while it is read, or is damaged
                self._picture = Text(f"no report: {error}")
            self._next = time.monotonic() + (time.thread_time() - begin) / SHARE
        return self._picture


def failure(job: dict[str, Any]) -> str:
    """Text about a failed job: the job, what the executor says of it, and the last lines of its logs."""
    said = (job["rule_msg"] or "").strip().splitlines()[:FIRST_LINES]
    lines = [f"failed: {_name(job)}", *(f"    {line[:MOST_CHARACTERS]}" for line in said)]
    lines += [f"    {name}: {value}" for name, value in job["aux"].items()]
    for log in map(Path, job["log"]):
        lines.append(f"    log: {log}")
        if log.exists():
            last = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-LAST_LINES:]
            lines += [f"        {line}" for line in last]
    return "\n".join(lines)


def _is_routine(record: logging.LogRecord) -> bool:
    """True for a message about a job."""
    return _event(record) in JOBS or str(record.msg).startswith(MESSAGES)


def _event(record: logging.LogRecord) -> LogEvent | None:
    event: LogEvent | None = getattr(record, "event", None)
    return event


def _name(job: dict[str, Any]) -> str:
    """Rule and artifact of a job."""
    return " ".join([job["rule_name"], *(Path(log).stem for log in job["log"][:1])])
