"""Run the property tests of its kind on a method outside the checkout.

avbalance check mine.module:Class
"""

import argparse
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from avbalance import cli, registry
from avbalance.configuration import signature
from avbalance.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def kind_of(method: str) -> str:
    """Kind of a method `module:Class`, by the base class that it inherits from.

    Raises:
        UserError: The module or the class does not exist, or no base class is that of a kind.
    """
    module, colon, class_name = method.partition(":")
    if not colon:
        raise UserError(f"{method!r}: name a class outside the checkout as module:Class, such as mine.half:Half")
    signature.lineage(module, class_name)
    bases = {f"avbalance.{kind.folder}.base": name for name, kind in registry.KINDS.items()}
    for base in getattr(import_module(module), class_name).__mro__[1:]:
        if base.__module__ in bases:
            return bases[base.__module__]
    testable = [f"{module}:{kind}" for module, kind in bases.items() if tests_of(kind).exists()]
    raise UserError(f"{method}: has no base class of a method; inherit from one of {', '.join(testable)}")


def tests_of(kind: str) -> Path:
    """File with the property tests of a kind."""
    folder = registry.KINDS[kind].folder.replace(".", "/")
    return ROOT / "tests" / folder / f"test_registered_{Path(folder).name}.py"


def check(method: str) -> None:
    """Run the tests.

    Raises:
        UserError: A property does not hold, the kind has no property tests, or an option has no default.
    """
    kind = kind_of(method)
    if not tests_of(kind).exists():
        raise UserError(f"{method}: is a {kind}; property tests exist in a checkout, for {', '.join(_kinds())}")
    signature.resolve(kind, method)
    options = ["-c", f"{ROOT}/pyproject.toml", "--rootdir", str(ROOT), "-p", "no:cacheprovider", "--tb=line"]
    command = [sys.executable, "-m", "pytest", *options, f"--method={method}", str(tests_of(kind))]
    if subprocess.run(command, check=False).returncode:
        raise UserError(f"{method}: lacks a property that every {kind} has; see the lines above")
    print(f"{method}: has every property that is tested for a {kind}")


def _kinds() -> list[str]:
    return [kind for kind in registry.KINDS if tests_of(kind).exists()]


def main() -> None:
    """Command line of the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", help="module:Class; the module is found through PYTHONPATH")
    check(parser.parse_args().method)


if __name__ == "__main__":
    cli.run(main)
