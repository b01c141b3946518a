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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from avbalance.source import is_ours, origin_of, source_of, tree_of
from avbalance.store import digest

PLUMBING = {
    f"avbalance.{name}"
    for name in (
        "cli",
        "configuration.signature",
        "device",
        "errors",
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
    for node in ast.walk(tree_of(module)):
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
    used = [Definition(definition.module, "")]
    for node in _names(_statements(definition.module)[definition.name]):
        used += _resolve(definition.module, node)[0]
    return used


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the dotted names in some nodes, each as long as it is written."""
    for node in nodes:
        if name := _dotted(node):
            yield name
        else:
            yield from _names(_children(node))


def _dotted(node: ast.AST) -> str:
    """`a.b.c` of a name that is read, or of its attributes; empty for any other node, such as a new variable."""
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value)):
        return f"{owner}.{node.attr}"
    return ""


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for value in _fields(node).values():
        yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, ast.AST))


def _fields(node: ast.AST) -> dict[str, Any]:
    """Fields of a node that count; empty ones do not, because Python versions differ in them."""
    fields = {name: value for name, value in ast.iter_fields(node) if value is not None and value != []}
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        fields = {"exc": node.exc.func}
    if isinstance(node, ast.arg):
        fields.pop("annotation", None)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        fields.pop("returns", None)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        fields["body"] = [each for each in node.body if not _is_documentation(each)]
    return fields


@cache
def _text(definition: Definition) -> str:
    """Text of a definition in which the name of another definition carries the hash of that one's own text."""
    return _dump(_statements(definition.module)[definition.name], definition.module, deep=True)


@cache
def _own_hash(definition: Definition) -> str:
    return digest(_dump(_statements(definition.module)[definition.name], definition.module, deep=False))


def _dump(node: Any, module: str, deep: bool) -> str:  # noqa: ANN401
    if isinstance(node, list):
        return "[" + ",".join(_dump(each, module, deep) for each in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if name := _dotted(node):
        definitions, rest = _resolve(module, name)
        named = sorted(_own_hash(each) if deep else each.name for each in definitions)
        return f"{'+'.join(named)}.{rest}"
    fields = _fields(node).items()
    return f"{type(node).__name__}({','.join(f'{key}={_dump(value, module, deep)}' for key, value in fields)})"
