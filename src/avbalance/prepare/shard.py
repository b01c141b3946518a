"""Decode the clips of one shard and write its arrays: the task of one worker process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from avbalance import owners, registry, store
from avbalance.data.array_writer import ArrayWriter
from avbalance.data.clips import Clip, ClipError
from avbalance.data.raw import RawFiles
from avbalance.prepare.selection import files_of
from avbalance.prepare.views.base import AudioView, VisualView
from avbalance.prepare.windows import Window, windows_of
from avbalance.registry import Spec

CHUNK = 32
"""Number of windows held in memory at once; their sound is rendered in one batch."""


@dataclass(frozen=True)
class Shard:
    """Clips that are prepared together, and the settings.

    Attributes:
        folder: Folder of the finished shard; its name is a hash of everything that determines its content.
        clips: Clips of one split, in order.
        raw: The raw folder.
        views: {modality: resolved specification}.
        models: {name: folder} of detectors' weights.
        clip_seconds, max_seconds: As in `schema.Preparation`.
        num_windows: Number of windows that are cut from each clip.
        device: Device of detectors that can use a GPU.
    """

    folder: Path
    clips: list[Clip]
    raw: Path
    views: dict[str, dict[str, dict[str, Any]]]
    models: dict[str, Path]
    clip_seconds: float | None
    num_windows: int
    max_seconds: float
    device: str


def make_shard(shard: Shard) -> dict[str, Any]:
    """Make a shard, or take the finished one of an earlier call; return its `shard.json`.

    Returns:
        {"clips": [{"clip", "start_seconds", "seconds", "num_frames", "repairs"}], "dropped": [{"clip", "why"}],
        "files": {modality: sha256}, "sums": {audio modality: [count, sum, sum of squares]}}.

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
        digests = {name: store.sha256(shard.folder / f"{name}.npy") for name in shard.views}
        return content if content["files"] == digests else None
    except (OSError, ValueError, KeyError, TypeError):  # absent or damaged
        return None


def load_views(
    specs: Mapping[str, Spec], models: Mapping[str, Path], device: str = "cpu"
) -> dict[str, VisualView | AudioView]:
    """Return the view of each modality.

    Args:
        specs: {modality: specification of its view}.
        models: {name of a file in `config/models/`: folder of its weights}.
        device: Device of detectors that can use a GPU.
    """
    return {modality: _load_view(spec, models, device) for modality, spec in specs.items()}


def _load_view(spec: Spec, models: Mapping[str, Path], device: str) -> VisualView | AudioView:
    name, options = registry.parse(spec)
    if "detector" in options:
        weights = models.get(registry.find("detector", options["detector"]).model)
        options["detector"] = registry.load("detector", options["detector"], weights, device)
    view: VisualView | AudioView = registry.load("view", {name: options})
    return view


def _write(shard: Shard, folder: Path) -> dict[str, Any]:
    views = load_views(shard.views, shard.models, shard.device)
    dropped: list[dict[str, str]] = []
    clips: list[dict[str, Any]] = []
    sums = {name: np.zeros(3) for name, view in views.items() if isinstance(view, AudioView)}
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(closing(ArrayWriter(folder / f"{name}.npy", *_form(view))))
            for name, view in views.items()
        }
        for chunk in _chunks(_windows(shard, views, dropped)):
            for name, view in views.items():
                if isinstance(view, VisualView):
                    for window in chunk:
                        files[name].append(window.arrays[name][None])
                    continue
                waves = torch.from_numpy(np.stack([window.waves[name] for window in chunk]))
                rendered = view.render(waves).numpy()
                files[name].append(rendered)
                sums[name] += rendered.size, rendered.sum(dtype=np.float64), np.square(rendered, dtype=np.float64).sum()
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
    content = {
        "clips": clips,
        "dropped": dropped,
        "files": {name: store.sha256(folder / f"{name}.npy") for name in views},
        "sums": {name: total.tolist() for name, total in sums.items()},
    }
    (folder / "shard.json").write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    return content


def _form(view: VisualView | AudioView) -> tuple[tuple[int, ...], str]:
    """Return shape and type of a clip's stored array."""
    return (view.stored_shape, "|u1") if isinstance(view, VisualView) else (view.shape, "<f2")


def _chunks(windows: Iterator[Window]) -> Iterator[list[Window]]:
    chunk: list[Window] = []
    for window in windows:
        chunk.append(window)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _windows(shard: Shard, views: dict[str, VisualView | AudioView], dropped: list[dict[str, str]]) -> Iterator[Window]:
    """Yield the windows of the usable clips; a clip is used with all its windows or not at all."""
    raw = _open_raw(shard.raw)
    for clip in shard.clips:
        for file in files_of(clip):
            _check_bytes(raw, file)
        try:
            windows = list(windows_of(clip, raw, views, shard.clip_seconds, shard.num_windows, shard.max_seconds))
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
