"""A raw folder in the making: complete files and a note of each, which outlive a kill."""

import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from threading import Lock

from avbalance import store
from avbalance.data.raw import INDEX, TABLE
from avbalance.errors import UserError
from avbalance.prepare.indexing import Row

FEW = 10_000
"""Largest number of files that `manifest.json` lists; the index lists more, since a JSON of millions is slow."""


class Staging:
    """Files of one raw folder, in a folder of their own until all are complete.

    Args:
        folder: Folder of the files and of the notes; only one process may use it.

    Attributes:
        files: The raw folder to be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files = folder / "files"
        self.files.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._notes = sqlite3.connect(folder / "notes.sqlite", check_same_thread=False, isolation_level=None)
        # A kill loses nothing, and a commit costs microseconds. Exclusive: works without shared memory, on any disk.
        self._notes.executescript(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
            f"{TABLE.replace('TABLE', 'TABLE IF NOT EXISTS')};"
            "CREATE TABLE IF NOT EXISTS complete (path BLOB PRIMARY KEY, what TEXT)"
        )

    def has(self, path: str, what: str) -> bool:
        """Return whether a file of the recipe is complete; `what` is a hash of what was asked for."""
        query = "SELECT 1 FROM complete WHERE path = ? AND what = ?"
        with self._lock:
            return self._notes.execute(query, (os.fsencode(path), what)).fetchone() is not None

    def note(self, path: str, what: str, rows: Iterable[Row]) -> None:
        """Note that a file of the recipe is complete, with the files that it brings.

        Raises:
            UserError: One of them has a name that the raw folder itself needs.
        """
        values = []
        for row in rows:
            if row.name in (store.MANIFEST, INDEX):
                raise UserError(
                    f"{path}: brings {row.name!r}, a name that is taken; give its entry a path with a folder"
                )
            archive = row.archive and os.fsencode(row.archive)
            values.append((os.fsencode(row.name), row.size, row.sha256, archive, *row[4:]))
        with self._lock:
            self._notes.execute("BEGIN")
            self._notes.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", values)
            self._notes.execute("INSERT OR REPLACE INTO complete VALUES (?, ?)", (os.fsencode(path), what))
            self._notes.execute("COMMIT")

    def fill(self, folder: Path) -> dict[str, str]:
        """Link all files into `folder`, and write the index if one is needed.

        Returns:
            {file: sha256} of the files that the manifest lists, among them the index.
        """
        few: dict[str, str] = {}
        for name, digest in self._notes.execute("SELECT name, sha256 FROM files WHERE archive IS NULL ORDER BY name"):
            file = os.fsdecode(name)
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(self.files / file, folder / file)
            if len(few) <= FEW:
                few[file] = digest
        (num_files,) = self._notes.execute("SELECT count(*) FROM files").fetchone()
        if len(few) > FEW:
            few = {}
        if num_files > len(few):
            condition = "WHERE archive NOT NULL" if few else ""
            self._notes.execute("ATTACH ? AS made", (str(folder / INDEX),))
            self._notes.execute(TABLE.replace("files", "made.files"))
            self._notes.execute(f"INSERT INTO made.files SELECT * FROM files {condition} ORDER BY name")
            self._notes.execute("DETACH made")
            few[INDEX] = store.sha256(folder / INDEX)
        return few

    def close(self) -> None:
        """Close the notes."""
        self._notes.close()

    def remove(self) -> None:
        """Remove everything, after it was published."""
        shutil.rmtree(self._folder)


def take(found: Sequence[Path], target: Path, is_ours: bool) -> list[Path]:
    """Put a file, or its parts, in its place without a second copy; return where they lie.

    A file of the user is linked. A hard link survives the removal of the original; to another disk only a symbolic link
    is possible.

    Args:
        found: The file, or its parts in order.
        target: Where the file should lie; parts lie beside it under their own names.
        is_ours: True to move the file.
    """
    targets = [target] if len(found) == 1 else [target.with_name(part.name) for part in found]
    target.parent.mkdir(parents=True, exist_ok=True)
    for source, place in zip(found, targets, strict=True):
        place.unlink(missing_ok=True)  # of a call that was killed
        if is_ours:
            source.rename(place)
            continue
        original = source.resolve()
        try:
            os.link(original, place)
        except OSError:
            place.symlink_to(original)
    return targets


def link_or_copy(source: Path, target: Path) -> None:
    """Link a file of our own, or copy it if the file system cannot link."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
