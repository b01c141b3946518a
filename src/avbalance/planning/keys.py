"""Keys of artifacts: hashes of their recipes.

    key = sha256(step, settings, inputs, code)[:12]

`code` is the hash of all definitions (functions, classes and constants of the project) that a step uses, directly or
through others. A definition counts by its syntax tree, and a name in it by the definition that it stands for. Comments,
layout, docstrings, annotations of functions, messages of errors and unused code do not count. The file that holds a
definition does not count either: a file can be renamed, moved or split without a change of any key.

Modules in PLUMBING carry bytes and decide no number, so they do not count. Nor does a package's `__init__.py`, which
only names methods.
"""

import ast
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from avbalance.source import is_ours, nodes_of, origin_of, source_of, tree_of
from avbalance.store import digest

PLUMBING = {
    f"avbalance.{name}"
    for name in (
        "bundles",
        "cli",
        "configuration.signature",
        "data.members",
        "data.raw",
        "device",
        "errors",
        "owners",
        "planning.keys",
        "progress",
        "provenance",
        "ranges",
        "registry",
        "requirements",
        "source",
        "stamps",
        "store",
    )
}


def data_hash(path: Path) -> str:
    """Hash of a file that belongs to a step's code, such as a template."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


def code_of(places: Iterable[str]) -> str:
    """Hash of all definitions that those at some places use, and of these themselves.

    Args:
        places: `module:name`, such as a method of a row; or `module` for all definitions of a module.
    """
    return _code_of(tuple(sorted(set(places))))


@cache
def _code_of(places: tuple[str, ...]) -> str:
    return digest(sorted({_text(definition) for definition in reach(places)}))


@dataclass(frozen=True)
class Definition:
    """Name that a module defines at its top level; the name '' stands for its other statements."""

    module: str
    name: str


Part = str | tuple[list[Definition], str]
"""Piece of a definition's text: plain, or the definitions that a dotted name stands for and the rest of that name."""


def reach(places: Iterable[str]) -> set[Definition]:
    """Definitions at some places and all that they use."""
    reached: set[Definition] = set()
    waiting = [each for place in places for each in _at(place)]
    while waiting:
        definition = waiting.pop()
        if definition not in reached:
            reached.add(definition)
            waiting += _used(definition)
    return reached


def _at(place: str) -> list[Definition]:
    module, _, name = place.partition(":")
    return [Definition(module, name)] if name else [Definition(module, each) for each in _statements(module)]


@cache
def _statements(module: str) -> dict[str, list[ast.stmt]]:
    """{name: statements that define it} of a module; '' has the statements that run but define nothing."""
    statements: dict[str, list[ast.stmt]] = {"": []}
    for statement in tree_of(module).body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [statement.name]
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            names = [node.id for node in stored if isinstance(node.ctx, ast.Store)] or [""]
        elif isinstance(statement, ast.Import | ast.ImportFrom) or _is_documentation(statement) or _is_start(statement):
            names = []
        else:
            names = [""]
        for name in names:
            statements.setdefault(name, []).append(statement)
    return statements


def _is_documentation(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_start(statement: ast.stmt) -> bool:
    """True for `if __name__ == "__main__":`."""
    return isinstance(statement, ast.If) and "__name__" in ast.unparse(statement.test)


@cache
def _origins(module: str) -> dict[str, str]:
    """{name: dotted origin} of all names that a module imports."""
    origins = {}
    for node in nodes_of(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                origins[alias.asname or package] = alias.name if alias.asname else package
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{origin_of(module, node)}.{alias.name}"
    return origins


@cache
def _is_code(name: str) -> bool:
    """True if a dotted name is a module other than a package."""
    root = source_of(name.split(".")[0]).parent
    return root.joinpath(*name.split(".")[1:]).with_suffix(".py").exists()


def _resolve(module: str, name: str) -> tuple[list[Definition], str]:
    """Definitions that a dotted name in a module stands for, and the rest of the name.

    A name that is built in, local or from another project stands for none.
    """
    first, _, rest = name.partition(".")
    if first in _statements(module):
        return [Definition(module, first)], rest
    if first not in _origins(module):
        return [], name
    parts = f"{_origins(module)[first]}.{rest}".rstrip(".").split(".")
    for length in range(len(parts), 0, -1):
        owner = ".".join(parts[:length])
        if is_ours(owner, module) and _is_code(owner):
            if owner in PLUMBING:
                return [], ".".join(parts[length:])
            if length == len(parts):  # the module itself: any of its definitions may be used
                return _at(owner), ""
            return _resolve(owner, ".".join(parts[length:]))
    return [], ".".join(parts)


@cache
def _used(definition: Definition) -> list[Definition]:
    """Definitions that a definition names, and the other statements of its module."""
    named = [each for part in _parts(definition) if not isinstance(part, str) for each in part[0]]
    return [Definition(definition.module, ""), *named]


@cache
def _text(definition: Definition) -> str:
    """Text of a definition in which the name of another definition carries the hash of that one's own text."""
    return _join(definition, _own_hash)


@cache
def _own_hash(definition: Definition) -> str:
    return digest(_join(definition, lambda each: each.name))


def _join(definition: Definition, write: Callable[[Definition], str]) -> str:
    """Text of a definition; `write` gives the text of another one that it names."""
    return "".join(
        part if isinstance(part, str) else f"{'+'.join(sorted(map(write, part[0])))}.{part[1]}"
        for part in _parts(definition)
    )


@cache
def _parts(definition: Definition) -> list[Part]:
    """Text of a definition, in which every name is a part of its own."""
    parts: list[Part] = []
    _dump(_statements(definition.module)[definition.name], definition.module, parts)
    return parts


def _dump(node: Any, module: str, parts: list[Part]) -> None:  # noqa: ANN401
    """Append the parts of a node, of a list of nodes or of a plain value."""
    if isinstance(node, ast.AST):
        if name := _dotted(node):
            parts.append(_resolve(module, name))
            return
        opening = f"{type(node).__name__}("
        for key, value in _fields(node).items():
            parts.append(f"{opening}{key}=")
            _dump(value, module, parts)
            opening = ","
        parts.append(f"{opening})" if opening != "," else ")")
    elif isinstance(node, list):
        opening = "["
        for each in node:
            parts.append(opening)
            _dump(each, module, parts)
            opening = ","
        parts.append("[]" if opening == "[" else "]")
    else:
        parts.append(repr(node))


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name that is read, or of its attributes; empty for any other node, such as a new variable."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def _fields(node: ast.AST) -> dict[str, Any]:
    """Fields of a node that count; empty ones do not, because Python versions differ in them."""
    values = ((name, getattr(node, name, None)) for name in node._fields)
    fields = {name: value for name, value in values if value is not None and value != []}
    if isinstance(node, ast.arg):
        fields.pop("annotation", None)
    if not isinstance(node, ast.stmt):
        return fields
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        fields = {"exc": node.exc.func}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        fields.pop("returns", None)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        fields["body"] = [each for each in node.body if not _is_documentation(each)]
    return fields
