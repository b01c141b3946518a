"""Write a method of your own from a template: its file and, in a checkout, its line in the registry and its test.

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

    Where avbalance is installed as a package, the method alone is written, into the working folder.

    Raises:
        UserError: The kind has no template, or the name is not a new one of a Python module.
    """
    if kind not in kinds():
        raise UserError(f"{kind!r} is not a kind with a template; {registry.nearest(kind, kinds())}")
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise UserError(f"{name!r} is not a name for a method; write a lower-case word, or several joined by '_'")
    folder = registry.KINDS[kind].folder
    test = ROOT / "tests" / folder / f"test_{name}.py"
    is_checkout = test.parent.is_dir()
    method = Path(__file__).parent / folder / f"{name}.py" if is_checkout else Path(f"{name}.py")
    if name in registry.registered(kind):
        raise UserError(f"the {kind} {name!r} exists already; choose another name")
    files = {method: f"{kind}.py.template"} | ({test: f"{kind}_test.py.template"} if is_checkout else {})
    for file in files:
        if file.exists():
            raise UserError(f"{file}: exists already; choose another name, or remove the file")
    for file, template in files.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        file.write_text(text.replace("my_method", name).replace("MyMethod", class_of(name)), encoding="utf-8")
    if is_checkout:
        register(method.with_name("__init__.py"), name, f'    "{name}": "{name}:{class_of(name)}",')
    return list(files)


def class_of(name: str) -> str:
    """Name of the class of a method, such as MyBalancer of my_balancer."""
    return "".join(word.capitalize() for word in name.split("_"))


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
    method, *tests = new(arguments.kind, arguments.name)
    if not tests:
        place = f"{method.stem}:{class_of(method.stem)}"
        print(f"wrote {method}\nNext: edit it and name it in a row, {arguments.kind}: '{place}'; PYTHONPATH finds it.")
    for test in tests:
        print(f"wrote and registered {method}\nwrote {test}")
        print(
            f"Next: edit both, run 'pytest {test.parent}', then 'avbalance docs', which adds the method to "
            "docs/methods.md."
        )


if __name__ == "__main__":
    cli.run(main)
