"""Windows: the stretches of a clip that are decoded and packed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import Clip, ClipError
from avbalance.data.raw import RawFiles
from avbalance.prepare.decode import read_audio, read_frames
from avbalance.prepare.inspection import inspect_media
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.base import AudioView, VisualView

LEAST_SILENCE = 0.1
"""Seconds without sound in a window that are not reported: encoders pad and cut by less."""


@dataclass
class Window:
    """A stretch of a `Clip`; one packed clip.

    Attributes:
        clip: The clip.
        start, seconds: Start and length.
        num_frames: Number of frames that the file shows in the window.
        arrays: {visual modality: [*shape]}.
        waves: {audio modality: [num_samples]}, not rendered yet.
        repairs: Defects of a window that is used all the same, one short sentence each.
    """

    clip: Clip
    start: float
    seconds: float
    num_frames: int = 0
    arrays: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    waves: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    repairs: list[str] = field(default_factory=list)


_inspect = lru_cache(maxsize=4)(inspect_media)


class Source:
    """The media files of one clip.

    Args:
        clip: The clip.
        raw: The raw files.
        views: {modality: view}.
        clip_seconds, max_seconds: As in `schema.Preparation`.

    Attributes:
        first, last: Start and end of the clip, in seconds on the clock of its pictures, or of its sound if no view
            shows pictures.

    Raises:
        ClipError: The clip cannot be used.
    """

    def __init__(
        self,
        clip: Clip,
        raw: RawFiles,
        views: Mapping[str, VisualView | AudioView],
        clip_seconds: float | None,
        max_seconds: float,
    ) -> None:
        self._clip, self._clip_seconds, self._max_seconds = clip, clip_seconds, max_seconds
        self._landmarks = None if clip.landmarks is None else raw.folder / clip.landmarks
        self._visual = _inspect(raw.locate(clip.visual)) if clip.visual is not None else None
        self._audio = _inspect(raw.locate(clip.audio)) if clip.audio is not None else None
        self._visual_views = {name: view for name, view in views.items() if isinstance(view, VisualView)}
        self._audio_views = {name: view for name, view in views.items() if isinstance(view, AudioView)}
        self.first, self.last = self._bounds()

    def _bounds(self) -> tuple[float, float]:
        clip, visual, audio = self._clip, self._visual, self._audio
        if self._visual_views and (visual is None or len(visual.frame_seconds) == 0):
            raise ClipError("has no pictures")
        if self._audio_views and (audio is None or not audio.has_audio):
            raise ClipError("has no sound")
        media = visual if self._visual_views else audio
        assert media is not None
        first = media.start if clip.start is None else clip.start
        last = media.end if clip.end is None else clip.end
        if not first < last:
            raise ClipError(f"begins at {first:g} s and ends at {last:g} s")
        if last - first > self._max_seconds:
            raise ClipError(f"lasts {last - first:.1f} s, more than {self._max_seconds:g} s")
        if first >= media.end or last <= media.start:
            raise ClipError(f"is {first:.1f} to {last:.1f} s of a file of {media.start:.1f} to {media.end:.1f} s")
        return first, last

    def window(self, start: float, end: float) -> Window:
        """Decode a stretch of the clip, given in seconds.

        Raises:
            ClipError: The stretch cannot be used.
        """
        # By place: the repairs of a file that holds both pictures and sound are listed once.
        files = {media.place: media for media in (self._visual, self._audio) if media is not None}
        repairs = [repair for media in files.values() for repair in media.repairs]
        window = Window(self._clip, start, end - start, repairs=repairs)
        if self._visual_views:
            self._add_pictures(window, start, end)
        if self._audio_views:
            self._add_sound(window, start, end)
        return window

    def _add_pictures(self, window: Window, start: float, end: float) -> None:
        """Render the array of every visual view; a frame that several views need is decoded once."""
        assert self._visual is not None
        available = self._visual.frame_seconds
        window.num_frames = int(((available >= start) & (available < end)).sum())
        chosen = {name: view.choose(available, start, end) for name, view in self._visual_views.items()}
        seconds, places = np.unique(np.concatenate(list(chosen.values())), return_inverse=True)
        frames = read_frames(self._visual, seconds, window.repairs)
        for name, view in self._visual_views.items():
            own, places = places[: len(chosen[name])], places[len(chosen[name]) :]
            needed = frames if np.array_equal(own, np.arange(len(frames))) else frames[own]  # avoids a copy
            rendered = view.render(Pictures(needed, seconds[own], self._landmarks))
            window.arrays[name] = rendered.array
            window.repairs += [f"{name}: {repair}" for repair in rendered.repairs]

    def _add_sound(self, window: Window, start: float, end: float) -> None:
        """Read the wave of every audio view."""
        assert self._audio is not None
        first, last = self._bounds_of_sound(start, end)
        for name, view in self._audio_views.items():
            repairs: list[str] = []
            wave = read_audio(self._audio, view.sample_rate, first, last, repairs)
            window.waves[name], fitted = view.fit(wave)
            repairs += fitted
            missing = max(self._audio.heard[0] - first, 0) + max(last - self._audio.heard[1], 0)
            if missing > LEAST_SILENCE:
                repairs.append(f"silence for {missing:.1f} s without sound")
            window.repairs += [f"{name}: {repair}" for repair in repairs]

    def _bounds_of_sound(self, start: float, end: float) -> tuple[float, float]:
        """Return start and end of a window on the clock of the sound.

        Separate files have separate clocks; they are aligned by their start times.
        """
        assert self._audio is not None
        is_separate = self._clip.audio != self._clip.visual
        if is_separate and self._clip.start is None and self._clip_seconds is None:
            first, last = self._audio.start, self._audio.end
        else:
            offset = self._audio.start - self._visual.start if is_separate and self._visual is not None else 0.0
            first, last = start + offset, end + offset
        if last - first > self._max_seconds:
            raise ClipError(f"its sound lasts {last - first:.1f} s, more than {self._max_seconds:g} s")
        return first, last


def windows_of(
    clip: Clip,
    raw: RawFiles,
    views: Mapping[str, VisualView | AudioView],
    clip_seconds: float | None,
    num_windows: int,
    max_seconds: float,
) -> Iterator[Window]:
    """Decode the windows of a clip; arguments as in `Source` and `schema.Preparation`.

    Raises:
        ClipError: The clip cannot be used.
    """
    source = Source(clip, raw, views, clip_seconds, max_seconds)
    for start, end in spread(source.first, source.last, clip_seconds, num_windows):
        yield source.window(start, end)


def spread(first: float, last: float, seconds: float | None, num_windows: int) -> list[tuple[float, float]]:
    """Return start and end of each window: evenly spaced from the clip's start to its end, a single one in its middle.

    A clip that is shorter than a window is used whole, `num_windows` times.
    """
    if seconds is None or last - first <= seconds:
        return [(first, last)] * num_windows
    room = last - first - seconds
    starts = (
        [first + room / 2] if num_windows == 1 else [first + room * k / (num_windows - 1) for k in range(num_windows)]
    )
    return [(start, start + seconds) for start in starts]
