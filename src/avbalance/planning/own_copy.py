"""Own copies: whatever lies in the mirror is used, and recorded below `results/recorded` instead of `config`.

    files.sha256       files as they are
    archives.sha256    archives, or files in place of archives
    joined.sha256      videos that were joined from extracted frames (`prepare.extracted`), which lie in `joined/`
    states.json        size, time and sha256 of each file, so that only new ones are read again

A file of the dataset that the mirror lacks comes from its address if it stands for itself, such as a list of clips. A
file of a list of checksums, or one that is given out on request, is then left out; its clips are reported.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from avbalance import store
from avbalance.configuration.schema import SourceFile
from avbalance.data.lists import read_checksums
from avbalance.data.members import parts_of, whole_of
from avbalance.errors import UserError
from avbalance.prepare import extracted
from avbalance.prepare.archives import opened

RECORDED = Path("results/recorded")
CHANGED = "the mirror has changed since it was recorded: give the same command again"
NUM_THREADS = 8
VIDEOS = (".mp4", ".flv", ".avi", ".MP4", ".mkv", ".webm")
State = list[Any]
"""[size in bytes, time in ns, sha256] of a file; of joined frames the numbers of all of them together."""


class OwnCopy:
    """Files of a dataset that a mirror holds.

    Args:
        root: Folder of the project.
        name: Name of the dataset.
        files: Its files, as published.
        mirror: The folder that holds some of them.
        suffix: Suffix of its videos, for folders of frames that no list names.
    """

    def __init__(self, root: Path, name: str, files: Sequence[SourceFile], mirror: Path, suffix: str) -> None:
        self.root, self.name, self.files, self.mirror, self.suffix = root, name, files, mirror, suffix
        self.folder = root / RECORDED / name
        self.plain: set[str] = set()
        self.archives: set[str] = set()
        self.frames: dict[str, Path] = {}  # {name of the video: folder of its frames}
        self.published: list[SourceFile] = []
        for file in sorted(files, key=lambda each: each.list is not None):  # lists take what is left
            self._find(file)

    def _find(self, file: SourceFile) -> None:
        """Note what the mirror holds of one entry."""
        place, names = file.path or "", self.archives if file.unpack else self.plain
        if file.list is None:
            if parts_of(self.mirror / place) and file.contents is None:
                names.add(place)
            elif file.unpack and (unpacked := self._unpacked(place)):
                self._walk(unpacked, names)
            elif file.request is None:
                self.published.append(file)
            return
        if file.path is not None:
            self._walk(self.mirror / place, names)
            return
        for name in self._listed(file.list):
            if (self.mirror / name).is_file():
                names.add(name)
            elif (folder := (self.mirror / name).with_suffix("")).is_dir():
                self.frames[name] = folder

    def _unpacked(self, archive: str) -> Path | None:
        """Folder in which the contents of an absent archive would lie."""
        above = PurePosixPath(archive).parent
        folder = self.mirror / (above if above.name else PurePosixPath(archive).name.partition(".")[0])
        return folder if folder.is_dir() else None

    def _listed(self, name: str) -> Iterable[str]:
        path = self.root / "config" / "datasets" / name
        return read_checksums(path) if path.exists() else ()

    def _walk(self, folder: Path, names: set[str]) -> None:
        """Note all files below a folder; frames in folders of their own stand for videos."""
        known = self.plain | self.archives
        for path in _files_below(folder, frozenset()):
            name = path.relative_to(self.mirror).as_posix()
            if path.is_dir():
                self.frames[f"{name}{self.suffix}"] = path
            elif name not in known and path.name != extracted.FPS:
                names.add((whole_of(name) or name) if names is self.archives else name)
        for video in self.frames.values():
            names.discard(f"{video.relative_to(self.mirror).as_posix()}.wav")

    def record(self) -> list[dict[str, Any]]:
        """Record the files; return them as entries of a recipe, empty if the mirror holds none.

        Raises:
            UserError: A file cannot be read, or frames have no `fps.txt`.
        """
        if not (self.plain or self.archives or self.frames):
            return []
        states_file = self.folder / "states.json"
        old = json.loads(states_file.read_text(encoding="utf-8")) if states_file.exists() else {}
        states = self._states(old)
        if states != old:
            store.replace(states_file, json.dumps(states, ensure_ascii=True, allow_nan=False) + "\n")
        # Absolute, for a relative path would be looked up below the mirror.
        joined = {"urls": [f"{(self.folder / 'joined').resolve()}/{{path}}"]}
        entries = [
            self._entry("files", sorted(self.plain), states, {}),
            self._entry("archives", sorted(self.archives), states, {"unpack": True}),
            self._entry("joined", sorted(self.frames), states, joined),
        ]
        return [
            *filter(None, entries),
            *(file.model_dump(exclude_none=True, exclude={"index"}) for file in self.published),
        ]

    def _entry(
        self, name: str, files: Sequence[str], states: Mapping[str, State], more: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        path = self.folder / f"{name}.sha256"
        if not files:
            path.unlink(missing_ok=True)
            return None
        text = "".join(f"{states[file][2]}  {file}\n" for file in files)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            store.replace(path, text)
        recorded = {"path": (RECORDED / self.name / path.name).as_posix(), "sha256": store.sha256(path)}
        return {"urls": [], "request": CHANGED, "list": recorded, **more}

    def _states(self, old: Mapping[str, State]) -> dict[str, State]:
        """{file: its state}; only those that are new or have changed are read."""
        current: dict[str, tuple[int, int]] = {}
        for name in (*self.plain, *self.archives):
            _check_name(name)
            current[name] = _state_of(parts_of(self.mirror / name))
        for name, folder in self.frames.items():
            _check_name(name)
            current[name] = _state_of([*folder.iterdir(), *_sound_of(folder), folder.parent / extracted.FPS])
        new = [name for name, state in current.items() if tuple(old.get(name, ())[:2]) != state]
        if new:
            gigabytes = sum(current[name][0] for name in new) / 1e9
            what = f"recording {len(new):,} files ({gigabytes:.1f} GB) of {self.name} in {self.mirror}, once"
            print(what, file=sys.stderr)
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            digests = dict(zip(new, pool.map(self._digest, new), strict=True))
        return {name: [*state, digests.get(name) or old[name][2]] for name, state in sorted(current.items())}

    def _digest(self, name: str) -> str:
        if name not in self.frames:
            with opened(parts_of(self.mirror / name)) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        folder, target = self.frames[name], self.folder / "joined" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sounds = _sound_of(folder)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        pictures, fps = extracted.pictures_of(folder), extracted.read_fps(folder)
        extracted.join(pictures, fps, sounds[0] if sounds else None, unfinished)
        unfinished.replace(target)
        return store.sha256(target)


def _check_name(name: str) -> None:
    if any(each in "\r\n" or "\ud800" <= each <= "\udfff" for each in name) or name != name.strip():
        raise UserError(
            f"{name!r}: a list of checksums cannot hold this name; allowed: UTF-8 without line ends and outer spaces"
        )


def _state_of(paths: Iterable[Path]) -> tuple[int, int]:
    states = [path.stat() for path in paths if path.exists()]
    return sum(state.st_size for state in states), max((state.st_mtime_ns for state in states), default=0)


def _sound_of(folder: Path) -> list[Path]:
    sound = folder.with_name(f"{folder.name}.wav")
    return [sound] if sound.is_file() else []


def _files_below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Yield all files below a folder, also behind links, and each folder that holds nothing but numbered pictures."""
    above |= {folder.resolve()}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir():
            if path.resolve() in above:
                continue
            if extracted.pictures_of(path):
                yield path
            else:
                yield from _files_below(path, above)
        elif path.is_file():
            yield path


def suffix_of(media: Iterable[str]) -> str:
    """Suffix of the videos among the patterns of a reader's media."""
    suffixes = (PurePosixPath(pattern).suffix for pattern in media)
    return next((suffix for suffix in suffixes if suffix in VIDEOS), ".mp4")
