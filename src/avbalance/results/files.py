"""Small files with fixed names, and the stamp beside them: its name carries the key, it holds the recipe."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(out: Path, contents: Mapping[str, str | bytes], stamp: Path, recipe: Mapping[str, Any]) -> None:
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
    stamp.write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
