"""The windows of a clip that are packed, decoded."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import Clip, ClipError
from avbalance.prepare.decode import inspect, read_audio, read_frames
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.base import AudioView, VisualView

LEAST_SILENCE = 0.1
"""Seconds of a window that may lack sound without being reported: encoders pad and cut by less."""


@dataclass
class Window:
    """One clip that is packed: a stretch of a `Clip`.

    Attributes:
        arrays: {visual modality: [*shape]}.
        waves: {audio modality: [num_samples]}, not rendered yet.
        num_frames: How many frames the media shows in this stretch.
    """

    clip: Clip
    start: float
    seconds: float
    num_frames: int = 0
    arrays: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    waves: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)


_inspect = lru_cache(maxsize=4)(inspect)


def windows_of(
    clip: Clip,
    raw: Path,
    views: dict[str, VisualView | AudioView],
    clip_seconds: float | None,
    num_windows: int,
    max_seconds: float,
) -> Iterator[Window]:
    """Decode a clip; arguments as in `schema.Preparation`, files below `raw`.

    Raises:
        ClipError: It cannot be used.
    """
    visual = _inspect(raw / clip.visual) if clip.visual is not None else None
    audio = _inspect(raw / clip.audio) if clip.audio is not None else None
    shown = {name: view for name, view in views.items() if isinstance(view, VisualView)}
    heard = {name: view for name, view in views.items() if isinstance(view, AudioView)}
    if shown and (visual is None or len(visual.frame_seconds) == 0):
        raise ClipError("has no pictures")
    if heard and (audio is None or not audio.has_audio):
        raise ClipError("has no sound")
    leading = visual if shown else audio
    assert leading is not None
    first = leading.start if clip.start is None else clip.start
    last = leading.end if clip.end is None else clip.end
    if not first < last:
        raise ClipError(f"begins at {first:g} s and ends at {last:g} s")
    if last - first > max_seconds:
        raise ClipError(f"lasts {last - first:.1f} s, more than {max_seconds:g} s")
    if first >= leading.end or last <= leading.start:
        raise ClipError(f"is {first:.1f} to {last:.1f} s of a file of {leading.start:.1f} to {leading.end:.1f} s")
    repairs = {
        (media.path, repair): repair for media in (visual, audio) if media is not None for repair in media.repairs
    }
    for start, end in spread(first, last, clip_seconds, num_windows):
        window = Window(clip, start, end - start, repairs=list(repairs.values()))
        if visual is not None and shown:
            window.num_frames = int(((visual.frame_seconds >= start) & (visual.frame_seconds < end)).sum())
            chosen = {name: view.choose(visual.frame_seconds, start, end) for name, view in shown.items()}
            seconds, places = np.unique(np.concatenate(list(chosen.values())), return_inverse=True)
            frames = read_frames(visual, seconds, window.repairs)
            landmarks = None if clip.landmarks is None else raw / clip.landmarks
            for name, view in shown.items():
                mine, places = places[: len(chosen[name])], places[len(chosen[name]) :]
                wanted = frames if np.array_equal(mine, np.arange(len(frames))) else frames[mine]  # no copy of all
                rendered = view.render(Pictures(wanted, seconds[mine], landmarks))
                window.arrays[name] = rendered.array
                window.repairs += [f"{name}: {repair}" for repair in rendered.repairs]
        for name, hearing in heard.items():
            assert audio is not None
            # Files apart have clocks apart: what is heard at a clip's start is what their own starts say.
            offset = 0.0 if clip.audio == clip.visual or visual is None else audio.start - visual.start
            is_whole = clip.start is None and clip_seconds is None and clip.audio != clip.visual
            bounds = (audio.start, audio.end) if is_whole else (start + offset, end + offset)
            if bounds[1] - bounds[0] > max_seconds:
                raise ClipError(f"its sound lasts {bounds[1] - bounds[0]:.1f} s, more than {max_seconds:g} s")
            repairs_of_sound: list[str] = []
            wave, fitted = hearing.fit(read_audio(audio, hearing.sample_rate, *bounds, repairs_of_sound))
            window.waves[name] = wave
            lacking = max(audio.heard[0] - bounds[0], 0) + max(bounds[1] - audio.heard[1], 0)
            fitted += [f"silence for {lacking:.1f} s without sound"] if lacking > LEAST_SILENCE else []
            window.repairs += [f"{name}: {repair}" for repair in repairs_of_sound + fitted]
        yield window


def spread(first: float, last: float, seconds: float | None, num_windows: int) -> list[tuple[float, float]]:
    """Windows (start, end) of a clip: evenly spaced from its start to its end, a single one from its middle.

    A clip that is shorter than a window is one window many times over, as long as it is.
    """
    if seconds is None or last - first <= seconds:
        return [(first, last)] * num_windows
    room = last - first - seconds
    starts = (
        [first + room / 2] if num_windows == 1 else [first + room * k / (num_windows - 1) for k in range(num_windows)]
    )
    return [(start, start + seconds) for start in starts]
