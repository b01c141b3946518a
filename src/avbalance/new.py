"""Write a method of your own from a template: its file, its line in the registry, and its test.

avbalance new balancer my_balancer
"""

import argparse
import keyword
import re
from pathlib import Path

from avbalance import cli, registry
from avbalance.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).parent / "templates"


def kinds() -> list[str]:
    """Kinds that have a template."""
    return sorted(path.name.removesuffix("_test.py.template") for path in TEMPLATES.glob("*_test.py.template"))


def new(kind: str, name: str) -> list[Path]:
    """Write the method and its test, and register it; returns the files.

    Raises:
        UserError: The kind has no template, the name is not a new one of a Python module, or there is no checkout.
    """
    if kind not in kinds():
        raise UserError(f"{kind!r} is not a kind with a template; {registry.nearest(kind, kinds())}")
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} is not a name for a method; write a lower-case word, or several joined by '_'")
    folder = registry.KINDS[kind].folder
    method = Path(__file__).parent / folder / f"{name}.py"
    test = ROOT / "tests" / folder / f"test_{name}.py"
    if not test.parent.is_dir():
        raise UserError(f"{ROOT}: is not a checkout of avbalance, so there is no place for a method")
    if name in registry.registered(kind):
        raise UserError(f"the {kind} {name!r} exists already; choose another name")
    for file in (method, test):
        if file.exists():
            raise UserError(f"{file}: exists already; choose another name, or remove the file")
    class_name = "".join(word.capitalize() for word in name.split("_"))
    for file, template in ((method, f"{kind}.py.template"), (test, f"{kind}_test.py.template")):
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        file.write_text(text.replace("my_method", name).replace("MyMethod", class_name), encoding="utf-8")
    register(method.with_name("__init__.py"), name, f'    "{name}": "{name}:{class_name}",')
    return [method, test]


def register(file: Path, name: str, line: str) -> None:
    """Insert a line into the REGISTRY of a file, before the first greater name."""
    lines = file.read_text(encoding="utf-8").splitlines()
    start = lines.index("REGISTRY = {") + 1
    end = lines.index("}", start)
    place = next((index for index in range(start, end) if lines[index].split('"')[1] > name), end)
    file.write_text("\n".join([*lines[:place], line, *lines[place:], ""]), encoding="utf-8")


def main() -> None:
    """Command line of the template writer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", help=f"one of {', '.join(kinds())}")
    parser.add_argument("name", help="of the method in YAML and of its file, such as my_balancer")
    arguments = parser.parse_args()
    method, test = new(arguments.kind, arguments.name)
    print(f"wrote and registered {method}\nwrote {test}")
    print(
        f"Next: edit both, run 'pytest {test.parent}', then 'avbalance docs', which adds the method to docs/methods.md."
    )


if __name__ == "__main__":
    cli.run(main)
