"""Finds methods by name, and reads what they take without importing them.

A specification is a name (`concat`) or a mapping of one name to its options (`{cosine: {scale: 10}}`).
A name with a colon (`mypackage.module:MyMethod`) is a method from outside.
"""

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from avbalance.cli import UserError

FOLDERS = {
    "encoder": "encoders",
    "fusion": "fusions",
    "head": "heads",
    "loss": "losses",
    "balancer": "balancers",
    "data": "data",
    "formula": "results",
}
GIVEN = {"encoder": 1, "fusion": 1, "head": 2, "loss": 2, "balancer": 2, "data": 0, "formula": 0}
"""How many leading constructor arguments the framework gives; the others are options."""
Spec = str | Mapping[str, Mapping[str, Any] | None]


@dataclass(frozen=True)
class Description:
    """What a method's source says of it.

    Attributes:
        module: The module that holds it.
        options: {option: (annotation, default)}, default `...` where the option must be given.
        attributes: Class attributes with literal values, inherited ones included.
        feature_dim: The expression an encoder assigns to `feature_dim`, in terms of its options.
    """

    module: str
    options: dict[str, tuple[str, Any]]
    attributes: dict[str, Any]
    feature_dim: ast.expr | None


def parse(spec: Spec) -> tuple[str, dict[str, Any]]:
    """A specification as (name, options)."""
    if isinstance(spec, str):
        return spec, {}
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise UserError(
            f"{spec!r} is no method; write a name, or one name with its options {{name: {{option: value}}}}"
        )
    ((name, options),) = spec.items()
    if options is not None and not isinstance(options, Mapping):
        raise UserError(f"options of {name!r} are {options!r}; write {{option: value}}")
    return name, dict(options or {})


def nearest(name: str, allowed: list[str]) -> str:
    """A hint: the nearest allowed name, or all of them."""
    close = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"allowed: {', '.join(sorted(allowed))}" if allowed else "none is allowed"


def locate(kind: str, name: str) -> tuple[str, str]:
    """A method's (module, class)."""
    if ":" in name:
        module, class_name = name.split(":", 1)
        return module, class_name
    package = f"avbalance.{FOLDERS[kind]}"
    registry: dict[str, str] = import_module(package).REGISTRY
    if name not in registry:
        article = "an" if kind[0] in "aeiou" else "a"
        raise UserError(f"{name!r} is not {article} {kind}; {nearest(name, list(registry))}")
    module, class_name = registry[name].split(":")
    return f"{package}.{module}", class_name


def resolve(kind: str, spec: Spec) -> dict[str, dict[str, Any]]:
    """The specification with every option spelled out, checked against the method's signature."""
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
        try:
            resolved[option] = _adapter(annotation).validate_python(value)
        except ValidationError as error:
            raise UserError(f"{name}.{option}: {value!r} is no {annotation}") from error
    return {name: resolved}


@cache
def _adapter(annotation: str) -> TypeAdapter[Any]:
    plain = {"int": int, "float": float, "str": str, "bool": bool, "tuple": tuple, "list": list, "dict": dict}
    return TypeAdapter(eval(annotation, {"__builtins__": plain, "Literal": Literal}), config=ConfigDict(strict=True))


def load(kind: str, spec: Spec, *arguments: Any) -> Any:  # noqa: ANN401
    """An instance of the method: its class called with `arguments` and the specification's options."""
    name, options = parse(spec)
    module, class_name = locate(kind, name)
    return getattr(import_module(module), class_name)(*arguments, **options)


def source_of(module: str) -> Path:
    """The file of a module, found without running it."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise UserError(f"module {module!r} cannot be found; is it installed, or its folder in PYTHONPATH?")
    return Path(found.origin)


@cache
def describe(kind: str, name: str) -> Description:
    """What a method takes and declares, read from its syntax tree."""
    module, class_name = locate(kind, name)
    options: dict[str, tuple[str, Any]] | None = None
    attributes: dict[str, Any] = {}
    feature_dim: ast.expr | None = None
    for node in _lineage(module, class_name):
        for statement in node.body:
            target, value = _assignment(statement)
            if target and value is not None and target not in attributes:
                try:
                    attributes[target] = ast.literal_eval(value)
                except ValueError:
                    continue
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__" and options is None:
                options = _options(statement, GIVEN[kind])
                for inner in ast.walk(statement):
                    if isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == "self.feature_dim":
                        feature_dim = inner.value
    return Description(module, options or {}, attributes, feature_dim)


def feature_dim(spec: Spec) -> int | None:
    """An encoder's feature length, where its source states it in terms of its options; else None."""
    name, given = parse(spec)
    description = describe("encoder", name)
    if "feature_dim" in description.attributes:
        return int(description.attributes["feature_dim"])
    if description.feature_dim is None:
        return None
    values = {option: default for option, (_, default) in description.options.items()} | given
    try:
        return int(eval(compile(ast.Expression(description.feature_dim), name, "eval"), {"__builtins__": {}}, values))
    except (NameError, AttributeError, TypeError):
        return None


def _lineage(module: str, class_name: str) -> list[ast.ClassDef]:
    """The class and its bases, as far as their source is reachable by plain imports."""
    tree = ast.parse(source_of(module).read_text())
    origins = {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for statement in tree.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if class_name not in classes:
        raise UserError(f"{module}: has no class {class_name!r}; {nearest(class_name, list(classes))}")
    lineage = [classes[class_name]]
    for base in classes[class_name].bases:
        name = ast.unparse(base)
        if name in classes:
            lineage += _lineage(module, name)
        elif name in origins and origins[name][0].split(".")[0] == module.split(".")[0]:
            lineage += _lineage(*origins[name])
    return lineage


def _assignment(statement: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    return None, None


def _options(init: ast.FunctionDef, num_given: int) -> dict[str, tuple[str, Any]]:
    """The parameters of `__init__` that a configuration may set."""
    positional = init.args.args[1:]
    padded = [None] * (len(positional) - len(init.args.defaults)) + list(init.args.defaults)
    pairs = list(zip(positional, padded, strict=True))[num_given:] + list(
        zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
    )
    return {
        parameter.arg: (
            ast.unparse(parameter.annotation) if parameter.annotation else "Any",
            ... if default is None else ast.literal_eval(default),
        )
        for parameter, default in pairs
    }
