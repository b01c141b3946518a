"""Small files with fixed names, and the empty stamp beside them that carries the key of what made them."""

from collections.abc import Mapping
from pathlib import Path


def write(out: Path, contents: Mapping[str, str | bytes], stamp: Path) -> None:
    """Write `out` + suffix for every {suffix: content}, each whole or not at all, and then the stamp.

    Older stamps `<name>.<key>.key` of the same name go first: a stamp never stands beside files that another
    recipe made.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    for older in stamp.parent.glob(f"{out.name}.*.key"):
        older.unlink()
    for suffix, content in contents.items():
        unfinished = out.with_name(f".{out.name}{suffix}.unfinished")
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
        unfinished.replace(out.with_name(out.name + suffix))
    stamp.touch()
