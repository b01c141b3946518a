"""Reading and checking of YAML; every error is one line."""

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from avbalance.configuration import signature
from avbalance.errors import UserError
from avbalance.registry import Method, Spec, nearest, parse

Model = TypeVar("Model", bound=BaseModel)


class _UniqueKeys(yaml.CSafeLoader):
    """YAML loader that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise UserError(
                    f"line {key_node.start_mark.line + 1}: {key!r} cannot be a key; remove one pair of braces"
                )
            if key in seen:
                raise UserError(f"line {key_node.start_mark.line + 1}: key {key!r} occurs twice; rename one of them")
            seen.add(key)
        return super().construct_mapping(node, deep)


# 1e-4 is a number, as in YAML 1.2 and JSON; by default PyYAML reads it as text, because it has no point.
_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; errors name the file and the line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise UserError(f"{path}: line {line}: invalid YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is not a text file: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {content!r}, not a mapping of keys to values")
    return content


def resolve_method(kind: str, spec: Spec, where: str, changed: Mapping[str, Mapping[str, Any]] | None = None) -> Method:
    """Method with every option spelled out.

    Args:
        changed: {name: {option: value}} that take the place of its own options.

    Raises:
        UserError: The method does not exist, or does not take an option; names the place.
    """
    try:
        name, options = parse(spec)
        return signature.resolve(kind, {name: {**options, **(changed or {}).get(name, {})}})
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def member(path: Path | str, where: str, what: str, value: str, allowed: Any) -> None:  # noqa: ANN401
    """Refuse a value that is not among those allowed at its place."""
    if value not in allowed:
        raise UserError(f"{path}: {where}: {value!r} is not a {what}; {nearest(value, list(allowed))}")


def validate(model: type[Model], content: Any, path: Path | str, where: str = "") -> Model:  # noqa: ANN401
    """Build the model of a file's content; raise its first error in one line."""
    try:
        return model.model_validate(content)
    except ValidationError as errors:
        error = _first(errors)
        keys = [str(part) for part in error["loc"] if not _is_type(str(part))]
        key = ".".join([where] * bool(where) + keys)
        if error["type"] == "extra_forbidden":
            message = f"is not a key here; {nearest(keys[-1], _fields(model, keys[:-1]))}"
        elif error["type"] == "missing":
            message = "is missing"
        elif error["type"] == "too_short":
            message = "is empty; give at least one"
        elif error["type"] == "value_error":
            message = str(error["ctx"]["error"])
        else:
            message = signature.explain(error)
        raise UserError(": ".join([str(path), *[key] * bool(key), message])) from errors


def _first(errors: ValidationError) -> ErrorDetails:
    """Error to report: an unknown key, which may be a missing one misspelt; else the first, at its deepest."""
    details = errors.errors()
    for error in details:
        if error["type"] == "extra_forbidden":
            return error
    same = [error for error in details if error["loc"][:1] == details[0]["loc"][:1]]  # from the branches of a union
    return max(same, key=lambda error: (len(error["loc"]), not error["type"].endswith("_type")))


def _is_type(part: str) -> bool:
    """True if a part of an error's place names a branch of a union and not a key."""
    return part in ("int", "float", "str", "[key]") or part.startswith(
        ("literal[", "list[", "dict[", "constrained-", "function-")
    )


def _fields(model: type[BaseModel], keys: list[str]) -> list[str]:
    """Keys that the model admits at a place inside it."""
    here: Any = model
    for key in keys:
        fields = getattr(here, "model_fields", None)
        nested = _models(fields[key].annotation if fields and key in fields else here)
        here = nested[0] if nested else None
    return list(getattr(here, "model_fields", {}))


def _models(annotation: Any) -> list[Any]:  # noqa: ANN401
    """Models in an annotation, at any depth."""
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
