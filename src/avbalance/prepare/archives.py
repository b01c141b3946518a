"""Archives from outside, unpacked safely: tar (plain, gz, bz2, xz), zip, and rar by way of `bsdtar`."""

import hashlib
import lzma
import shutil
import stat
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from avbalance.data.lists import read_checksums
from avbalance.errors import UserError

MAX_MEMBERS = 5_000_000
MAX_BYTES = 1 << 42
MAX_EXPANSION = 100  # bytes out of one byte of archive: media stay near 1, a bomb reaches 1,000
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)
Member = tuple[str, int, IO[bytes] | None]
"""Name, size and bytes; the bytes are None for a link or a device."""


class WrongBytesError(UserError):
    """Error: a file differs from the expected one; another address may have the right one."""


def inside(folder: Path, name: str) -> Path:
    """Return `folder`/`name`; raise UserError if that lies outside the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"{name!r} lies outside the folder it belongs to; nothing is written there")
    return folder / path


def unpack(archive: Path, folder: Path, contents: dict[str, Any] | None = None) -> None:
    """Unpack everything below `folder`, or, with `contents`, the listed members and nothing else.

    Args:
        archive: Path of the archive; its kind is determined from its first bytes.
        contents: {"path": a list of checksums, "sha256": its own}; members may lie below a top folder, as GitHub packs
            them.

    Raises:
        WrongBytesError: The archive is damaged, or a listed member is missing or has other bytes.
        UserError: It is encrypted or too large, leaves the folder, holds a link, a device or a file that is a folder as
            well, or `bsdtar` is missing.
    """
    entries: dict[str, str] = read_checksums(Path(contents["path"]), contents["sha256"]) if contents else {}
    missing, differing = set(entries), set()
    try:
        for name, data in _members(archive):
            if contents is None:
                if data is None:
                    raise UserError(f"{archive}: holds {name!r}, a link or a device; it is not unpacked")
                _write(data, inside(folder, name))
                continue
            listed = name if name in entries else name.partition("/")[2]
            if data is not None and listed in missing:
                missing.remove(listed)
                if _write(data, inside(folder, listed)) != entries[listed]:
                    differing.add(listed)
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise UserError(f"{archive}: holds {name!r} both as a file and as a folder; it is not unpacked") from error
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk; gzip and bz2 give no number
            raise
        reason = str(error).partition("\n")[0]
        raise WrongBytesError(f"is not a readable tar, zip or rar archive: {reason}") from error
    if contents and (missing or differing):
        raise WrongBytesError(
            f"of the {len(entries)} files in {contents['path']}, {len(missing)} are missing "
            f"({', '.join(sorted(missing)[:3]) or 'none'}) and {len(differing)} have other bytes "
            f"({', '.join(sorted(differing)[:3]) or 'none'})"
        )


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes] | None]]:
    """Yield names and bytes of all members except folders, within the limits."""
    with archive.open("rb") as file:
        kind = {b"PK\x03\x04": _zip, b"PK\x05\x06": _zip, b"Rar!": _rar}.get(file.read(4), _tar)
    allowed = min(MAX_BYTES, MAX_EXPANSION * archive.stat().st_size)
    for number, (name, size, data) in enumerate(kind(archive), start=1):
        allowed -= size
        if allowed < 0 or number > MAX_MEMBERS:
            raise UserError(f"{archive}: would take an implausible amount of space; it is not unpacked")
        yield name.removeprefix("./"), data


def _tar(archive: Path, stream: IO[bytes] | None = None) -> Iterator[Member]:
    with tarfile.open(archive) if stream is None else tarfile.open(fileobj=stream, mode="r|") as members:
        for member in members:
            if not member.isdir():
                yield member.name, member.size, members.extractfile(member) if member.isfile() else None


def _zip(archive: Path) -> Iterator[Member]:
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            if member.flag_bits & 1:
                raise UserError(f"{archive}: is encrypted; put an archive without a password in its place")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                yield member.filename, 0, None
            elif not member.is_dir():
                with members.open(member) as data:
                    yield member.filename, member.file_size, data


def _rar(archive: Path) -> Iterator[Member]:
    if (program := shutil.which("bsdtar")) is None:
        raise UserError(f"{archive}: is a rar archive; install bsdtar (Debian, Ubuntu: apt install libarchive-tools)")
    command = ["env", "LC_ALL=C.UTF-8", program, "-c", "-f", "-", "--format", "pax", f"@{archive}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield from _tar(archive, process.stdout)
        process.stdout.read()
    if process.returncode != 0:
        raise tarfile.ReadError(f"bsdtar ended with code {process.returncode}")


def _write(data: IO[bytes], target: Path) -> str:
    """Write a stream to a file; return the sha256 of its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := data.read(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
