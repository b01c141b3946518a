"""Small files with fixed names, and the stamp beside them: its name carries the key, it holds the recipe and what the
files are."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avbalance import store
from avbalance.errors import UserError


def write(out: Path, contents: Mapping[str, str | bytes], stamp: Path, recipe: Mapping[str, Any]) -> None:
    """Write `out` + suffix for every {suffix: content}, each whole or not at all, and then the stamp.

    Older stamps `<name>.<key>.key` of the same name go first: a stamp never stands beside files that another
    recipe made.
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
    """The recipe in a stamp whose files, in the folder of that name, are what it says.

    Raises:
        UserError: The stamp is no stamp, or a file is missing or has other bytes; names it and the repair.
    """
    try:
        recipe: dict[str, Any] = json.loads(stamp.read_text("utf-8"))
        for name, entry in recipe["files"].items():
            file = stamp.with_name(name)
            if not file.is_file():
                raise _damaged(file, "is missing")
            if store.file_entry(file) != entry:
                raise _damaged(file, f"has other bytes than {stamp.name} says")
    except (ValueError, KeyError, TypeError, AttributeError, FileNotFoundError) as error:
        if isinstance(error, UserError):
            raise
        raise _damaged(stamp, f"is no stamp ({error!r})") from error
    return recipe


def _damaged(file: Path, what: str) -> UserError:
    return UserError(f"{file} {what}; 'snakemake --cores all' makes it anew, 'git checkout {file}' restores it")
