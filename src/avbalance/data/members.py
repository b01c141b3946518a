"""Bytes of files that lie within archives, and of archives in parts."""

import io
import os
import re
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from glob import escape
from itertools import accumulate
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Literal, cast

from avbalance.errors import UserError

IN_MEMORY = 1 << 28
"""Deflated members up to this size are held in memory while they are read, larger ones in a temporary file."""
AGAIN = "remove its folder and make it again with 'snakemake'"
PART = re.compile(r"(?P<whole>.+?)[._-]part(?P<number>[a-z]{2}|\d+)")


class Slice(io.RawIOBase):
    """Bytes of a file, or of a file in parts, from `start` on.

    Args:
        parts: The file, or its parts in order.
        start: Place of the first byte.
        size: Number of bytes; None for all.
        name: Name that a decoder may look at.
    """

    def __init__(self, parts: Sequence[Path], start: int = 0, size: int | None = None, name: str = "") -> None:
        self.name = name or str(parts[0])
        self._files: list[io.FileIO] = []  # `close` also runs where a part cannot be opened
        self._files.extend(part.open("rb", buffering=0) for part in parts)
        self._ends = list(accumulate(part.stat().st_size for part in parts))
        self._start = start
        self._size = self._ends[-1] - start if size is None else size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read up to the end of the buffer, of the slice or of a part."""
        place, size = self._start + self._position, min(len(buffer), self._size - self._position)
        number = bisect_right(self._ends, place)
        if size <= 0 or number == len(self._files):
            return 0
        file = self._files[number]
        file.seek(place - (self._ends[number - 1] if number else 0))
        count = file.readinto(memoryview(buffer)[:size])
        self._position += count
        return count

    def close(self) -> None:
        """Close all parts."""
        for file in self._files:
            file.close()
        super().close()


@dataclass(frozen=True)
class Member:
    """Place of a file within an archive.

    Attributes:
        archive: The archive, or its parts in order.
        name: Name of the file.
        start: Place of its first byte in the archive.
        size: Number of its bytes.
        packed: Number of its bytes in the archive if they are deflated; None if they are stored as they are.
    """

    archive: tuple[Path, ...]
    name: str
    start: int
    size: int
    packed: int | None

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Return a binary file that can seek.

        Args:
            mode: As of `Path.open`, which this stands for.

        Raises:
            UserError: The bytes of a deflated member are damaged.
        """
        stored = self.size if self.packed is None else self.packed
        file = io.BufferedReader(Slice(self.archive, self.start, stored, self.name), 1 << 17)
        if self.packed is None:
            return cast("BinaryIO", file)
        inflated = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            with file:
                while chunk := file.read(1 << 20):
                    inflated.write(inflater.decompress(chunk))
            inflated.write(inflater.flush())
        except zlib.error as error:
            raise UserError(f"{self.archive[0]}: {self.name} is damaged ({error}); {AGAIN}") from error
        inflated.seek(0)
        return cast("BinaryIO", inflated)


def parts_of(path: Path) -> list[Path]:
    """Return a file; if it does not exist, its parts in order, such as `x.zip.partaa` or `x_partaa` of `x.zip`.

    An empty list means that neither exists.
    """
    if path.is_file() or not path.parent.is_dir():
        return [path] if path.is_file() else []
    wholes = (path.name, path.stem)
    parts = [part for part in path.parent.glob(f"{escape(path.stem)}*part*") if whole_of(part.name) in wholes]
    return sorted(parts, key=lambda part: (len(part.name), part.name))


def whole_of(name: str) -> str | None:
    """Return the name of the whole file if a name is that of a part; else None."""
    match = PART.fullmatch(name)
    return match and match["whole"]
