"""Fetch or generate a dataset's raw files: `python -m avbalance.prepare.download --recipe R --out DIR`.

The sources of a file are tried in this order until its bytes are right: an earlier raw folder of the same dataset,
which helps if only a part of a list of checksums has changed; the mirror, a folder or URL that holds the file under its
`path`; the `urls` of the file. Interrupted downloads resume, also in a later call. Complete files wait in the cache
until the whole raw folder can be published.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from avbalance import cli, registry, store
from avbalance.data.lists import read_checksums
from avbalance.errors import UserError
from avbalance.prepare import archives
from avbalance.prepare.archives import WrongBytesError
from avbalance.prepare.fetch import Fetcher, File

CACHE = Path("results/resume/downloads")


def download(recipe: dict[str, Any], out: Path, mirror: str | None = None, cache: Path = CACHE) -> None:
    """Publish the raw folder of a recipe.

    Args:
        recipe: Its settings hold either "files": [File], or "generator": {name: options}.
        out: The folder to publish.
        mirror: Folder or URL to try first.
        cache: Folder of unfinished downloads.

    Raises:
        UserError: No source has a file with the right bytes.
    """
    settings = recipe["settings"]
    fetcher = Fetcher(mirror, cache)
    with store.publish(out, recipe) as folder:
        if "generator" in settings:
            registry.load("data", settings["generator"]).generate(folder)
            return
        earlier = _earlier(out)
        files = []
        for file in (file for entry in settings["files"] for file in files_of(entry)):
            found = earlier.get((file["path"], file.get("sha256", "")))
            try:
                if found is not None:
                    place(file, found, folder, found.parent)
            except WrongBytesError:  # damaged since
                found = None
            if found is None:
                files.append(file)
        fetched = fetcher.fetch(files, partial(place, folder=folder, cache=cache))
    for path in fetched:
        with fetcher.lock(path):
            path.unlink(missing_ok=True)


def _earlier(out: Path) -> dict[tuple[str, str], Path]:
    """Return {(path, sha256): file} of earlier raw folders of the same dataset."""
    found: dict[tuple[str, str], Path] = {}
    for manifest in out.parent.glob(f"{out.name.rpartition('-')[0]}-*/{store.MANIFEST}"):
        folder = manifest.parent
        with contextlib.suppress(UserError):  # a damaged one has nothing to give
            files = store.read_manifest(folder)["files"]
            found |= {(name, entry["sha256"]): folder / name for name, entry in files.items()}
    return found


def files_of(entry: File) -> list[File]:
    """Return the files of an entry: those of its list, or the entry itself.

    Raises:
        UserError: The list has other bytes than the recipe says, or is malformed.
    """
    if "list" not in entry:
        return [entry]
    return listed(entry, read_checksums(Path(entry["list"]["path"]), entry["list"]["sha256"]))


def listed(entry: File, checksums: Mapping[str, str]) -> list[File]:
    """Return the files of an entry that has a list with these {file: sha256}.

    They lie below the entry's `path`; in its `urls`, `{path}` stands for a file's path below that.
    """
    return [
        entry
        | {
            "path": str(PurePosixPath(entry.get("path", "")) / name),
            "urls": [url.replace("{path}", quote(name)) for url in entry["urls"]],
            "sha256": digest,
        }
        for name, digest in checksums.items()
    ]


def place(file: File, found: Path, folder: Path, cache: Path) -> None:
    """Verify a file and put it, or its contents, below `folder`.

    Raises:
        WrongBytesError: The file differs; the message gives the expected and the actual value.
    """
    target = archives.inside(folder, file["path"])
    target.parent.mkdir(parents=True, exist_ok=True)
    if (size := found.stat().st_size) != file.get("size", size):
        raise WrongBytesError(f"expected {file['size']} bytes, found {size}")
    for algorithm in ("sha256", "md5"):
        if algorithm in file:
            with found.open("rb") as opened:
                digest = hashlib.file_digest(opened, algorithm).hexdigest()
            if digest != file[algorithm]:
                raise WrongBytesError(f"expected {algorithm} {file[algorithm]}, found {digest}")
    if "contents" in file or file.get("unpack"):
        archives.unpack(found, target.parent, file.get("contents"))
        return
    if found.parent == cache:
        with contextlib.suppress(OSError):  # on another disk
            os.link(found, target)
            return
    shutil.copyfile(found, target)


def run(recipe: dict[str, Any], out: Path, mirror: str | None = None, cache: Path = CACHE) -> None:
    """Publish a dataset's raw files; parameters are those of `cli.OPTIONS`, and an empty mirror stands for none."""
    download(recipe, out, (os.environ.get("AVBALANCE_MIRROR") if mirror is None else mirror) or None, cache)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
