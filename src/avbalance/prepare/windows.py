"""Windows: the stretches of a clip that are decoded and packed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import Clip, ClipError
from avbalance.data.raw import Place, RawFiles
from avbalance.prepare.decode import read_audio, read_frames
from avbalance.prepare.inspection import Media, inspect_media
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
        num_frames: Number of frames that the file shows in the window; None of sound.
        array: [*shape] of pictures; of sound, which is not rendered yet, [num_samples].
        repairs: Defects of a window that is used all the same, one short sentence each.
    """

    clip: Clip
    start: float
    seconds: float
    num_frames: int | None
    array: NDArray[Any]
    repairs: list[str]


inspect = lru_cache(maxsize=4)(inspect_media)
"""`inspect_media`, once for a file that several windows or views need."""


class Source:
    """The media files of one clip, as one view needs them.

    Args:
        clip: The clip, without files that do not matter to the view (`shard.needed`).
        raw: The raw files.
        view: The view.
        max_seconds: As in `schema.Preparation`.

    Attributes:
        first, last: Start and end of the clip, in seconds on the clock of its pictures, or of its sound if it has no
            pictures or its sound is used whole.

    Raises:
        ClipError: The clip cannot be used.
    """

    def __init__(self, clip: Clip, raw: RawFiles, view: VisualView | AudioView, max_seconds: float) -> None:
        self._clip, self._view = clip, view
        self._landmarks = None if clip.landmarks is None else raw.folder / clip.landmarks
        if isinstance(view, VisualView):
            self._media = self._clock = inspect(raw.locate(_present(clip.visual, "has no pictures")))
            if len(self._media.frame_seconds) == 0:
                raise ClipError("has no pictures")
        else:
            self._media = inspect(raw.locate(_present(clip.audio, "has no sound")))
            if not self._media.has_audio:
                raise ClipError("has no sound")
            self._clock = (
                self._media if clip.visual is None else _clock_of_pictures(raw.locate(clip.visual), self._media)
            )
        self.first, self.last = self._bounds(max_seconds)

    def _bounds(self, max_seconds: float) -> tuple[float, float]:
        clip, clock = self._clip, self._clock
        first = clock.start if clip.start is None else clip.start
        last = clock.end if clip.end is None else clip.end
        if not first < last:
            raise ClipError(f"begins at {first:g} s and ends at {last:g} s")
        if last - first > max_seconds:
            raise ClipError(f"lasts {last - first:.1f} s, more than {max_seconds:g} s")
        if first >= clock.end or last <= clock.start:
            raise ClipError(f"is {first:.1f} to {last:.1f} s of a file of {clock.start:.1f} to {clock.end:.1f} s")
        return first, last

    def window(self, start: float, end: float) -> Window:
        """Decode a stretch of the clip, given in seconds.

        Raises:
            ClipError: The stretch cannot be used.
        """
        repairs = list(self._media.repairs)
        if isinstance(self._view, AudioView):
            wave = self._sound(self._view, start, end, repairs)
            return Window(self._clip, start, end - start, None, wave, repairs)
        available = self._media.frame_seconds
        num_frames = int(((available >= start) & (available < end)).sum())
        pictures = self._pictures(self._view, start, end, repairs)
        return Window(self._clip, start, end - start, num_frames, pictures, repairs)

    def _pictures(self, view: VisualView, start: float, end: float, repairs: list[str]) -> NDArray[np.uint8]:
        """Array of the view, [*shape]; a frame that it shows twice is decoded once."""
        seconds, places = np.unique(view.choose(self._media.frame_seconds, start, end), return_inverse=True)
        frames = read_frames(self._media, seconds, repairs)
        if not np.array_equal(places, np.arange(len(frames))):  # avoids a copy
            frames, seconds = frames[places], seconds[places]
        rendered = view.render(Pictures(frames, seconds, self._landmarks))
        repairs += rendered.repairs
        return rendered.array

    def _sound(self, view: AudioView, start: float, end: float, repairs: list[str]) -> NDArray[np.float32]:
        """Wave of the view, [num_samples].

        Separate files have separate clocks; they are aligned by their start times.
        """
        offset = self._media.start - self._clock.start if self._clip.audio != self._clip.visual else 0.0
        first, last = start + offset, end + offset
        wave, fitted = view.fit(read_audio(self._media, view.sample_rate, first, last, repairs))
        repairs += fitted
        missing = max(self._media.heard[0] - first, 0) + max(last - self._media.heard[1], 0)
        if missing > LEAST_SILENCE:
            repairs.append(f"silence for {missing:.1f} s without sound")
        return wave


def _present(file: str | None, problem: str) -> str:
    if file is None:
        raise ClipError(problem)
    return file


def _clock_of_pictures(place: Place, sound: Media) -> Media:
    """The file of a clip's pictures; that of its sound if the pictures cannot be used, so that nothing has to fit."""
    try:
        pictures = inspect(place)
    except ClipError:
        return sound
    return pictures if len(pictures.frame_seconds) else sound


def windows_of(
    clip: Clip,
    raw: RawFiles,
    view: VisualView | AudioView,
    clip_seconds: float | None,
    num_windows: int,
    max_seconds: float,
) -> Iterator[Window]:
    """Decode the windows of a clip; arguments as in `Source` and `schema.Preparation`.

    Raises:
        ClipError: The clip cannot be used.
    """
    source = Source(clip, raw, view, max_seconds)
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
