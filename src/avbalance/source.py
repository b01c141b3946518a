"""The source of a module, found and parsed without running it."""

import ast
import builtins
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from avbalance.errors import UserError


def source_of(module: str) -> Path:
    """The file of a module."""
    try:
        spec = find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise UserError(f"module {module!r} cannot be found; is it installed, or its folder in PYTHONPATH?")
    return Path(spec.origin)


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    try:
        return ast.parse(source_of(module).read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise UserError(f"module {module!r}: line {error.lineno}: {error.msg}") from error


@cache
def nodes_of(module: str) -> list[ast.AST]:
    """All nodes of a module's syntax tree."""
    return list(ast.walk(tree_of(module)))


@cache
def check_names(module: str) -> None:
    """Check that every name that a module uses is built in, imported or defined somewhere in it.

    Raises:
        UserError: Names the line of the first name that is not.
    """
    known: set[str | None] = {*dir(builtins), "__file__", "__class__"}
    used = []
    for node in nodes_of(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used.append(node)
        elif isinstance(node, ast.alias):
            known.add(node.asname or node.name.partition(".")[0])
        else:  # variables, arguments; functions, classes and exceptions; parts of patterns
            known |= {getattr(node, key, None) for key in ("id", "arg", "name", "rest")}
    for node in used:
        if node.id not in known and "*" not in known:
            raise UserError(f"module {module!r}: line {node.lineno}: {node.id!r} is not defined; import it")


def origin_of(module: str, statement: ast.ImportFrom) -> str:
    """The module from which a statement in `module` imports."""
    if not statement.level:
        return statement.module or ""
    parents = module.split(".")[: -statement.level]
    return ".".join([*parents, statement.module] if statement.module else parents)


def is_ours(name: str, module: str) -> bool:
    """True if `module` imports this dotted name from avbalance or from its own package."""
    return name.split(".")[0] in (module.split(".")[0], "avbalance")
