"""Fetch or generate a dataset's raw files: `python -m avbalance.prepare.download --recipe R --out DIR`.

A file is taken from the mirror, a folder or URL that holds it under its `path`, else from the first of its
`urls` that has it. Whatever the source, its bytes are verified. A broken download is resumed, also by the
next call; what is complete waits in the cache until the whole raw folder can be published.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import tarfile
import time
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any

import requests
from filelock import FileLock
from tqdm import tqdm

from avbalance import cli, registry, store

CACHE = Path("results/resume/downloads")
RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0)
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, between two reads
CHUNK_BYTES = 1 << 16


def download(recipe: dict[str, Any], out: Path, mirror: str | None = None, cache: Path = CACHE) -> None:
    """Publish the raw folder of a recipe.

    Args:
        recipe: Its settings hold either "files": [{"path", "urls", "size" where known, and "sha256" or "contents":
            {"list": name, "entries": {member: sha256}} for an archive}], or "generator": {name: options}.
        out: The folder to publish.
        mirror: Folder or URL to try first.
        cache: Where unfinished downloads are kept.

    Raises:
        UserError: A file cannot be had or has wrong bytes.
    """
    settings = recipe["settings"]
    with store.publish(out, recipe) as folder:
        if "generator" in settings:
            registry.load("data", settings["generator"]).generate(folder)
            return
        fetched = [fetch(file, folder, mirror, cache) for file in settings["files"]]
    for path in fetched:
        if path is not None:
            path.unlink(missing_ok=True)


def fetch(file: dict[str, Any], folder: Path, mirror: str | None, cache: Path) -> Path | None:
    """Put one file, or the contents of one archive, below `folder`; returns its place in the cache, if any."""
    path, urls, tried = file["path"], list(file["urls"]), []
    if mirror is not None and mirror.startswith(("http://", "https://")):
        urls.insert(0, f"{mirror.rstrip('/')}/{path}")
    elif mirror is not None:
        found = Path(mirror) / path
        if found.is_file():
            place(file, found, str(found), folder)
            return None
        tried.append(f"{found} (no such file)")
    cache.mkdir(parents=True, exist_ok=True)
    for url in urls:
        cached = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{PurePosixPath(path).name}"
        with FileLock(f"{cached}.lock"):  # two datasets may share a file
            problem = None if cached.exists() else get(url, cached, file.get("size"))
            if problem is None:
                try:
                    place(file, cached, url, folder)
                except cli.UserError:
                    cached.unlink()
                    raise
                return cached
        tried.append(f"{url} ({problem})")
    raise cli.UserError(
        f"{path} cannot be had; tried {', '.join(tried)}; put the file at MIRROR/{path} and give --mirror MIRROR "
        "or set AVBALANCE_MIRROR, a folder or a URL"
    )


def get(url: str, target: Path, size: int | None) -> str | None:
    """Download to `target`, by way of `target`.part; returns why it could not be had."""
    part = target.with_name(f"{target.name}.part")
    problem = ""
    for pause in (*RETRY_SECONDS, None):
        have = part.stat().st_size if part.exists() else 0
        if size is not None and have > size:
            part.unlink()
            have = 0
        try:
            if have != size:
                append(url, part, have)
            part.rename(target)
            return None
        except requests.HTTPError as error:
            status = error.response.status_code
            problem = f"{status} {error.response.reason}"
            if status == 416:  # the part is longer than the file
                part.unlink()
            elif status < 500 and status != 429:
                return problem
        except requests.RequestException as error:
            problem = f"{type(error).__name__} after {len(RETRY_SECONDS) + 1} attempts"
        if pause is not None:
            time.sleep(pause)
    return problem


def append(url: str, part: Path, have: int) -> None:
    """Stream what is missing behind the first `have` bytes; anew where the server sends everything."""
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        response.raise_for_status()
        if response.status_code != 206:
            have = 0
        total = have + int(response.headers.get("Content-Length", 0)) or None
        with (
            part.open("ab" if have else "wb") as file,
            tqdm(desc=url, total=total, initial=have, unit="B", unit_scale=True, disable=None) as progress,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                file.write(chunk)
                progress.update(len(chunk))


def place(file: dict[str, Any], found: Path, source: str, folder: Path) -> None:
    """Verify a file and copy it below `folder`; verify and unpack an archive with listed contents."""
    target = folder / file["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    if "contents" in file:
        unpack(found, source, file["contents"], target.parent)
        return
    if (size := found.stat().st_size) != file.get("size", size):
        raise cli.UserError(f"{source}: expected {file['size']} bytes, found {size}; get the file anew")
    if (digest := store.sha256(found)) != file["sha256"]:
        raise cli.UserError(f"{source}: expected sha256 {file['sha256']}, found {digest}; get the file anew")
    shutil.copyfile(found, target)


def unpack(archive: Path, source: str, contents: dict[str, Any], folder: Path) -> None:
    """Unpack the listed members, and nothing else, below `folder`; verify each.

    A member may lie below one top folder, as in the archives that GitHub makes.
    """
    entries: dict[str, str] = contents["entries"]
    missing, differing = set(entries), set()
    try:
        with tarfile.open(archive) as members:
            for member in members:
                whole = member.name.removeprefix("./")
                name = whole if whole in entries else whole.partition("/")[2]
                data = members.extractfile(member) if member.isfile() and name in missing else None
                if data is not None:
                    missing.remove(name)
                    if write(data, folder / name) != entries[name]:
                        differing.add(name)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise cli.UserError(f"{source}: is no readable tar archive ({error}); get it anew") from error
    if missing or differing:
        raise cli.UserError(
            f"{source}: of the {len(entries)} files in {contents['list']}, {len(missing)} are missing "
            f"({', '.join(sorted(missing)[:3]) or 'none'}) and {len(differing)} have other bytes "
            f"({', '.join(sorted(differing)[:3]) or 'none'}); get the archive anew"
        )


def write(data: IO[bytes], target: Path) -> str:
    """Write a stream to a file; returns the sha256 of its bytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while chunk := data.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Fetch or generate a dataset's raw files.")
    parser.add_argument("--recipe", type=Path, required=True, help="JSON file that says what to fetch")
    parser.add_argument("--out", type=Path, required=True, help="folder to publish")
    parser.add_argument(
        "--mirror",
        default=os.environ.get("AVBALANCE_MIRROR"),
        help="folder or URL to try first (default: AVBALANCE_MIRROR)",
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of unfinished downloads")
    arguments = parser.parse_args()
    download(store.load_recipe(arguments.recipe), arguments.out, arguments.mirror or None, arguments.cache)


if __name__ == "__main__":
    cli.run(main)
