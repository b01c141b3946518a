"""Layers by name and shell pattern."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from avbalance.cli import UserError
from avbalance.registry import nearest

INPUT, OUTPUT = "input", "output"
"""What an encoder gets and what it gives; every other layer has the name of its module."""


def is_pattern(layer: str) -> bool:
    """Whether a layer of the configuration may stand for several."""
    return any(sign in layer for sign in "*?[")


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
