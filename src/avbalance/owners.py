"""Owners of unfinished work: which process on which machine fills a folder, also where machines share a disk."""

import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

SILENT_SECONDS = 3600
"""A process of another host counts as dead if it has shown no sign of life for so long."""
BEAT_SECONDS = 300
"""Time between two signs of life of the owner of a folder."""


def this_process() -> str:
    """`<host>.<pid>.<start>` of this process."""
    return f"{socket.gethostname()}.{os.getpid()}.{_start_of(os.getpid())}"


def is_alive(owner: str, seen: float) -> bool:
    """Return True if a process is at work.

    Args:
        owner: As from `this_process`. The start tells it from a later process with the same number, after a restart of
            the machine too.
        seen: Its last sign of life in seconds since 1970, which decides about a process of another host.
    """
    host, pid, start = owner.rsplit(".", 2)
    if host != socket.gethostname():
        return time.time() - seen < SILENT_SECONDS
    return _start_of(int(pid)) == start


def _start_of(pid: int) -> str | None:
    """Boot of the machine and tick of its clock at which a process began; None if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8")
    return None if fields[0] == "Z" else f"{boot[:8]}-{fields[19]}"  # fields from the third on: state, ..., starttime


@contextmanager
def filling(out: Path) -> Iterator[Path]:
    """Yield a new folder beside `out`, and rename it to `out` once it is filled.

    What `out` held before is replaced. If another process, which may be on another node, has finished the same folder
    in the meantime, that one stays, for others may read it already. Folders of dead owners are removed.

    Raises:
        OSError: The folder cannot be written; nothing is left behind.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for left, owner in _unfinished(out):
        if not _is_filled(left, owner):
            shutil.rmtree(left, ignore_errors=True)  # another process may do the same
    before = _identity(out)
    unfinished = out.parent / f".{out.name}.{this_process()}.unfinished"
    unfinished.mkdir()
    ended = Event()
    Thread(target=_beat, args=(unfinished, ended), daemon=True).start()
    try:
        yield unfinished
        try:
            unfinished.rename(out)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if _identity(out) == before:
                shutil.rmtree(out)
                unfinished.rename(out)
    finally:
        ended.set()
        shutil.rmtree(unfinished, ignore_errors=True)


def is_being_filled(out: Path) -> bool:
    """Return True if a process fills a folder that will become `out`."""
    return any(_is_filled(left, owner) for left, owner in _unfinished(out))


def _unfinished(out: Path) -> list[tuple[Path, str]]:
    """List the unfinished folders that would become `out`, each with its owner."""
    pattern = re.compile(rf"\.{re.escape(out.name)}\.([^.].*\.\d+\.[0-9a-f]+-\d+)\.unfinished")
    found = ((left, pattern.fullmatch(left.name)) for left in out.parent.glob(f".{out.name}.*.unfinished"))
    return [(left, match[1]) for left, match in found if match is not None]


def _is_filled(folder: Path, owner: str) -> bool:
    try:
        return is_alive(owner, folder.stat().st_mtime)
    except FileNotFoundError:  # renamed just now
        return False


def _identity(folder: Path) -> int | None:
    """Inode of a folder; None if it does not exist."""
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _beat(folder: Path, ended: Event) -> None:
    """Show a sign of life until the folder is finished: its own time."""
    while not ended.wait(BEAT_SECONDS):
        with suppress(FileNotFoundError):
            os.utime(folder)
