"""Options and declarations of a method, read from its source, so that no check has to import torch."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from avbalance import ranges
from avbalance.errors import UserError
from avbalance.registry import KINDS, Spec, locate, nearest, parse
from avbalance.source import check_names, is_ours, origin_of, tree_of

UNKNOWN = object()
"""Default of an option whose source is not a literal; only the constructor knows it."""


@dataclass(frozen=True)
class Description:
    """Facts about a method that its source states.

    Attributes:
        module: Module that holds the method.
        options: {option: (annotation, default)}, default `...` if the option is required.
        attributes: Class attributes with literal values, also inherited ones; for a formula its `columns`.
        methods: {method: name of the class that defines it}, the nearest in the line of bases.
        feature_dim: Compiled expression that an encoder assigns to `feature_dim`: a number, or in terms of its options.
    """

    module: str
    options: dict[str, tuple[str, Any]]
    attributes: dict[str, Any]
    methods: dict[str, str]
    feature_dim: CodeType | None


def resolve(kind: str, spec: Spec) -> dict[str, dict[str, Any]]:
    """Spell out every option of a specification, checked against the method's signature.

    An option with the name of a kind of method holds such a method.
    """
    name, given = parse(spec)
    options = describe(kind, name).options
    for option in given:
        if option not in options:
            raise UserError(f"{name!r} has no option {option!r}; {nearest(option, list(options))}")
    resolved: dict[str, Any] = {}
    for option, (annotation, default) in options.items():
        value = given.get(option, default)
        if value is ...:
            raise UserError(f"{name!r} needs the option {option!r} ({annotation})")
        if value is UNKNOWN:
            continue
        if option in KINDS:  # such as the detector of a view
            resolved[option] = resolve(option, value)
            continue
        try:
            resolved[option] = _adapter(annotation).validate_python(value)
        except ValidationError as error:
            raise UserError(f"{name}.{option}: {explain(error.errors()[0])}") from error
    return {name: resolved}


def explain(error: ErrorDetails) -> str:
    """Text of the value found and the values allowed."""
    allowed = error["msg"].removeprefix("Value error, ")
    allowed = re.sub(r"\d{10,}", lambda digits: f"{float(digits[0]):g}", allowed)
    return f"found {error['input']!r}; {allowed[0].lower()}{allowed[1:]}"


PLAIN = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "Literal": Literal}


@cache
def _adapter(annotation: str) -> TypeAdapter[Any]:
    """Validator of an annotation; an annotation other than a range or a plain type admits anything."""
    try:
        known_type = eval(annotation, {"__builtins__": {**vars(ranges), **PLAIN}})
        return TypeAdapter(known_type, config=ConfigDict(strict=True, allow_inf_nan=False))
    except (NameError, AttributeError, TypeError):
        return TypeAdapter(Any)


@cache
def describe(kind: str, name: str) -> Description:
    """Read a method's options and declarations from its syntax tree."""
    module, class_name = locate(kind, name)
    if kind == "formula":
        function = _function(module, class_name)
        return Description(module, _options(function, 0), {"columns": _returned(function)}, {}, None)
    options: dict[str, tuple[str, Any]] | None = None
    attributes: dict[str, Any] = {}
    methods: dict[str, str] = {}
    seen: set[str] = set()
    feature_dim: ast.expr | None = None
    for node in lineage(module, class_name):
        for statement in node.body:
            target, value = _assignment(statement)
            if target and value is not None and target not in seen:
                seen.add(target)  # a value that a subclass computes hides that of its base
                try:
                    attributes[target] = ast.literal_eval(value)
                except ValueError:
                    continue
            if isinstance(statement, ast.FunctionDef):
                methods.setdefault(statement.name, node.name)
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__" and options is None:
                options = _options(statement, 1 + KINDS[kind].num_given)
        feature_dim = feature_dim or _feature_dim(node)
    code = None if feature_dim is None else compile(ast.Expression(feature_dim), name, "eval")
    return Description(module, options or {}, attributes, methods, code)


def feature_dim(spec: Spec) -> int | None:
    """Feature length of an encoder; None unless its source states it in terms of its options."""
    name, given = parse(spec)
    description = describe("encoder", name)
    if description.feature_dim is None:
        return None
    values = {option: default for option, (_, default) in description.options.items()} | given
    try:
        return int(eval(description.feature_dim, {"__builtins__": {}}, values))
    except (NameError, AttributeError, TypeError):
        return None


def _feature_dim(node: ast.ClassDef) -> ast.expr | None:
    """Expression that a class assigns to `feature_dim`, in its `__init__` or else in its body."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == "self.feature_dim":
            return inner.value
    return next((value for name, value in map(_assignment, node.body) if name == "feature_dim"), None)


def lineage(module: str, class_name: str) -> list[ast.ClassDef]:
    """Class definitions of a class and its bases, except those of other packages.

    Raises:
        UserError: The class does not exist, or its module uses a name that it neither imports nor defines.
    """
    check_names(module)
    tree = tree_of(module)
    origins: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            package = origin_of(module, statement)
            origins |= {alias.asname or alias.name: f"{package}.{alias.name}" for alias in statement.names}
        elif isinstance(statement, ast.Import):
            origins |= {alias.asname: alias.name for alias in statement.names if alias.asname}
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if class_name not in classes:
        raise UserError(f"{module}: has no class {class_name!r}; {nearest(class_name, list(classes))}")
    line = [classes[class_name]]
    for base in classes[class_name].bases:
        name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        root, dot, rest = name.partition(".")
        package, _, base_name = f"{origins.get(root, root)}{dot}{rest}".rpartition(".")
        if name in classes:
            line += lineage(module, name)
        elif is_ours(package, module):
            line += lineage(package, base_name)
    return line


def _assignment(statement: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    return None, None


def _function(module: str, name: str) -> ast.FunctionDef:
    functions = {node.name: node for node in tree_of(module).body if isinstance(node, ast.FunctionDef)}
    if name not in functions:
        raise UserError(f"{module}: has no function {name!r}; {nearest(name, list(functions))}")
    return functions[name]


def _returned(function: ast.FunctionDef) -> list[str]:
    """Keys of the mapping that a function returns."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    keys = [key for value in values if isinstance(value, ast.Dict) for key in value.keys]
    return [ast.literal_eval(key) for key in keys if key is not None]


def _options(function: ast.FunctionDef, num_given: int) -> dict[str, tuple[str, Any]]:
    """Parameters that a configuration may set: all but the leading ones."""
    positional = function.args.args
    padded = [None] * (len(positional) - len(function.args.defaults)) + list(function.args.defaults)
    pairs = list(zip(positional, padded, strict=True))[num_given:] + list(
        zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    )
    return {
        parameter.arg: (
            ast.unparse(parameter.annotation) if parameter.annotation else "Any",
            ... if default is None else _value(default),
        )
        for parameter, default in pairs
    }


def _value(default: ast.expr) -> Any:  # noqa: ANN401
    try:
        return ast.literal_eval(default)
    except ValueError:
        return UNKNOWN
