"""The manners that every step's command line shares."""

import io
import signal
import sys
from collections.abc import Callable


class UserError(ValueError):
    """Something a user caused and can mend.

    The message is one line: what, where, what is allowed, what to do.
    """


def run(main: Callable[[], None]) -> None:
    """Run a step; what a user can mend becomes one line and exit code 1, without a traceback.

    A character that the terminal has not is printed as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    try:
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what was finished is kept, run the same command to go on")
