"""The manners that every step's command line shares."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

SOURCES = "AVBALANCE_SOURCES"
"""The variable by which Snakemake says in which folder the code lies that it planned with."""


class UserError(ValueError):
    """Something a user caused and can mend.

    The message is one line: what, where, what is allowed, what to do.
    """


def run(main: Callable[[], None]) -> None:
    """Run a step; what a user can mend becomes one line and exit code 1, without a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    try:
        _check_sources()
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept, run the same command to go on")


def _check_sources() -> None:
    """The code that runs is the code that the workflow was planned with, where there was one."""
    own = Path(__file__).resolve().parents[1]
    planned = Path(os.environ.get(SOURCES, own)).resolve()
    if own != planned:
        raise UserError(
            f"the code in {own} would run, but that in {planned} was planned; is there another "
            "folder 'avbalance' where Snakemake works? Rename it"
        )
