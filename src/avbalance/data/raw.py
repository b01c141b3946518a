"""Raw files of a dataset: their checksums, and access to the bytes of each."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from avbalance.errors import UserError

Place = Path
"""Place of the bytes of a file; can be hashed, compared and sent to another process."""


class RawFiles:
    """Files of a raw folder, each named by its path below the folder, with `/`.

    Attributes:
        folder: The raw folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def checksums(self) -> Mapping[str, str]:
        """{file: sha256} of all files.

        Raises:
            UserError: The manifest of the folder cannot be read.
        """
        manifest = self.folder / "manifest.json"
        try:
            files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
            return {name: entry["sha256"] for name, entry in files.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{manifest}: cannot be read ({error}); {_AGAIN}") from error

    def locate(self, name: str) -> Place:
        """Return the place of a file; `open_place` opens it."""
        return self.folder / name

    def open(self, name: str) -> Path | BinaryIO:
        """Return what PyAV, PIL and numpy can read: the path of a file, or a binary file that can seek."""
        return open_place(self.locate(name))

    def check(self, name: str, checksum: str) -> None:
        """Compare the bytes of a file with its sha256, as in `checksums`.

        Raises:
            UserError: They differ.
        """
        with self.locate(name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != checksum:
            raise UserError(f"{self.folder / name}: differs from its manifest; {_AGAIN}")

    def matching(self, pattern: str) -> list[str]:
        """Return the files that match a pattern as for `Path.glob`, sorted."""
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern) if path.is_file())

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file()


_AGAIN = "remove its folder and make it again with 'snakemake'"


def open_place(place: Place) -> Path | BinaryIO:
    """Open a place as `RawFiles.open` does."""
    return place
