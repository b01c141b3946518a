"""Make lists of checksums for files that are published without them: `avbalance record NAME`.

For every `list` of config/datasets/NAME.yaml or config/models/NAME.yaml that does not exist yet:

- with `index`, the list holds the part of each address in the index, one a line, that stands where the first of `urls`
  has `{path}`; the index is an address itself, or a file beside the YAML;
- with `request`, the list holds every file below the entry's `path` in the mirror, by its path below that; links to
  files and folders are followed. An archive in parts, such as `x.zip.partaa`, is listed as one archive, and the files
  of an unpacked archive are listed one by one.

An existing list of files in the mirror is compared with them; `--again` makes all lists anew. Recording trusts the
files as they are; every later download is verified against the list. Fetched files stay in the cache, from which the
raw folder is then made.
"""

import argparse
import hashlib
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from avbalance import cli, registry
from avbalance.configuration.project import read_project, sources_of
from avbalance.configuration.schema import SourceFile
from avbalance.data.lists import read_checksums
from avbalance.data.members import whole_of
from avbalance.errors import UserError
from avbalance.prepare.archives import Parts, opened
from avbalance.prepare.download import CACHE, listed
from avbalance.prepare.fetch import Fetcher, File


def record(name: str, root: Path, mirror: str | None, cache: Path = CACHE, again: bool = False) -> list[Path]:
    """Write the lists that a dataset or a model lacks, with `again` all of them; return their paths.

    Raises:
        UserError: The dataset or model does not exist, a file cannot be fetched, a line of an index has the wrong form,
            or files in the mirror differ from their list.
    """
    project = read_project(root, {})
    if name in project.models:
        folder, entries = root / "config" / "models", project.models[name].files
    elif name in project.datasets:
        sources = sources_of(project.datasets, name).values()
        folder, entries = root / "config" / "datasets", [file for source in sources for file in source.files]
    else:
        known = [*project.datasets, *project.models]
        raise UserError(f"{name!r} is not a dataset or model; {registry.nearest(name, known)}")
    written = []
    for entry in (entry for entry in entries if entry.list is not None):
        path = folder / str(entry.list)
        is_made = again or not path.exists()
        if is_made or _is_in_mirror(entry, mirror):
            digests = _digests(entry, path, mirror, Fetcher(mirror, cache))
            if not is_made:
                _compare(name, path, digests)
                continue
            unfinished = path.with_name(f".{path.name}.{os.getpid()}")
            unfinished.write_text("".join(f"{digest}  {file}\n" for file, digest in digests.items()), encoding="utf-8")
            unfinished.rename(path)
            written.append(path)
    return written


def _is_in_mirror(entry: SourceFile, mirror: str | None) -> bool:
    """True if the mirror holds the files of an entry with `request`."""
    return entry.request is not None and mirror is not None and (Path(mirror) / str(entry.path)).is_dir()


def _digests(entry: SourceFile, path: Path, mirror: str | None, fetcher: Fetcher) -> dict[str, str]:
    """{file: sha256} of all files that belong in a list, sorted."""
    names = _in_index(entry, path.parent, fetcher) if entry.index else _in_mirror(entry, path, mirror)
    for name in names:
        if name != name.strip() or any(each in "\r\n" or "\ud800" <= each <= "\udfff" for each in name):
            raise UserError(
                f"{path}: cannot hold the name {name!r}; allowed: UTF-8 without line ends and without outer spaces"
            )
    described = entry.model_dump(exclude_none=True) | {"list": {"path": str(path)}}
    digests: dict[str, str] = {}
    fetcher.fetch(listed(described, dict.fromkeys(names, "")), partial(_note, digests), len(names))
    return {name: digests[str(PurePosixPath(entry.path or "") / name)] for name in names}


def _compare(name: str, path: Path, digests: dict[str, str]) -> None:
    """Raise UserError if files in the mirror differ from their list."""
    known = read_checksums(path)
    differing = [f"{file} is not listed" for file in digests.keys() - known.keys()]
    differing += [f"{file} does not exist" for file in known.keys() - digests.keys()]
    differing += [f"{file} has other bytes" for file in digests.keys() & known.keys() if digests[file] != known[file]]
    if differing:
        raise UserError(
            f"{path}: differs from the mirror in {len(differing)} files: {', '.join(sorted(differing)[:3])}; if the "
            f"mirror is right, make the list anew with 'avbalance record {name} --again'"
        )


def _note(digests: dict[str, str], file: File, found: Parts) -> None:
    with opened(found) as whole:
        digests[file["path"]] = hashlib.file_digest(whole, "sha256").hexdigest()


def _in_index(entry: SourceFile, folder: Path, fetcher: Fetcher) -> list[str]:
    """Parts of the addresses of an index that stand for `{path}`, sorted."""
    form = re.compile("(.+)".join(map(re.escape, entry.urls[0].split("{path}", 1))))
    indexes = entry.index or []
    files = [{"path": index.rpartition("/")[2], "urls": [index]} for index in indexes if "://" in index]
    texts = [(folder / index).read_text("utf-8-sig") for index in indexes if "://" not in index]
    Fetcher(fetcher.mirror, fetcher.cache, keep=False).fetch(
        files, lambda _, found: texts.append(found[0].read_text("utf-8-sig")), len(files)
    )
    lines = {line.strip() for text in texts for line in text.splitlines()} - {""}
    names = []
    for line in lines:
        if (match := form.fullmatch(line)) is None:
            raise UserError(f"{', '.join(indexes)}: {line!r} does not have the form {entry.urls[0]!r}")
        names.append(unquote(match[1]))
    return sorted(names)


def _in_mirror(entry: SourceFile, path: Path, mirror: str | None) -> list[str]:
    """Files below a folder of the mirror, sorted; an archive in parts is one file."""
    if entry.request is None or entry.path is None:
        raise UserError(f"{path}: cannot be made; give its entry urls and index, or request and path")
    if mirror is None or "://" in mirror:
        raise UserError(f"{path}: is made from {entry.path} in your mirror; give --mirror MIRROR, a folder")
    media = Path(mirror) / entry.path
    names = {str(file.relative_to(media)) for file in _files_below(media, frozenset())}
    if not names:
        raise UserError(f"{media}: holds no files; {entry.request}")
    return sorted({whole_of(name) or name for name in names} if entry.unpack else names)


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yield all files, also behind links to folders, except links back to a folder above.

    Raises:
        UserError: A link leads nowhere.
    """
    above |= {folder.resolve()}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            if path.resolve() not in above:
                yield from _files_below(path, above)
        elif path.is_file():
            yield path
        elif path.is_symlink():
            raise UserError(f"{path}: is a link to {os.readlink(path)!r}, which does not exist; repair or remove it")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the lists of checksums that a dataset or a model lacks.")
    parser.add_argument("name", help="a file in config/datasets or config/models")
    parser.add_argument("--mirror", default=os.environ.get("AVBALANCE_MIRROR"), help="folder or URL to try first")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of unfinished downloads")
    parser.add_argument("--again", action="store_true", help="make existing lists anew")
    arguments = parser.parse_args()
    written = record(arguments.name, Path(), arguments.mirror or None, arguments.cache, arguments.again)
    print(
        f"wrote {', '.join(map(str, written))}"
        if written
        else f"{arguments.name}: all lists exist and agree with the mirror"
    )


if __name__ == "__main__":
    cli.run(main)
