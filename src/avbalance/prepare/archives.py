"""Archives from outside, read safely: tar (plain, gz, bz2, xz), zip, and rar by way of `bsdtar`."""

import io
import lzma
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from avbalance.data.members import Slice
from avbalance.errors import UserError

MAX_MEMBERS = 5_000_000
MAX_BYTES = 1 << 42
MAX_EXPANSION = 100  # bytes out of one byte of archive: media stay near 1, a bomb reaches 1,000
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, NotImplementedError, OSError),
)
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
Parts = Sequence[Path]
"""An archive: one file, or its parts in order."""


class WrongBytesError(UserError):
    """Error: a file differs from the expected one; another address may have the right one."""


class Member(NamedTuple):
    """File in an archive.

    Attributes:
        data: Its bytes; None for a link or a device.
        start, packed: Place in the archive and, if deflated, number of bytes there; `start` is None where the bytes
            cannot be read in place.
    """

    name: str
    size: int
    data: IO[bytes] | None
    start: int | None = None
    packed: int | None = None


def inside(folder: Path, name: str) -> Path:
    """Return `folder`/`name`; raise UserError if that lies outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"{name!r} lies outside the folder it belongs to; nothing is written there")
    return folder / path


def kind_of(archive: Parts) -> str | None:
    """Return the kind of an archive by its first bytes: zip, rar or tar; None for any other file."""
    with opened(archive) as file:
        head = file.read(512)
    if head.startswith(ZIP):
        return "zip"
    if head.startswith(b"Rar!"):
        return "rar"
    if head.startswith(COMPRESSED):
        return "tar"
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return "tar"


def opened(archive: Parts) -> io.BufferedReader:
    """Open an archive."""
    return io.BufferedReader(Slice(archive), 1 << 20)


def checked(archive: Parts, folder: Path) -> Iterator[Member]:
    """Yield the members of an archive, of which each must lie in the folder and be either a file or a folder."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    for member in members_of(archive):
        if member.data is None:
            raise UserError(f"{archive[0]}: holds {member.name!r}, a link or a device; it is not unpacked")
        path = PurePosixPath(inside(folder, member.name).relative_to(folder))
        if path in folders or not files.isdisjoint(path.parents):
            raise twice(archive, member.name)
        files.add(path)
        folders.update(path.parents)
        yield member


def members_of(archive: Parts) -> Iterator[Member]:
    """Yield all members except folders, within the limits."""
    kind = {"zip": _zip, "rar": _rar}.get(kind_of(archive) or "tar", _tar)
    allowed = min(MAX_BYTES, MAX_EXPANSION * sum(part.stat().st_size for part in archive))
    for number, member in enumerate(kind(archive), start=1):
        allowed -= member.size
        if allowed < 0 or number > MAX_MEMBERS:
            raise UserError(f"{archive[0]}: would take an implausible amount of space; it is not unpacked")
        yield member._replace(name=member.name.removeprefix("./"))


def _tar(archive: Parts, stream: IO[bytes] | None = None) -> Iterator[Member]:
    with (
        opened(archive) as file,
        tarfile.open(fileobj=file) if stream is None else tarfile.open(fileobj=stream, mode="r|") as members,
    ):
        while (member := members.next()) is not None:
            if member.issparse():
                raise UserError(f"{archive[0]}: holds {member.name!r}, a file with holes; pack it without --sparse")
            if not member.isdir():
                data = members.extractfile(member) if member.isfile() else None
                yield Member(member.name, member.size, data, member.offset_data)
            members.members.clear()  # type: ignore[attr-defined]  # else all stay in memory


def _zip(archive: Parts) -> Iterator[Member]:
    with opened(archive) as file, zipfile.ZipFile(file) as members:
        for member in members.infolist():
            if member.flag_bits & 1:
                raise UserError(f"{archive[0]}: is encrypted; put an archive without a password in its place")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield Member(member.filename, 0, None)
            elif not member.is_dir():
                file.seek(member.header_offset + 26)  # the lengths of name and extra field in the local header
                start = member.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
                packed = None if member.compress_type == zipfile.ZIP_STORED else member.compress_size
                with members.open(member) as data:
                    yield Member(member.filename, member.file_size, data, start, packed)


def _rar(archive: Parts) -> Iterator[Member]:
    if len(archive) > 1:
        raise UserError(f"{archive[0]}: is a part of a rar archive; join the parts with 'cat' first")
    if (program := shutil.which("bsdtar")) is None:
        raise UserError(f"{archive[0]}: is a rar archive; install bsdtar (apt install libarchive-tools)")
    command = ["env", "LC_ALL=C.UTF-8", program, "-c", "-f", "-", "--format", "pax", f"@{archive[0]}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from _tar(archive, process.stdout)
        process.stdout.read()
    if process.returncode != 0:
        raise tarfile.ReadError(f"bsdtar ended with code {process.returncode}")


def damage_of(error: BaseException) -> BaseException:
    """Return the error of a damaged archive; an error of the disk itself stays."""
    if isinstance(error, OSError) and error.errno is not None:  # gzip and bz2 give no number
        return error
    reason = str(error).partition("\n")[0]
    return WrongBytesError(f"is not a readable tar, zip or rar archive: {reason}")


def twice(archive: Parts, name: str) -> UserError:
    """Return the error of a member that is both a file and a folder."""
    return UserError(f"{archive[0]}: holds {name!r} both as a file and as a folder; it is not unpacked")
