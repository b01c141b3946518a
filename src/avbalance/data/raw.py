"""Raw files of a dataset: their checksums, and access to the bytes of each.

A file lies in the raw folder, or it is a member of an archive that does and is read in place. `manifest.json` lists the
files of a folder that has few; `index.sqlite` lists the members of archives, and all files of a folder that has many.
"""

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from avbalance.data.members import AGAIN, Member, parts_of
from avbalance.errors import UserError

INDEX = "index.sqlite"
TABLE = (
    "CREATE TABLE files (name BLOB PRIMARY KEY, size INT, sha256 TEXT, archive BLOB, start INT, packed INT) "
    "WITHOUT ROWID"
)
"""Table of files. A file in the folder itself has no `archive`, `start` and `packed`. `packed` is the size of a
deflated member in its archive, null for a member that is stored as it is. Names are bytes, as in file systems."""


Place = Path | Member
"""Place of the bytes of a file; can be hashed, compared and sent to another process."""


class RawFiles:
    """Files of a raw folder, each named by its path below the folder, with `/`.

    Attributes:
        folder: The raw folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[type["RawFiles"], tuple[Path]]:
        return RawFiles, (self.folder,)

    @cached_property
    def checksums(self) -> Mapping[str, str]:
        """{file: sha256} of all files, also of those in archives.

        Raises:
            UserError: The manifest of the folder cannot be read.
        """
        manifest = self.folder / "manifest.json"
        try:
            files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
            listed = {name: entry["sha256"] for name, entry in files.items() if name != INDEX}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{manifest}: cannot be read ({error}); {AGAIN}") from error
        return _Checksums(listed, self._index)

    @cached_property
    def _index(self) -> "_Index":
        return _Index(self.folder / INDEX)

    def _member(self, name: str) -> Member | None:
        query = "SELECT archive, start, size, packed FROM files WHERE name = ? AND archive NOT NULL"
        for archive, *place in self._index.rows(query, os.fsencode(name)):
            path = self.folder / os.fsdecode(archive)
            return Member(tuple(parts_of(path) or [path]), name, *place)
        return None

    def locate(self, name: str) -> Place:
        """Return the place of a file; `open_place` opens it."""
        return self._member(name) or self.folder / name

    def open(self, name: str) -> Path | BinaryIO:
        """Return what PyAV, PIL and numpy can read: the path of a file, or a binary file that can seek."""
        return open_place(self.locate(name))

    def check(self, name: str) -> None:
        """Compare the bytes of a file with its checksum.

        Raises:
            UserError: They differ, or the file does not exist.
        """
        place = self.locate(name)
        try:
            with place.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        except FileNotFoundError as error:
            path = Path(error.filename)
            link = f"is a link to {os.readlink(path)}, which" if path.is_symlink() else "was removed and"
            raise UserError(f"{path}: {link} does not exist; bring it back, or {AGAIN}") from error
        if digest != self.checksums[name]:
            raise UserError(f"{self.folder / name}: differs from its manifest; {AGAIN}")

    def matching(self, pattern: str) -> list[str]:
        """Return the files that match a pattern as for `Path.glob`, such as `clips/**/*.mp4`, sorted."""
        in_folder = {path.relative_to(self.folder).as_posix() for path in self.folder.glob(pattern) if path.is_file()}
        form = re.escape(pattern).replace(r"\*\*/", "(.+/)?").replace(r"\*", "[^/]*")
        names = (os.fsdecode(name) for (name,) in self._index.rows("SELECT name FROM files WHERE archive NOT NULL"))
        return sorted(in_folder.union(name for name in names if re.fullmatch(form, name)))

    def __contains__(self, name: str) -> bool:
        return (self.folder / name).is_file() or self._member(name) is not None


class _Index:
    """The index of a raw folder; one without files if the folder has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # immutable: without locks, which network disks may lack
        place = f"{path.absolute().as_uri()}?immutable=1" if path.exists() else ":memory:"
        self._connection = sqlite3.connect(place, uri=True, check_same_thread=False)
        if not path.exists():
            self._connection.execute(TABLE)

    def rows(self, query: str, *values: bytes) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query.

        Raises:
            UserError: The index is damaged.
        """
        try:
            with closing(self._connection.execute(query, values)) as rows:
                yield from rows
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self._path}: is damaged ({error}); {AGAIN}") from error


class _Checksums(Mapping[str, str]):
    """{file: sha256} of a manifest and an index, which is read as needed: it may list millions."""

    def __init__(self, listed: Mapping[str, str], index: _Index) -> None:
        self._listed = listed
        self._index = index

    def __getitem__(self, name: str) -> str:
        if name in self._listed:
            return self._listed[name]
        for (digest,) in self._index.rows("SELECT sha256 FROM files WHERE name = ?", os.fsencode(name)):
            return str(digest)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._listed
        yield from (os.fsdecode(name) for (name,) in self._index.rows("SELECT name FROM files ORDER BY name"))

    def __len__(self) -> int:
        ((number,),) = self._index.rows("SELECT count(*) FROM files")
        return len(self._listed) + int(number)


def open_place(place: Place) -> Path | BinaryIO:
    """Open a place as `RawFiles.open` does."""
    return place if isinstance(place, Path) else place.open("rb")
