"""Bundles: archives in which the artifacts behind the committed tables travel by DVC.

A bundle, `results/bundles/<name>.tar.xz`, holds the artifacts of all seeds that share a name. So there are few files,
and what the runs of a row have in common is stored once. `results/bundles.dvc` is DVC's record of them: one output for
each, so that one is pulled alone and a damaged one is named. It also lists the artifacts that each bundle holds.
"""

import errno
import io
import lzma
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from avbalance import store
from avbalance.errors import UserError

BUNDLES = Path("results/bundles")
RECORD = Path("results/bundles.dvc")
REMOTE = "results"
"""DVC's remote inside the repository, from which bundles come whichever remote is the default."""
FILTERS = [{"id": lzma.FILTER_LZMA2, "lc": 0, "lp": 1, "pb": 1}]
"""Numbers of two bytes, which most of a run is, take 5 % less than with the defaults."""


def bundle_of(folder: str) -> str:
    """Bundle of an artifact `results/<kind>/<name>-s<seed>.<key>`."""
    return f"{BUNDLES}/{re.sub(r'-s[0-9]+$', '', Path(folder).stem)}.tar.xz"


def listed(root: Path) -> Mapping[str, Sequence[str]]:
    """{bundle: folders of its artifacts} of all bundles, whether pulled or not.

    Raises:
        UserError: The record cannot be read.
    """
    record = root / RECORD
    try:
        return _parse(record.read_bytes()) if record.exists() else {}
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise UserError(f"{record}: {problem}; restore it with 'git checkout {record}'") from error


@cache
def _parse(record: bytes) -> Mapping[str, Sequence[str]]:
    outs = yaml.load(record, yaml.CSafeLoader).get("outs", ())  # in C, ten times as fast; DVC leaves an empty list out
    return {f"{RECORD.parent}/{out['path']}": out["meta"]["artifacts"] for out in outs}


def write(root: Path, folders: Iterable[str]) -> list[Path]:
    """Write the bundles of some artifacts, and a record for `dvc commit`; remove all other bundles.

    The same artifacts give the same bytes.

    Raises:
        UserError: An artifact is damaged, or the disk is full.
    """
    groups: dict[str, list[str]] = {}
    for folder in sorted(folders):
        store.open_artifact(root / folder)
        groups.setdefault(bundle_of(folder), []).append(folder)
    for bundle, members in groups.items():
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for file in (file for folder in members for file in sorted((root / folder).iterdir())):
                member = tarfile.TarInfo(str(file.relative_to(root)))
                member.size = file.stat().st_size
                with file.open("rb") as opened:
                    archive.addfile(member, opened)
        store.replace(root / bundle, lzma.compress(content.getvalue(), filters=FILTERS))
    written = [root / bundle for bundle in groups]
    for other in set((root / BUNDLES).glob("*.tar.xz")).difference(written):
        other.unlink()
    outs = [
        {"path": str(Path(bundle).relative_to(RECORD.parent)), "remote": REMOTE, "meta": {"artifacts": members}}
        for bundle, members in groups.items()
    ]
    store.replace(root / RECORD, yaml.safe_dump({"outs": outs}, width=1000))
    return written


def unpack(root: Path) -> int:
    """Unpack from the bundles that have been pulled what does not exist; return the number of artifacts.

    Raises:
        UserError: A bundle is damaged, or the disk is full.
    """
    number = 0
    for bundle, folders in listed(root).items():
        absent = {folder for folder in folders if not (root / folder / store.MANIFEST).exists()}
        if absent and (root / bundle).exists():
            number += _unpack(root, root / bundle, absent)
    return number


def _unpack(root: Path, bundle: Path, folders: set[str]) -> int:
    resume = root / store.RESUME
    resume.mkdir(parents=True, exist_ok=True)
    with store.naming(resume), TemporaryDirectory(dir=resume) as unfinished:
        archive = read(bundle)
        members = [member for member in archive if _folder(member) in folders]
        archive.extractall(unfinished, members, filter="data")
        return sum(_move(Path(unfinished, folder), root / folder) for folder in set(map(_folder, members)))


def _move(folder: Path, place: Path) -> bool:
    """Move a folder to its place; return False if another process has unpacked or made it in the meantime."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def read(bundle: Path) -> tarfile.TarFile:
    """Read all of a bundle into memory; its checksum, which xz has at the end, is compared.

    Raises:
        UserError: It is damaged.
    """
    try:
        return tarfile.open(fileobj=io.BytesIO(lzma.decompress(bundle.read_bytes())))
    except (lzma.LZMAError, tarfile.TarError) as error:
        raise UserError(f"{bundle} is damaged ({error}); restore it with 'dvc checkout --force {bundle}'") from error


def _folder(member: tarfile.TarInfo) -> str:
    return member.name.rpartition("/")[0]
