"""Decode the clips of one shard and write its array: the task of one worker process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from avbalance import owners, registry, store
from avbalance.data.array_writer import ArrayWriter
from avbalance.data.clips import Clip, ClipError
from avbalance.data.raw import RawFiles
from avbalance.data.stored import JpegWriter
from avbalance.prepare.clip_lists import Stretch
from avbalance.prepare.selection import files_of
from avbalance.prepare.views.base import AudioView, VisualView
from avbalance.prepare.windows import Window, windows_of
from avbalance.registry import Spec

CHUNK = 32
"""Number of windows held in memory at once; their sound is rendered in one batch."""
ARRAY = "clips.npy"
"""File of a shard's clips."""


@dataclass(frozen=True)
class Shard:
    """Clips of which one modality is prepared together, and the settings.

    Attributes:
        folder: Folder of the finished shard; its name is a hash of everything that determines its content.
        stretch: The clips.
        raw: The raw folder.
        view: Resolved specification of the modality's view.
        models: {name: folder} of detectors' weights.
        clip_seconds, max_seconds: As in `schema.Preparation`.
        num_windows: Number of windows that are cut from each clip.
        device: Device of detectors that can use a GPU.
    """

    folder: Path
    stretch: Stretch
    raw: Path
    view: dict[str, dict[str, Any]]
    models: dict[str, Path]
    clip_seconds: float | None
    num_windows: int
    max_seconds: float
    device: str


def needed(clip: Clip, medium: str, clip_seconds: float | None) -> Clip:
    """The clip with those of its files alone that decide on one modality.

    Windows of sound lie on the clock of the pictures, so that both modalities show the same seconds. A sound that is a
    file of its own and is used whole needs no clock.
    """
    if medium == "visual":
        return replace(clip, audio=None)
    is_whole = clip.audio != clip.visual and clip.start is None and clip_seconds is None
    return replace(clip, visual=None if is_whole else clip.visual, landmarks=None)


def make_shard(shard: Shard) -> dict[str, Any]:
    """Make a shard, or take the finished one of an earlier call; return its `shard.json`.

    Returns:
        {"clips": [{"clip", "start_seconds", "seconds", "num_frames", "repairs"}], "dropped": [{"clip", "why"}],
        "files": {file: sha256}, "sums": [count, sum, sum of squares] of sound}.

    Raises:
        UserError: A raw file has other bytes than its manifest says.
        OSError: The disk is full; no unfinished files are left.
    """
    if (finished := _finished(shard)) is not None:
        return finished
    torch.set_num_threads(1)  # the other cores have workers of their own
    cv2.setNumThreads(1)
    with owners.filling(shard.folder) as unfinished:
        return _write(shard, unfinished)


def _finished(shard: Shard) -> dict[str, Any] | None:
    """Return the `shard.json` of an earlier call, if the shard is complete."""
    try:
        content: dict[str, Any] = json.loads((shard.folder / "shard.json").read_text(encoding="utf-8"))
        digests = {name: store.sha256(shard.folder / name) for name in content["files"]}
        return content if digests and content["files"] == digests else None
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged
        return None


def load_view(spec: Spec, models: Mapping[str, Path], device: str = "cpu") -> VisualView | AudioView:
    """Return a view.

    Args:
        spec: Its specification.
        models: {name of a file in `config/models/`: folder of its weights}.
        device: Device of detectors that can use a GPU.
    """
    name, options = registry.parse(spec)
    if "detector" in options:
        weights = models.get(registry.find("detector", options["detector"]).model)
        options["detector"] = registry.load("detector", options["detector"], weights, device)
    view: VisualView | AudioView = registry.load("view", {name: options})
    return view


def _write(shard: Shard, folder: Path) -> dict[str, Any]:
    view = load_view(shard.view, shard.models, shard.device)
    dropped: list[dict[str, str]] = []
    clips: list[dict[str, Any]] = []
    sums = np.zeros(3)
    with closing(writer_of(view, folder / ARRAY)) as file:
        for chunk in _chunks(_windows(shard, view, dropped)):
            rendered = render(view, chunk)
            file.append(rendered)
            if isinstance(view, AudioView):
                sums += rendered.size, rendered.sum(dtype=np.float64), np.square(rendered, dtype=np.float64).sum()
            clips += [
                {
                    "clip": window.clip.name,
                    "start_seconds": round(window.start, 6),
                    "seconds": round(window.seconds, 6),
                    "num_frames": window.num_frames,
                    "repairs": window.repairs,
                }
                for window in chunk
            ]
    files = {path.name: store.sha256(path) for path in sorted(folder.iterdir())}
    content = {"clips": clips, "dropped": dropped, "files": files, "sums": sums.tolist()}
    (folder / "shard.json").write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return content


def writer_of(view: VisualView | AudioView, path: Path) -> ArrayWriter | JpegWriter:
    """Return the writer of a view's clips."""
    if isinstance(view, AudioView):
        return ArrayWriter(path, view.shape, "<f2")
    return JpegWriter(path, view.stored_shape) if view.store == "jpeg" else ArrayWriter(path, view.stored_shape, "|u1")


def render(view: VisualView | AudioView, windows: list[Window]) -> NDArray[Any]:
    """Arrays of windows, [windows, *shape]: of pictures uint8, as they are; of sound float32."""
    arrays = np.stack([window.array for window in windows])
    return arrays if isinstance(view, VisualView) else view.render(torch.from_numpy(arrays)).numpy()


def _chunks(windows: Iterator[Window]) -> Iterator[list[Window]]:
    chunk: list[Window] = []
    for window in windows:
        chunk.append(window)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _windows(shard: Shard, view: VisualView | AudioView, dropped: list[dict[str, str]]) -> Iterator[Window]:
    """Yield the windows of the usable clips; a clip is used with all its windows or not at all."""
    raw = _open_raw(shard.raw)
    for listed, _ in shard.stretch.read():
        clip = needed(listed, view.medium, shard.clip_seconds)
        for file in files_of(clip):
            _check_bytes(raw, file)
        try:
            windows = list(windows_of(clip, raw, view, shard.clip_seconds, shard.num_windows, shard.max_seconds))
        except ClipError as error:
            dropped.append({"clip": clip.name, "why": str(error)})
            continue
        yield from windows


@cache
def _open_raw(folder: Path) -> RawFiles:
    """Open a raw folder once per process."""
    return RawFiles(folder)


@cache
def _check_bytes(raw: RawFiles, file: str) -> None:
    """Verify a file once per process: segments of one long video share it."""
    raw.check(file)
