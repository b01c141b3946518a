"""Stamps beside small files with fixed names: the name has the key, the content is the recipe and the files' sums."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance import store
from avbalance.errors import UserError


def write(out: Path, contents: Mapping[str, str | bytes], stamp: Path, recipe: Mapping[str, Any]) -> None:
    """Write `out` + suffix for every {suffix: content}, each whole or not at all, and then the stamp.

    Older stamps `<name>.<key>.key` of the same name are removed first, so that a stamp never stands beside the files of
    another recipe.
    """
    for older in stamp.parent.glob(f"{out.name}.*.key"):
        older.unlink()
    written = {}
    for suffix, content in contents.items():
        file = out.with_name(out.name + suffix)
        store.replace(file, content)
        written[file.name] = store.file_entry(file)
    store.replace(stamp, json.dumps({**recipe, "files": written}, indent=1, allow_nan=False) + "\n")


def read(stamp: Path) -> dict[str, Any]:
    """Return the recipe in a stamp after a check of its files.

    Raises:
        UserError: The stamp cannot be read, or a file is missing or changed; names the file and the repair.
    """
    try:
        recipe: dict[str, Any] = json.loads(stamp.read_text("utf-8"))
        for name, entry in recipe["files"].items():
            file = stamp.with_name(name)
            if not file.is_file():
                raise _damaged(file, "is missing")
            if store.file_entry(file) != entry:
                raise _damaged(file, f"has other bytes than {stamp.name} records")
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(stamp, f"is not a stamp ({error!r})") from error
    return recipe


def _damaged(file: Path, what: str) -> UserError:
    return UserError(f"{file} {what}; 'snakemake --cores all' makes it again, 'git checkout {file}' restores it")
