"""Inspection of a file of media: the times of its pictures and sound, read from its packets without decoding."""

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.data.raw import Place
from avbalance.prepare.containers import (
    UNTIMED,
    best_stream,
    clip_errors,
    is_broken,
    open_media,
    packets_of,
    seconds_of,
)


@dataclass
class Media:
    """Contents of a file, known without decoding it.

    Attributes:
        place: Place of the file.
        frame_seconds: [n], ascending: presentation times of the pictures; empty if the file has none.
        has_audio: Whether the file has sound.
        start, end: Start and end of pictures and sound together, in seconds.
        heard: Start and end of the sound, in seconds.
        repairs: Defects of a file that can be used all the same, one short sentence each.
        keys: [k, 2], presentation and decoding time of the pictures at which decoding can begin; empty if time
            stamps cannot be trusted, and pictures are counted from the first.
    """

    place: Place
    frame_seconds: NDArray[np.float64]
    has_audio: bool
    start: float
    end: float
    heard: tuple[float, float] = (0.0, 0.0)
    repairs: list[str] = field(default_factory=list)
    keys: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))


class Stamp(NamedTuple):
    """Time stamps of a packet, in ticks of its stream."""

    pts: int | None
    dts: int | None
    duration: int
    is_key: bool


@clip_errors()
def inspect_media(place: Place) -> Media:
    """Inspect a file.

    Of several streams, libav's best is used. A picture that is attached to sound, such as a cover, does not count.

    Raises:
        ClipError: The file cannot be opened, or holds neither pictures nor sound.
    """
    media = Media(place, np.empty(0), False, np.inf, -np.inf)
    with open_media(place) as container:
        streams = [
            stream
            for stream in (best_stream(container, "video"), best_stream(container, "audio"))
            if stream is not None
        ]
        stamps: dict[int, list[Stamp]] = {stream.index: [] for stream in streams}
        for packet in packets_of(container, streams):
            if not packet.is_discard and not is_broken(packet):
                stamp = Stamp(packet.pts, packet.dts, packet.duration or 0, packet.is_keyframe)
                stamps[packet.stream_index].append(stamp)
        for stream in streams:
            own, time_base = stamps[stream.index], stream.time_base
            if not own:
                continue
            assert time_base is not None
            if isinstance(stream, VideoStream):
                is_timed = container.format.name not in UNTIMED and any(stamp.pts is not None for stamp in own)
                seconds, end = _inspect_times(media, own, stream) if is_timed else _times(own, time_base)
                media.frame_seconds = seconds
            else:
                seconds, end = _times(own, time_base)
                media.has_audio = True
                media.heard = float(seconds[0]), end
            first = float(seconds[0])
            if stream.start_time is not None:  # excludes the samples that a decoder of sound skips at the start
                first = max(first, seconds_of(float(stream.start_time), time_base))
            media.start, media.end = min(media.start, first), max(media.end, end)
        stated = (container.duration or 0) / av.time_base
    held = media.end - media.start
    if held < 0:
        raise ClipError("holds neither pictures nor sound")
    if held < 0.9 * stated - 0.1:
        media.repairs.append(f"holds {held:.1f} s of the {stated:.1f} s that its header states")
    return media


def _has_times(stamps: list[Stamp]) -> bool:
    """Return whether every packet has a presentation time of its own."""
    return None not in (times := {stamp.pts for stamp in stamps}) and len(times) == len(stamps)


def _times(stamps: list[Stamp], time_base: Fraction) -> tuple[NDArray[np.float64], float]:
    """Return the presentation times of packets, [n], ascending, and the end of the last one, in seconds."""
    durations = np.array([stamp.duration for stamp in stamps], dtype=np.float64)
    decoded = [stamp.dts for stamp in stamps]
    if _has_times(stamps):
        ticks = np.array([stamp.pts for stamp in stamps], dtype=np.float64)
    elif None not in decoded:
        ticks = np.array(decoded, dtype=np.float64)
    else:  # a stream without a container
        ticks = np.arange(len(stamps), dtype=np.float64) * max(1.0, float(np.median(durations)))
    seconds = seconds_of(np.unique(ticks), time_base)
    last = seconds_of(float(durations[ticks.argmax()]), time_base)
    if last == 0:
        last = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.04
    return seconds, float(seconds[-1]) + last


def _inspect_times(media: Media, stamps: list[Stamp], stream: VideoStream) -> tuple[NDArray[np.float64], float]:
    """Like `_times`, for pictures of a format that stores every time; check whether the times can be trusted.

    If a time is missing, repeated or goes back, pictures cannot be found by their times. Then all pictures are spaced
    evenly at the stream's rate, in the order of decoding, and that is a repair.
    """
    time_base, rate = stream.time_base, stream.average_rate or 25
    assert time_base is not None
    num_own = len({stamp.pts for stamp in stamps} - {None})
    decoded = [stamp.dts for stamp in stamps if stamp.dts is not None]
    num_wrong = len(stamps) - num_own + sum(later < earlier for earlier, later in pairwise(decoded))
    if num_wrong == 0:
        media.keys = _keys(stamps, time_base)
        return _times(stamps, time_base)
    media.repairs.append(
        f"time stamps of pictures are missing, repeated or go back: {num_wrong}; all are taken at {float(rate):.4g} a "
        "second"
    )
    first = next(stamp.pts for stamp in stamps if stamp.pts is not None)
    seconds = seconds_of(float(first), time_base) + np.arange(len(stamps) + 1, dtype=np.float64) / float(rate)
    return seconds[:-1], float(seconds[-1])


def _keys(stamps: list[Stamp], time_base: Fraction) -> NDArray[np.float64]:
    """Return `Media.keys`."""
    keys = [(stamp.pts, stamp.pts if stamp.dts is None else stamp.dts) for stamp in stamps if stamp.is_key]
    return seconds_of(np.array(keys, dtype=np.float64).reshape(-1, 2), time_base)
