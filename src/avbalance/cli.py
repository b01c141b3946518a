"""The manners that every step's command line shares."""

import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from avbalance.errors import UserError

SOURCES = "AVBALANCE_SOURCES"
"""The variable by which Snakemake says in which folder the code lies that it planned with."""


def run(main: Callable[[], None]) -> None:
    """Run a step; what a user can mend becomes one line and exit code 1, without a traceback.

    A character that the terminal has not is printed as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    try:
        _check_sources()
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept, run the same command to go on")


def choose_sources(folder: str) -> None:
    """Have the steps that this process starts find the code in `folder` first, and refuse to run any other.

    The path is handed on as a relative one: only a checkout elsewhere has to be without a colon.

    Raises:
        UserError: The path cannot stand in PYTHONPATH.
    """
    path = os.path.relpath(folder)
    if os.pathsep in path:
        raise UserError(f"{folder}: a path with {os.pathsep!r} cannot stand in PYTHONPATH; rename the folder")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    os.environ[SOURCES] = folder


def _check_sources() -> None:
    """The code that runs is what `choose_sources` chose, if it did."""
    own = Path(__file__).resolve().parents[1]
    planned = Path(os.environ.get(SOURCES, own)).resolve()
    if own != planned:
        raise UserError(
            f"the code in {own} would run, but that in {planned} was planned; is there another "
            "folder 'avbalance' where Snakemake works? Rename it"
        )
