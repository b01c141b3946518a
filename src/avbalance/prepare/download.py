"""Fetch or generate a dataset's raw files: `python -m avbalance.prepare.download --recipe R --out DIR`.

The sources of a file are tried in this order until its bytes are right: an earlier raw folder of the same dataset,
which helps if only a part of a list of checksums has changed; the mirror, a folder or URL that holds the file under its
`path`; the `urls` of the file. Interrupted downloads resume, also in a later call. Complete files wait in a
folder of the cache until the whole raw folder can be published, so a killed call goes on with the next file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from filelock import FileLock

from avbalance import cli, registry, store
from avbalance.data.lists import read_checksums
from avbalance.data.raw import RawFiles
from avbalance.prepare import archives, indexing
from avbalance.prepare.archives import Parts, WrongBytesError
from avbalance.prepare.fetch import Fetcher, File
from avbalance.prepare.indexing import Row
from avbalance.prepare.staging import Staging, take

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
    if "generator" in recipe["settings"]:
        with store.publish(out, recipe) as folder:
            registry.load("data", recipe["settings"]["generator"]).generate(folder)
        return
    entries = [(entry, _checksums(entry)) for entry in recipe["settings"]["files"]]
    num_files = sum(1 if checksums is None else len(checksums) for _, checksums in entries)
    fetcher = Fetcher(mirror, cache, _earlier(out), keep=False)
    lock = cache / "locks" / f"{out.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock), closing(Staging(cache / out.name)) as staging:
        files = (
            file
            for entry, checksums in entries
            for file in ([entry] if checksums is None else listed(entry, checksums))
            if not staging.has(file["path"], _what(file))
        )
        fetcher.fetch(files, partial(place, staging=staging, cache=cache), num_files)
        known: dict[str, str] = {}
        with store.publish(out, recipe, known, lists_all=False) as folder:
            known |= staging.fill(folder)
        staging.remove()


def _earlier(out: Path) -> list[RawFiles]:
    """Return earlier raw folders of the same dataset."""
    manifests = sorted(out.parent.glob(f"{escape(out.name.rpartition('.')[0])}.*/{store.MANIFEST}"))
    return [RawFiles(manifest.parent) for manifest in manifests]


def _checksums(entry: File) -> dict[str, str] | None:
    """Return {file: sha256} of an entry that has a list.

    Raises:
        UserError: The list has other bytes than the recipe says, or is malformed.
    """
    if "list" not in entry:
        return None
    return read_checksums(Path(entry["list"]["path"]), entry["list"]["sha256"])


def _what(file: File) -> str:
    """Return a hash of the bytes that are wanted, and of how they are kept."""
    return store.digest([file.get(key) for key in ("sha256", "md5", "contents", "unpack")])


def listed(entry: File, checksums: Mapping[str, str]) -> Iterator[File]:
    """Yield the files of an entry that has a list with these {file: sha256}.

    They lie below the entry's `path`; in its `urls`, `{path}` stands for a file's path below that.
    """
    for name, digest in checksums.items():
        yield entry | {
            "path": str(PurePosixPath(entry.get("path", "")) / name),
            "urls": [url.replace("{path}", quote(name)) for url in entry["urls"]],
            "sha256": digest,
        }


def place(file: File, found: Parts, staging: Staging, cache: Path) -> None:
    """Verify a file and put it, or its contents, into the raw folder to be.

    Args:
        file: The file.
        found: The file, or its parts in order.
        staging: Raw folder to be.
        cache: Folder of downloads, from which files are moved; others are linked.

    Raises:
        WrongBytesError: The file differs; the message gives the expected and the actual value.
    """
    target, is_ours = archives.inside(staging.files, file["path"]), found[0].parent == cache
    if (size := sum(part.stat().st_size for part in found)) != file.get("size", size):
        raise WrongBytesError(f"expected {file['size']} bytes, found {size}")
    digests = _digests(found, {"sha256", "md5"} & file.keys() | {"sha256"})
    for algorithm, digest in digests.items():
        if digest != file.get(algorithm, digest):
            raise WrongBytesError(f"expected {algorithm} {file[algorithm]}, found {digest}")
    target.parent.mkdir(parents=True, exist_ok=True)
    rows, is_kept = [], True
    if "contents" in file:
        rows, is_kept = indexing.unpack(found, target.parent, file["contents"]), False
    elif file.get("unpack") and not ("list" in file and archives.kind_of(found) is None):  # a file of an unpacked one
        is_kept, rows = indexing.index(found, target.parent, target.name)
    if is_kept and len(found) == 1:
        rows.append(Row(target.name, size, digests["sha256"]))
    elif is_kept:
        rows += [Row(part.name, part.stat().st_size, store.sha256(part)) for part in found]
    if is_kept:
        take(found, target, is_ours)
    elif is_ours:
        found[0].unlink()
    above = PurePosixPath(file["path"]).parent
    staging.note(file["path"], _what(file), (row.below(above) for row in rows))


def _digests(parts: Parts, algorithms: Iterable[str]) -> dict[str, str]:
    """Return {algorithm: digest} of a file, in parts or whole."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with archives.opened(parts) as opened:
        while chunk := opened.read(1 << 20):
            for each in hashes.values():
                each.update(chunk)
    return {algorithm: each.hexdigest() for algorithm, each in hashes.items()}


def run(recipe: dict[str, Any], out: Path, mirror: str | None = None, cache: Path = CACHE) -> None:
    """Publish a dataset's raw files; parameters are those of `cli.OPTIONS`, and an empty mirror stands for none."""
    download(recipe, out, (os.environ.get("AVBALANCE_MIRROR") if mirror is None else mirror) or None, cache)


def main() -> None:
    """Run the command line of the step."""
    cli.step(__doc__, run)


if __name__ == "__main__":
    cli.run(main)
