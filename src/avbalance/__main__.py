"""Command line `avbalance`. Every command is a module of this package, which is imported when the command is given."""

import sys
from importlib import import_module
from importlib.metadata import version

from avbalance import warm
from avbalance.errors import UserError

COMMANDS = {
    "status": "show what is done, running, failed and left, and how long the rest may take",
    "estimate": "estimate GPU hours, disk and core hours of preparing by table, before anything runs",
    "plan": "list the folders of the planned artifacts that exist, for 'dvc add'",
    "bundle": "bundle what the tables read, for 'dvc push'",
    "verify": "check every artifact against its checksums, and every table against its runs",
    "record": "write the checksums of files that are published without any",
    "new": "write a method of your own, its registry line and its test",
    "check": "run the property tests of its kind on a method outside the checkout",
    "docs": "write the generated pages of docs/ and the schemas of config/",
}


def usage() -> str:
    """Help text of the whole command."""
    lines = "".join(f"  {name:10}{text}\n" for name, text in COMMANDS.items())
    return (
        f"usage: avbalance COMMAND ...\n\n{lines}\n'avbalance COMMAND --help' shows the arguments of a command, "
        "'avbalance --version' the version.\n"
    )


def main() -> None:
    """Run the command that the command line names."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("-h", "--help"):
        print(usage(), end="")
        return
    if command == "--version":
        print(f"avbalance {version('avbalance')}")
        return
    if command not in (*COMMANDS, *warm.STEPS):
        nearest = import_module("avbalance.registry").nearest
        raise UserError(f"{command!r} is not a command of avbalance; {nearest(command, list(COMMANDS))}")
    sys.argv = [f"avbalance {command}", *arguments]
    import_module(f"avbalance.{command}").main()


def run() -> None:
    """Entry point of the console script; a step that the warm process runs needs nothing else."""
    if sys.argv[1:2] and sys.argv[1] in warm.STEPS:
        warm.run([f"avbalance.{sys.argv[1]}", *sys.argv[2:]])
    import_module("avbalance.cli").run(main)


if __name__ == "__main__":
    run()
