"""Names of layers, and shell patterns for them."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from itertools import product

from avbalance.errors import UserError
from avbalance.registry import nearest

INPUT, OUTPUT = "input", "output"
"""An encoder's input and output as layers; every other layer has the name of its module."""


def is_pattern(layer: str) -> bool:
    """Return True if a layer of the configuration may stand for several."""
    return any(sign in layer for sign in "*?[")


@cache
def spread(templates: tuple[str, ...]) -> list[str]:
    """List the names that templates stand for: `a{b,c}` for ab and ac, `a.{0..2}` for a.0, a.1 and a.2."""
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
    """Select the names that the layers of a configuration stand for, in the order of `names`.

    Raises:
        UserError: A layer stands for no name.
    """
    selected: set[str] = set()
    for layer in layers:
        matched = [name for name in names if _matches(name, layer)]
        if not matched:
            raise UserError(f"probe.layers: {layer!r} is not a layer of the encoder; {nearest(layer, list(names))}")
        selected.update(matched)
    return [name for name in names if name in selected]


def _matches(name: str, layer: str) -> bool:
    """Compare part by part, so that a star stops at a dot."""
    parts, patterns = name.split("."), layer.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def entry_of(layer: str, snapshot: int | None) -> str:
    """Name of a layer's probe in the artifact: `<layer>`, or `<layer>@<snapshot>` for a snapshot of training."""
    return layer if snapshot is None else f"{layer}@{snapshot}"
