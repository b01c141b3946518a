"""Finds methods by name.

A specification is a name (`concat`) or a mapping of one name to its options (`{cosine: {scale: 10}}`).
A name with a colon (`mypackage.module:MyMethod`) is a method from outside.
"""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from avbalance.errors import UserError

FOLDERS = {
    "encoder": "encoders",
    "fusion": "fusions",
    "head": "heads",
    "loss": "losses",
    "balancer": "balancers",
    "augmentation": "augmentations",
    "feature_reduction": "reductions",
    "data": "data",
    "view": "prepare.views",
    "detector": "prepare.detectors",
    "formula": "results.formulas",
    "figure": "results.plots",
}
Spec = str | Mapping[str, Mapping[str, Any] | None]


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
    """A hint: the nearest allowed name, whatever its case, or all of them."""
    lower = {each.lower(): each for each in allowed}
    close = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    if close:
        return f"did you mean {lower[close[0]]!r}?"
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


def place(kind: str, name: str) -> str:
    """A method's `module:class`."""
    return ":".join(locate(kind, name))


def find(kind: str, spec: Spec) -> Any:  # noqa: ANN401
    """The method's class."""
    module, class_name = locate(kind, parse(spec)[0])
    return getattr(import_module(module), class_name)


def load(kind: str, spec: Spec, *arguments: Any) -> Any:  # noqa: ANN401
    """An instance of the method: its class called with `arguments` and the specification's options."""
    return find(kind, spec)(*arguments, **parse(spec)[1])
