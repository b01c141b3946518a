"""Archives made readable: listed members are unpacked, or all members are read where they lie.

The members of a plain tar, or of a zip whose members are stored or deflated, can be read in place. Any other archive is
turned into a plain tar, once.
"""

import hashlib
import io
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from avbalance.data.feature_files import FORMATS
from avbalance.data.lists import read_checksums
from avbalance.prepare.archives import (
    COMPRESSED,
    DAMAGE,
    Parts,
    WrongBytesError,
    checked,
    damage_of,
    inside,
    kind_of,
    members_of,
    opened,
    twice,
)

LISTS = frozenset({".csv", ".json", ".mat", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml"})
BY_PATH = LISTS.union(FORMATS)
"""Suffixes of lists and features, which are written as files, because readers open them by path; others are media."""


class Row(NamedTuple):
    """Entry of an index, with the columns of `raw.TABLE`."""

    name: str
    size: int
    sha256: str
    archive: str | None = None
    start: int | None = None
    packed: int | None = None

    def below(self, folder: PurePosixPath) -> "Row":
        """Return the row with all names below a folder."""
        archive = self.archive and str(folder / self.archive)
        return self._replace(name=str(folder / self.name), archive=archive)


def unpack(archive: Parts, folder: Path, contents: dict[str, Any]) -> list[Row]:
    """Write the listed members of an archive below `folder`, and nothing else.

    Args:
        archive: The archive.
        folder: Folder of the files.
        contents: {"path": a list of checksums, "sha256": its own}; members may lie below a top folder, as GitHub packs
            them.

    Raises:
        WrongBytesError: The archive is damaged, or a listed member is missing or has other bytes.
        UserError: It is encrypted or too large, or `bsdtar` is missing.
    """
    entries = read_checksums(Path(contents["path"]), contents["sha256"])
    missing, differing, rows = set(entries), set(), []
    try:
        for member in members_of(archive):
            listed = member.name if member.name in entries else member.name.partition("/")[2]
            if member.data is not None and listed in missing:
                missing.remove(listed)
                rows.append(Row(listed, member.size, _write(member.data, inside(folder, listed))))
                if rows[-1].sha256 != entries[listed]:
                    differing.add(listed)
    except DAMAGE as error:
        raise damage_of(error) from error
    if missing or differing:
        raise WrongBytesError(
            f"of the {len(entries)} files in {contents['path']}, {len(missing)} are missing "
            f"({', '.join(sorted(missing)[:3]) or 'none'}) and {len(differing)} have other bytes "
            f"({', '.join(sorted(differing)[:3]) or 'none'})"
        )
    return rows


def index(archive: Parts, folder: Path, name: str) -> tuple[bool, list[Row]]:
    """List the members of an archive by name, place and sha256; the names of rows are relative to `folder`.

    Lists such as csv, and files of features, are written as files below the folder. If the other members cannot be read
    in place, they are written to a plain tar, `<name>.tar`.

    Args:
        archive: The archive.
        folder: Folder of the archive and of its members.
        name: Name of the archive in that folder.

    Returns:
        True if members are read from the archive as it is, and a row for each member and written file.

    Raises:
        WrongBytesError: The archive is damaged.
        UserError: It is encrypted or too large, leaves the folder, holds a link, a device or a file that is a folder as
            well, or `bsdtar` is missing.
    """
    in_place, plain = _is_in_place(archive), folder / f"{name}.tar"
    unfinished = plain.with_name(f".{plain.name}.unfinished")
    rows, path = [], ""
    try:
        with ExitStack() as stack:
            if not in_place:
                written = _Hashed(stack.enter_context(unfinished.open("wb")))
                out = stack.enter_context(tarfile.open(fileobj=written, mode="w"))
            for member in checked(archive, folder):
                assert member.data is not None
                path, data = str(PurePosixPath(member.name)), _Hashed(member.data)
                if PurePosixPath(path).suffix.lower() in BY_PATH:
                    rows.append(Row(path, member.size, _write(member.data, folder / path)))
                elif in_place:
                    data.read_all()
                    rows.append(Row(path, member.size, data.sha256, name, member.start, member.packed))
                else:
                    start = _append(out, path, member.size, data)
                    rows.append(Row(path, member.size, data.sha256, plain.name, start))
        if not in_place:
            rows.append(Row(plain.name, unfinished.stat().st_size, written.sha256))
            unfinished.rename(plain)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise twice(archive, path) from error
    except DAMAGE as error:
        raise damage_of(error) from error
    finally:
        unfinished.unlink(missing_ok=True)
    return in_place, rows


def _is_in_place(archive: Parts) -> bool:
    """True if the members can be read where they lie."""
    with opened(archive) as file:
        kind, head = kind_of(archive), file.read(6)
        if kind == "zip":
            try:
                with zipfile.ZipFile(file) as members:
                    stored = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                    return all(member.compress_type in stored for member in members.infolist())
            except DAMAGE as error:
                raise damage_of(error) from error
        return kind != "rar" and not head.startswith(COMPRESSED)


class _Hashed(io.RawIOBase):
    """Stream that hashes the bytes that are read from it or written to it."""

    def __init__(self, data: IO[bytes]) -> None:
        self._data = data
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        chunk = self._data.read(size)
        self._digest.update(chunk)
        return chunk

    def read_all(self) -> None:
        while self.read(1 << 20):
            pass

    def write(self, chunk: Any) -> int:  # noqa: ANN401
        self._digest.update(chunk)
        return self._data.write(chunk)

    def tell(self) -> int:
        return self._data.tell()


def _append(out: tarfile.TarFile, name: str, size: int, data: _Hashed) -> int:
    """Append a file to a plain tar; return the place of its first byte."""
    info = tarfile.TarInfo(name)
    info.size = size
    out.addfile(info, data)
    out.members.clear()  # type: ignore[attr-defined]  # else all stay in memory
    return out.offset - -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _write(data: IO[bytes], target: Path) -> str:
    """Write a stream to a file; return the sha256 of its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = _Hashed(data)
    with target.open("wb") as file:
        while chunk := hashed.read(1 << 20):
            file.write(chunk)
    return hashed.sha256
