"""Artifacts: folders that appear whole or not at all, and record what made them.

An artifact is a folder with a `manifest.json`: its recipe, the size and sha256 of every file, and its
provenance. The manifest is written last and the folder is renamed into place, so a folder with a manifest is
complete. Opening an artifact checks its files.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

from avbalance import owners
from avbalance.errors import UserError
from avbalance.provenance import Provenance

MANIFEST = "manifest.json"
RESUME = Path("results/resume")
"""Default folder for the unfinished work of steps."""
VERIFIED = RESUME / "verified"
"""Folder with an empty file for each large file whose bytes were right; its name is a hash of that file's state."""
LARGE = 2**20
"""Size in bytes from which reading a file again costs more than a look at its state."""


def load_recipe(path: Path) -> dict[str, Any]:
    """Read the recipe of a step: {"step", "name", "settings", "inputs": {role: path}, "code"}."""
    recipe: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return recipe


def digest(value: Any) -> str:  # noqa: ANN401
    """First 12 hexadecimal digits of the sha256 of a JSON value; the order of its keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()[:12]


def sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_entry(path: Path) -> dict[str, Any]:
    """{"size", "sha256"} of a file."""
    return {"size": path.stat().st_size, "sha256": sha256(path)}


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add a file's name to an error that has none, such as that of a full disk.

    Raises:
        UserError: Replaces an OSError without a file's name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        reason = error.strerror or f"{error}: is the disk full?"  # numpy tells only the number of bytes
        raise UserError(f"{path}: {reason}") from error


def replace(path: Path, content: str | bytes) -> None:
    """Write a small file whole or not at all.

    Raises:
        UserError: The disk is full.
        OSError: The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with naming(path):
            unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def finite(value: Any) -> Any:  # noqa: ANN401
    """Replace every number that is not finite, such as an error rate without trials, by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@contextmanager
def publish(
    out: Path, recipe: dict[str, Any], known: Mapping[str, str] | None = None, lists_all: bool = True
) -> Iterator[Path]:
    """Yield a new folder for the files of an artifact; rename it to `out` once it is complete (`owners.filling`).

    Args:
        out: Folder of the artifact.
        recipe: Recipe of the artifact.
        known: {file: sha256} of files whose hash is known already; the caller may fill it while the folder is filled.
        lists_all: False if the manifest lists the files of `known` alone, because one of them lists the others.

    Raises:
        UserError: The disk is full; nothing is left behind.
        OSError: The folder cannot be written.
    """
    provenance = Provenance()
    with naming(out), owners.filling(out) as unfinished:
        yield unfinished
        files: dict[str, dict[str, Any]] = {}
        found = (str(path.relative_to(unfinished)) for path in unfinished.rglob("*") if path.is_file())
        for name in sorted(found if lists_all else known or ()):
            path = unfinished / name
            digest = (known or {}).get(name) or sha256(path)
            files[name] = {"size": path.stat().st_size, "sha256": digest}
        manifest = {"recipe": recipe, "files": files, "provenance": provenance.finish()}
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for name, entry in files.items():
            if entry["size"] >= LARGE:
                _note(unfinished / name, entry["sha256"])  # renaming the folder leaves the state of its files as it is


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of an artifact and check the sizes of its files.

    Raises:
        UserError: The artifact does not exist, or a file is missing or has a different size.
    """
    manifest = path / MANIFEST
    if not manifest.exists() and path.is_dir() and any(path.iterdir()):
        raise _damaged(manifest, "is missing")
    if not manifest.exists():
        raise UserError(f"{path}: does not exist; get it with 'dvc pull' or make it with 'snakemake --cores'")
    try:
        content: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))
        sizes = {name: entry["size"] for name, entry in content["files"].items()}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(manifest, f"is not a manifest ({error})") from error
    for name, size in sizes.items():
        file = path / name
        if not file.is_file():
            link = f"is a link to {file.readlink()}, which does not exist" if file.is_symlink() else "is missing"
            raise _damaged(file, link)
        if file.stat().st_size != size:
            raise _damaged(file, f"has {file.stat().st_size} bytes instead of {size}")
    return content


def open_artifact(path: Path, read_again: bool = False) -> dict[str, Any]:
    """Read the manifest of an artifact and check its files by size and sha256.

    Args:
        path: Folder of the artifact.
        read_again: True to hash large files although a step has hashed them and nobody has touched them since.

    Raises:
        UserError: The artifact does not exist or is damaged; the message names the file and the repair.
    """
    content = read_manifest(path)
    for name, entry in content["files"].items():
        if not _has_digest(path / name, entry["sha256"], read_again):
            raise _damaged(path / name, "has other bytes than its manifest says")
    return content


def open_artifacts(paths: Iterable[Path]) -> None:
    """Check artifacts, each once, as `open_artifact` does."""
    for path in dict.fromkeys(paths):
        open_artifact(path)


def _has_digest(file: Path, wanted: str, read_again: bool) -> bool:
    """True if a file has this sha256, by its bytes or because it had it in the same state."""
    is_large = file.stat().st_size >= LARGE
    if is_large and not read_again and _stamp(file, wanted).exists():
        return True
    if sha256(file) != wanted:
        return False
    if is_large and RESUME.parent.is_dir():  # none is made where a model is only loaded
        _note(file, wanted)
    return True


def _note(file: Path, digest_of_bytes: str) -> None:
    stamp = _stamp(file, digest_of_bytes)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.touch()


def _stamp(file: Path, digest_of_bytes: str) -> Path:
    """Path of the note that a file in this state has this sha256.

    The state is inode, size and times, of which no program can set the second. The device is left out: a network disk
    has another number on each node.
    """
    state = file.stat()
    times = (state.st_mtime_ns, state.st_ctime_ns)
    return VERIFIED / digest([digest_of_bytes, state.st_ino, state.st_size, *times])


def _damaged(file: Path, problem: str) -> UserError:
    folder = file.parent if (file.parent / MANIFEST).exists() or file.name == MANIFEST else file.parent.parent
    has_record = folder.with_name(f"{folder.name}.dvc").exists()
    restore = f"restore it with 'dvc checkout --force {folder}', or " if has_record else ""
    return UserError(
        f"{file} {problem}: the artifact is damaged; {restore}remove it with 'rm -r {folder}': "
        "the next 'snakemake --cores' unpacks it from its bundle or makes it again"
    )
