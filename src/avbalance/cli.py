"""Command lines of the steps: their options, their exit codes, and the code that they run."""

import argparse
import inspect
import io
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from avbalance import store
from avbalance.errors import UserError

SOURCES = "AVBALANCE_SOURCES"
"""Environment variable in which Snakemake names the folder of the code that it planned with."""

OPTIONS: dict[str, tuple[type, str]] = {
    "recipe": (Path, "recipe of the artifact (JSON)"),
    "out": (Path, "folder to publish, or the name that the written files share"),
    "stamp": (Path, "file to write last: the recipe, under a name that carries its key"),
    "weights": (Path, "folder for the weights"),
    "device": (str, "auto, cpu, cuda or cuda:<index>"),
    "threads": (int, "number of CPU threads, or of worker processes"),
    "part": (int, "place of the first shard to make"),
    "parts": (int, "number of jobs that share the shards; of N jobs, each makes every N-th shard"),
    "resume": (Path, "folder for unfinished work and for the lock files of the GPUs"),
    "checkpoint_seconds": (float, "least time between two checkpoints"),
    "memory": (int, "MiB of memory to solve a probe, including the features that are held; the model comes on top"),
    "mirror": (str, "folder or URL to try first; by default that in AVBALANCE_MIRROR"),
    "cache": (Path, "folder for unfinished downloads"),
}
"""{option: its type and what it stands for}, of all steps."""


def step(description: str, run: Callable[..., None]) -> None:
    """Call the function that holds the work of a step with the options of the command line.

    Args:
        description: Text for `--help`.
        run: Each of its parameters is an option in `OPTIONS`; one without a default is required. `recipe` is read.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, parameter in inspect.signature(run).parameters.items():
        kind, meaning = OPTIONS[name]
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, required=required, default=default, help=meaning)
    options = vars(parser.parse_args())
    run(**{**options, "recipe": store.load_recipe(options["recipe"])})


def run(main: Callable[[], None]) -> None:
    """Run a command; an error that the user can correct becomes one line and exit code 1, without a traceback.

    A character that the terminal cannot show is printed as an escape.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # treat a scheduler's stop as Ctrl-C
    try:
        _check_sources()
        main()
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; finished work is kept, and the same command continues it")


def choose_sources(folder: str) -> None:
    """Make the steps that this process starts import the code in `folder`, and refuse to run any other.

    The path is passed as a relative path, so a colon in the path of the working folder does no harm.

    Raises:
        UserError: The relative path contains a colon, which PYTHONPATH cannot hold.
    """
    path = os.path.relpath(folder)
    if os.pathsep in path:
        raise UserError(f"{folder}: a path with {os.pathsep!r} cannot be part of PYTHONPATH; rename the folder")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    os.environ[SOURCES] = folder


def _check_sources() -> None:
    """Check that this code is the one that `choose_sources` chose, if it chose any."""
    own = Path(__file__).resolve().parents[1]
    planned = Path(os.environ.get(SOURCES, own)).resolve()
    if own != planned:
        raise UserError(
            f"this step would run the code in {own}, but the workflow was planned with {planned}; "
            "rename any other folder 'avbalance' in Snakemake's working folder"
        )
