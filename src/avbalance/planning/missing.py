"""Files that have to be recorded or brought before what needs them can be made, in one message by dataset."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from avbalance.configuration.schema import Dataset, SourceFile, Weights
from avbalance.data.members import parts_of

WIDTH = 110
LAST = "A part of a dataset, or other files in its layout, will do for numbers of your own: --config copy=own"


@dataclass(frozen=True)
class Missing:
    """Files of a dataset or model that have no list of checksums yet, or that the user has to bring.

    Attributes:
        gigabytes: Size of all raw files; None if unknown.
        lists: Paths of the lists of checksums that do not exist; without them nothing can be planned.
        requests: (how to get files that have no address, their places in the mirror).
    """

    name: str
    title: str
    licence: str
    gigabytes: float | None
    lists: tuple[str, ...]
    requests: tuple[tuple[str, tuple[str, ...]], ...]

    def lines(self, waiting: Sequence[str]) -> list[str]:
        """Lines about the files: size, licence, how to get them, and the names of what waits for them."""
        size = "size unknown" if self.gigabytes is None else f"{self.gigabytes:,g} GB"
        lines = [_wrap("", f"{self.name}: {self.title}, {size}; licence: {self.licence}")]
        lines += [_wrap(f"  bring {', '.join(places)}: ", request) for request, places in self.requests]
        if self.lists:
            verb = "then record" if self.requests else "fetch and record"
            lines.append(_wrap(f"  {verb}: ", f"avbalance record {self.name} (makes {', '.join(self.lists)})"))
        return [*lines, _wrap("  for: ", ", ".join(waiting))]


def _wrap(first: str, text: str) -> str:
    return fill(
        text, WIDTH, initial_indent=first, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False
    )


def missing_of(
    name: str, about: Dataset | Weights, files: Iterable[SourceFile], gigabytes: float | None, lists: Path, mirror: str
) -> Missing | None:
    """Files of a source that are missing, if any.

    Args:
        files: Files of the source.
        lists: Folder of the lists of checksums.
        mirror: The user's, where brought files lie; empty for none.
    """
    absent: list[str] = []
    requests: dict[str, list[str]] = {}
    for file in files:
        listed = file.contents or file.list
        if listed is not None and not (lists / listed).exists():
            absent.append(str(lists / listed))
        if file.request is not None and not _is_brought(mirror, str(file.path)):
            requests.setdefault(file.request, []).append(str(file.path))
    if not absent and not requests:
        return None
    brought = tuple((request, tuple(places)) for request, places in requests.items())
    return Missing(name, about.title, about.licence, gigabytes, tuple(absent), brought)


def _is_brought(mirror: str, path: str) -> bool:
    """True if a mirror folder holds a file or a folder, or the parts of a file; an address may hold anything."""
    if not mirror or "://" in mirror:
        return bool(mirror)
    return os.path.exists(f"{mirror}/{path}") or bool(parts_of(Path(mirror, path)))


def explain(missing: Mapping[Missing, Sequence[str]], kind: str, total: int) -> str:
    """One message about all missing files.

    Args:
        missing: {files: names of the tables or datasets that wait for them}.
        kind: `tables` or `datasets`.
        total: Number of those that were asked for.
    """
    waiting = {name for names in missing.values() for name in names}
    lines = [f"{len(waiting)} of {total} {kind} wait for files that have to be recorded or brought first:"]
    for files in sorted(missing, key=lambda each: each.name):
        lines += files.lines(missing[files])
    return "\n".join([*lines, LAST])
