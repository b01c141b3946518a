"""Files from a mirror or their addresses: several at once, resumed where a connection broke, verified by the caller."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import requests
from filelock import FileLock
from tqdm import tqdm

from avbalance.errors import UserError
from avbalance.prepare.archives import WrongBytesError

NUM_AT_ONCE = 8
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, between two reads
CHUNK_BYTES = 1 << 16

File = dict[str, Any]
"""A `schema.SourceFile` whose `contents` or `list` is {"list": name, "entries": {path: sha256}}."""
Accept = Callable[[File, Path], None]
"""Takes a file, or raises WrongBytesError."""


@dataclass
class Fetcher:
    """Gets files, several at once.

    Attributes:
        mirror: Folder or URL to try first.
        cache: Where downloads are kept.
    """

    mirror: str | None
    cache: Path
    session: requests.Session = field(default_factory=requests.Session)
    stopped: threading.Event = field(default_factory=threading.Event)

    def fetch(self, files: list[File], accept: Accept) -> list[Path]:
        """Get all files; returns where in the cache they are, as far as they are there.

        Raises:
            UserError: The mirror is none, or a file cannot be had; what is complete, or begun, stays in the cache.
        """
        mirror = self.mirror
        if mirror is not None and not mirror.startswith(("http://", "https://")) and not Path(mirror).is_dir():
            raise UserError(
                f"mirror {mirror!r} is neither a folder nor an http or https address; give one with --mirror or "
                "AVBALANCE_MIRROR, or give none"
            )
        many = any("list" in file for file in files)
        with (
            ThreadPoolExecutor(NUM_AT_ONCE) as pool,
            tqdm(total=len(files), unit="file", disable=None if many else True) as progress,
        ):
            jobs = [pool.submit(self.find, file, accept) for file in files]
            try:
                for job in as_completed(jobs):
                    job.result()
                    progress.update()
            except BaseException:
                self.stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
        return [path for job in jobs if (path := job.result()) is not None]

    def find(self, file: File, accept: Accept) -> Path | None:
        """Offer one file from each source in turn until it is accepted; returns its place in the cache, if any."""
        path, sources, tried = file["path"], list(file["urls"]), []
        if self.mirror is not None:
            sources.insert(0, f"{self.mirror.rstrip('/')}/{quote(path) if '://' in self.mirror else path}")
        for source in sources:
            if "://" in source:
                cached = self.cache / f"{hashlib.sha256(source.encode()).hexdigest()[:8]}-{PurePosixPath(path).name}"
                with self.lock(cached):  # two datasets may share a file
                    problem = None if cached.exists() else self.get(source, cached, file)
                    if problem is None and (problem := _refused(file, cached, accept)) is not None:
                        cached.unlink()
            else:
                cached = None
                problem = _refused(file, Path(source), accept) if Path(source).is_file() else "no such file"
            if problem is None:
                return cached
            tried.append(f"{source} ({problem})")
        raise UserError(_advice(file, tried))

    def lock(self, cached: Path) -> FileLock:
        """Keeps others from a file of the cache; 256 locks do for all files."""
        folder = self.cache / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{cached.name[:2]}.lock", poll_interval=0.01)

    def get(self, url: str, target: Path, file: File) -> str | None:
        """Download to `target`, by way of `target`.part; returns why it could not be had."""
        part = target.with_name(f"{target.name}.part")
        quiet = True if "list" in file and "unpack" not in file else None
        pauses, longest = iter(RETRY_SECONDS), 0
        while True:
            have = part.stat().st_size if part.exists() else 0
            if have > file.get("size", have):
                part.unlink()
                have = 0
            if have > longest:  # it comes on: patience begins anew
                pauses, longest = iter(RETRY_SECONDS), have
            try:
                if have == 0 or have != file.get("size"):
                    self.append(url, part, have, quiet)
                part.rename(target)
                return None
            except requests.HTTPError as error:
                status = error.response.status_code
                problem = f"{status} {error.response.reason}"
                if status == 416:  # the part is longer than the file
                    part.unlink()
                elif status < 500 and status not in (408, 429):
                    return problem
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                problem = f"{type(error).__name__} after {len(RETRY_SECONDS) + 1} attempts"
            except requests.RequestException as error:  # such as an address of a kind that nobody can fetch
                return type(error).__name__
            if (pause := next(pauses, None)) is None:
                return problem
            if self.stopped.wait(pause):
                raise CancelledError

    def append(self, url: str, part: Path, have: int, quiet: bool | None) -> None:
        """Stream what is missing behind the first `have` bytes; anew where the server sends everything."""
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


def _refused(file: File, found: Path, accept: Accept) -> str | None:
    try:
        accept(file, found)
    except WrongBytesError as error:
        return str(error)
    return None


def _advice(file: File, tried: list[str]) -> str:
    """What to do about a file that cannot be had."""
    expected = [f"{algorithm} {file[algorithm]}" for algorithm in ("sha256", "md5") if file.get(algorithm)]
    for key, relation in (("list", "one of"), ("contents", "an archive of")):
        if key in file:
            expected.append(f"{relation} the {len(file[key]['entries'])} files in {file[key]['list']}")
    tries = f"; tried {', '.join(tried)}" * bool(tried)
    request = f"; it is given out on request: {file['request']}" if "request" in file else ""
    anew = "; if other bytes are right, make the list anew: python -m avbalance.record <name> --again"
    return (
        f"{file['path']} cannot be had{tries}{request}; put the file (expected: {', '.join(expected)}) at "
        f"MIRROR/{file['path']} and give --mirror MIRROR or set AVBALANCE_MIRROR, a folder or a URL"
        + anew
        * ("list" in file and "request" in file)
    )
