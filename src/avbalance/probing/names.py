"""Layers by name and shell pattern."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from itertools import product

from avbalance.errors import UserError
from avbalance.registry import nearest

INPUT, OUTPUT = "input", "output"
"""What an encoder gets and what it gives; every other layer has the name of its module."""


def is_pattern(layer: str) -> bool:
    """Whether a layer of the configuration may stand for several."""
    return any(sign in layer for sign in "*?[")


@cache
def spread(templates: tuple[str, ...]) -> list[str]:
    """The names that templates stand for: `a{b,c}` are ab and ac, `a.{0..2}` are a.0, a.1 and a.2."""
    names: list[str] = []
    for template in templates:
        parts = [_choices(part) if index % 2 else [part] for index, part in enumerate(re.split(r"[{}]", template))]
        names += map("".join, product(*parts))
    return names


def _choices(inside: str) -> list[str]:
    if numbers := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
        return [str(number) for number in range(int(numbers[1]), int(numbers[2]) + 1)]
    return inside.split(",")


def select(layers: Sequence[str], names: Sequence[str]) -> list[str]:
    """Those of `names`, in their order, that the layers of a configuration stand for.

    Raises:
        UserError: One stands for none.
    """
    found: set[str] = set()
    for layer in layers:
        matched = [name for name in names if _matches(name, layer)]
        if not matched:
            raise UserError(f"probe.layers: {layer!r} is no layer of the encoder; {nearest(layer, list(names))}")
        found.update(matched)
    return [name for name in names if name in found]


def _matches(name: str, layer: str) -> bool:
    """Part by part, so that a star stops at a dot."""
    parts, patterns = name.split("."), layer.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def entry_of(layer: str, moment: int | None) -> str:
    """What the artifact calls a layer's probe at a moment, `<layer>` or `<layer>@<moment>`."""
    return layer if moment is None else f"{layer}@{moment}"
