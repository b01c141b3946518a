"""Get files from a mirror or their addresses: several at once, resumed after a break, verified by the caller."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from urllib.parse import quote

import requests
from filelock import FileLock
from tqdm import tqdm

from avbalance.data.members import parts_of
from avbalance.data.raw import RawFiles
from avbalance.errors import UserError
from avbalance.prepare import packages
from avbalance.prepare.archives import Parts, WrongBytesError

NUM_AT_ONCE = 8
NUM_WAITING = 64
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, between two reads
CHUNK_BYTES = 1 << 16

File = dict[str, Any]
"""A `schema.SourceFile` whose `contents` or `list` is {"path": path of the list, "sha256": its checksum}."""
Accept = Callable[[File, Parts], None]
"""Function that takes a file, or its parts in order, or raises WrongBytesError."""


class Outcome(Enum):
    """Result of an attempt to get a file."""

    DONE = auto()
    AGAIN = auto()
    NEXT_SOURCE = auto()


@dataclass(frozen=True)
class Attempt:
    """An attempt to get a file.

    Attributes:
        outcome: The file, or what to do next.
        problem: Reason of a failure.
    """

    outcome: Outcome
    problem: str = ""


DONE = Attempt(Outcome.DONE)


@dataclass
class Fetcher:
    """Get files, several at once.

    Attributes:
        mirror: Folder or URL to try first.
        cache: Folder of downloads.
        earlier: Raw folders that may hold a file already.
        keep: False to remove a download from the cache once it is accepted.
        session: HTTP session of all downloads.
        stopped: Set when a file fails, so that the others end.
    """

    mirror: str | None
    cache: Path
    earlier: Sequence[RawFiles] = ()
    keep: bool = True
    session: requests.Session = field(default_factory=requests.Session)
    stopped: threading.Event = field(default_factory=threading.Event)

    def fetch(self, files: Iterable[File], accept: Accept, num_files: int) -> None:
        """Get all files, of which only a few are held in memory.

        Args:
            files: The files.
            accept: Takes each.
            num_files: Number of files for the display of progress, or more.

        Raises:
            UserError: The mirror is not a folder or an address, or no source has a file. Complete and unfinished
                downloads stay in the cache.
        """
        mirror = self.mirror
        if mirror is not None and not mirror.startswith(("http://", "https://")) and not Path(mirror).is_dir():
            raise UserError(
                f"mirror {mirror!r} is neither a folder nor an http or https address; give one with --mirror or "
                "AVBALANCE_MIRROR, or give none"
            )
        with (
            ThreadPoolExecutor(NUM_AT_ONCE) as pool,
            tqdm(total=num_files, unit="file", disable=None if num_files > 20 else True) as progress,
        ):
            try:
                jobs: set[Future[None]] = set()
                for file in files:
                    jobs.add(pool.submit(self.find_file, file, accept))
                    if len(jobs) == NUM_WAITING:
                        jobs = _settle(jobs, progress)
                while jobs:
                    jobs = _settle(jobs, progress)
            except BaseException:
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
                raise

    def find_file(self, file: File, accept: Accept) -> None:
        """Offer a file from each source in turn until it is accepted.

        Raises:
            UserError: No source has the file.
        """
        path, sources, tried = file["path"], list(file["urls"]), []
        if self.mirror is not None:
            sources.insert(0, f"{self.mirror.rstrip('/')}/{quote(path) if '://' in self.mirror else path}")
        if "package" in file:
            sources.append(packages.SCHEME + file["package"])
        sources[:0] = [str(raw.folder / path) for raw in self.earlier if _holds(raw, file)]
        for source in sources:
            if "://" in source:
                name = f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{PurePosixPath(path).name}"
                cached = self.cache / name
                attempt = self.offer_download(source, cached, file, accept)
            else:
                attempt = _offer(file, parts_of(Path(source)), accept)
            if attempt.outcome is Outcome.DONE:
                return
            tried.append(f"{source} ({attempt.problem})")
        raise UserError(_advice(file, tried))

    def lock(self, cached: Path) -> FileLock:
        """Return the lock of a file in the cache. All files together share 256 locks."""
        folder = self.cache / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{cached.name[:2]}.lock", poll_interval=0.01)

    def offer_download(self, url: str, cached: Path, file: File, accept: Accept) -> Attempt:
        """Download to the cache, unless another dataset has, and offer the file; remove it if it is refused."""
        with self.lock(cached):
            attempt = DONE if cached.exists() else self.download(url, cached, file)
            if attempt.outcome is Outcome.DONE:
                attempt = _offer(file, [cached], accept)
                if attempt.outcome is not Outcome.DONE or not self.keep:
                    cached.unlink(missing_ok=True)
        return attempt

    def download(self, url: str, target: Path, file: File) -> Attempt:
        """Download to `target`: a package by pip, else resuming `target`.part and again while that may help.

        Raises:
            CancelledError: Another file failed.
        """
        if url.startswith(packages.SCHEME):
            problem = packages.download(url, file["sha256"], target)
            return Attempt(Outcome.NEXT_SOURCE, problem) if problem else DONE
        part = target.with_name(f"{target.name}.part")
        pauses, longest = iter(RETRY_SECONDS), 0
        while True:
            if (size := _size_of(part)) > longest:  # progress: the pauses begin anew
                pauses, longest = iter(RETRY_SECONDS), size
            attempt = self.download_once(url, part, file)
            if attempt.outcome is not Outcome.AGAIN:
                break
            if (pause := next(pauses, None)) is None:
                return Attempt(Outcome.NEXT_SOURCE, attempt.problem)
            if self.stopped.wait(pause):
                raise CancelledError
        if attempt.outcome is Outcome.DONE:
            part.rename(target)
        return attempt

    def download_once(self, url: str, part: Path, file: File) -> Attempt:
        """Download the rest of `part`."""
        size = file.get("size")
        if size is not None and _size_of(part) > size:
            part.unlink()
        try:
            if _size_of(part) == 0 or _size_of(part) != size:
                self.append(url, part, quiet=True if "list" in file and "unpack" not in file else None)
        except requests.HTTPError as error:
            status = error.response.status_code
            if status == 416:  # the part is longer than the file
                part.unlink()
            may_help = status >= 500 or status in (408, 416, 429)
            return Attempt(Outcome.AGAIN if may_help else Outcome.NEXT_SOURCE, f"{status} {error.response.reason}")
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            return Attempt(Outcome.AGAIN, f"{type(error).__name__} after {len(RETRY_SECONDS) + 1} attempts")
        except requests.RequestException as error:  # such as an unknown kind of address
            return Attempt(Outcome.NEXT_SOURCE, type(error).__name__)
        return DONE

    def append(self, url: str, part: Path, quiet: bool | None) -> None:
        """Stream the missing bytes; all bytes if the server does not resume."""
        have = _size_of(part)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with self.session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
            response.raise_for_status()
            if response.status_code != 206:
                have = 0
            total = have + int(response.headers.get("Content-Length", 0)) or None
            with (
                part.open("ab" if have else "wb") as file,
                tqdm(desc=url, total=total, initial=have, unit="B", unit_scale=True, disable=quiet) as progress,
            ):
                for chunk in response.iter_content(CHUNK_BYTES):
                    if self.stopped.is_set():
                        raise CancelledError
                    file.write(chunk)
                    progress.update(len(chunk))


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _settle(jobs: set[Future[None]], progress: "tqdm[NoReturn]") -> set[Future[None]]:
    """Wait for one of the jobs; return those that go on."""
    ended, others = wait(jobs, return_when=FIRST_COMPLETED)
    for job in ended:
        job.result()
        progress.update()
    return others


def _holds(raw: RawFiles, file: File) -> bool:
    """True if an earlier raw folder holds a file; one whose manifest is damaged holds none."""
    try:
        return "sha256" in file and raw.checksums.get(file["path"]) == file["sha256"]
    except UserError:
        return False


def _offer(file: File, candidate: Parts, accept: Accept) -> Attempt:
    if not candidate:
        return Attempt(Outcome.NEXT_SOURCE, "no such file")
    try:
        accept(file, candidate)
    except WrongBytesError as error:
        return Attempt(Outcome.NEXT_SOURCE, str(error))
    return DONE


def _advice(file: File, tried: list[str]) -> str:
    """Return the error message of a file that no source has."""
    expected = [f"{algorithm} {file[algorithm]}" for algorithm in ("sha256", "md5") if file.get(algorithm)]
    for key, relation in (("list", "one of"), ("contents", "an archive of")):
        if key in file:
            expected.append(f"{relation} the files in {file[key]['path']}")
    message = f"{file['path']}: no source has this file"
    if tried:
        message += f"; tried {', '.join(tried)}"
    if "request" in file:
        message += f"; it is available on request: {file['request']}"
    message += (
        f"; put the file (expected: {', '.join(expected)}) at MIRROR/{file['path']} and give --mirror MIRROR or set "
        "AVBALANCE_MIRROR, a folder or a URL"
    )
    if "list" in file and "request" in file:
        message += "; if the file was rightly replaced, renew the list: avbalance record <name> --again"
    return message
