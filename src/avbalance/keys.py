"""An artifact's key: the hash of its recipe.

    key = sha256(code of the step, resolved settings, keys of its inputs)[:12]

The code of a step is every project module it reaches by imports, each hashed by its syntax tree without
docstrings, so that comments, layout and documentation rerun nothing. Modules in PLUMBING carry bytes and decide
no number; they do not count. A package's `__init__.py` here only names methods; it does not count either.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from avbalance.source import is_ours, origin_of, source_of, tree_of

PLUMBING = {
    f"avbalance.{name}"
    for name in (
        "cli",
        "device",
        "keys",
        "progress",
        "provenance",
        "ranges",
        "registry",
        "signature",
        "source",
        "store",
    )
}


def digest(value: Any) -> str:  # noqa: ANN401
    """12 hexadecimal digits of the sha256 of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:12]


def code_of(modules: Iterable[str], equivalent: Mapping[str, str | Mapping[str, str] | None]) -> dict[str, str]:
    """{module: hash} of the modules and of all project modules they import.

    Args:
        modules: Where to start, such as a step and its row's plug-ins.
        equivalent: {hash: older hash} of edits judged harmless; {hash: {older module: its hash}} of a module that got
            another name; None for a module that does not count.
    """
    found: dict[str, str] = {}
    for module in sorted(_reach(tuple(sorted(set(modules))))):
        code = module_hash(module)
        judged = equivalent.get(code, code)
        if isinstance(judged, str):
            judged = {module: judged}
        found |= judged or {}
    return found


@cache
def _reach(modules: tuple[str, ...]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in reached and module not in PLUMBING:
            reached.add(module)
            waiting += _imports(module)
    return frozenset(reached)


@cache
def module_hash(module: str) -> str:
    """Hash of a module's syntax tree: no comments, no layout, no docstrings, no Python version."""
    return hashlib.sha256(_dump(tree_of(module)).encode()).hexdigest()[:12]


@cache
def _imports(module: str) -> tuple[str, ...]:
    """The modules of avbalance and of its own package that a module imports."""
    names: list[str] = []
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = origin_of(module, node)
            names += [f"{origin}.{alias.name}" for alias in node.names] + [origin]
    return tuple(sorted({name for name in names if is_ours(name, module) and _is_code(name)}))


@cache
def _is_code(name: str) -> bool:
    """Whether a dotted name is a module, other than a registry."""
    root = source_of(name.split(".")[0]).parent
    path = root.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists()


def _dump(node: Any) -> str:  # noqa: ANN401
    """A syntax tree as text, the same under every Python version: empty fields are left out."""
    if isinstance(node, list):
        return "[" + ",".join(map(_dump, node)) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if (
        isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and ast.get_docstring(node, clean=False) is not None
    ):
        fields["body"] = fields["body"][1:]
    return f"{type(node).__name__}({','.join(f'{name}={_dump(value)}' for name, value in fields.items())})"


def data_hash(path: Path) -> str:
    """Hash of a file that belongs to a step's code, such as a template."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
