"""Reads pictures and sound from files of media, on one time line in seconds.

Pictures are addressed by presentation time, so a variable frame rate needs no care. What libav cannot use becomes
`ClipError`; damage that it conceals becomes a repair.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

import av
import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.frame import Frame
from av.packet import Packet
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.prepare.orientation import display_matrix, upright

# Formats that do not store the presentation time of every picture. What libav makes up is in disorder in AVI with
# B-frames, and differs after a seek in MPEG program streams.
UNTIMED = ("avi", "mpeg")
LONGEST_STILL = 1.0  # seconds for which a picture may stand in for one that does not come
LONGEST_JITTER = 0.04  # seconds by which a time stamp of sound may be off without being a gap
WARM_UP = 0.5  # seconds decoded ahead of a piece of sound, for decoders that look back
# libswresample's polyphase filter under a Kaiser window of beta 9, twice as long as by default: errors below -90 dB up
# to 7/8 of the lower Nyquist frequency, no delay. Without the limit, float channels would be added up, not averaged.
RESAMPLING = {"filter_size": "64", "rematrix_maxval": "1.0"}

# Most decoders tell of damage that they conceal by an error message alone. None is shown, each is looked for.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)

Kind = Literal["video", "audio"]
Stream = VideoStream | AudioStream
Ticks = TypeVar("Ticks", float, NDArray[np.float64])


@dataclass
class Media:
    """What a file holds, known without decoding it.

    Attributes:
        path: The file.
        frame_seconds: [n], ascending, when each picture is first shown; empty if there are none.
        has_audio: Whether there is sound.
        heard: First and last second of it.
        start, end: Of pictures and sound together, in seconds.
        repairs: What is wrong with a file that can be used all the same, one short sentence each.
        keys: [k, 2], presentation and decoding time of the pictures at which decoding can begin; empty where time
            stamps cannot be trusted, so that pictures are counted from the first.
    """

    path: Path
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


@contextmanager
def _clip_errors() -> Iterator[None]:
    """What libav has against a file becomes a `ClipError`."""
    try:
        yield
    except FFmpegError as error:
        raise ClipError(f"cannot be read: {error.strerror}") from error


@_clip_errors()
def inspect(path: Path) -> Media:
    """What a file holds.

    Of several streams libav's best is used. A picture that is attached to sound, such as a cover, is none.

    Raises:
        ClipError: The file cannot be opened, or holds neither pictures nor sound.
    """
    media = Media(path, np.empty(0), False, np.inf, -np.inf)
    with _open(path) as container:
        streams = [stream for stream in (_best(container, "video"), _best(container, "audio")) if stream is not None]
        stamps: dict[int, list[Stamp]] = {stream.index: [] for stream in streams}
        for packet in _packets(container, streams):
            if not packet.is_discard and not _is_broken(packet):
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
            if stream.start_time is not None:  # knows what a decoder of sound leaves out at the beginning
                first = max(first, _seconds(float(stream.start_time), time_base))
            media.start, media.end = min(media.start, first), max(media.end, end)
        stated = (container.duration or 0) / av.time_base
    held = media.end - media.start
    if held < 0:
        raise ClipError("holds neither pictures nor sound")
    if held < 0.9 * stated - 0.1:
        media.repairs.append(f"holds {held:.1f} s of the {stated:.1f} s that its header states")
    return media


@_clip_errors()
def read_frames(media: Media, seconds: NDArray[np.float64], repairs: list[str] | None = None) -> NDArray[np.uint8]:
    """Pictures by time.

    One that was announced but not coded, as where nothing changed, is shown by the one before.

    Args:
        seconds: [n], entries of `media.frame_seconds` in any order, repeats allowed; n >= 1.
        repairs: Takes what is wrong with pictures that are given all the same.

    Returns:
        [n, height, width, 3], RGB, upright, all in the size of the first; pixels as stored, even if not square.

    Raises:
        ClipError: One of them cannot be decoded.
    """
    pending = sorted(zip(seconds.tolist(), range(len(seconds)), strict=True))
    keys = media.keys[media.keys[:, 0] <= pending[0][0]]
    target = float(keys[-1, 1]) if len(keys) > 1 else None  # before the second key, the beginning is as near
    images: NDArray[np.uint8] | None = None
    before: tuple[float, VideoFrame | None] = (-np.inf, None)
    damaged: list[float] = []
    num_late = 0
    for current in chain(_frames_since(media, "video", pending[0][0], target, damaged), [(np.inf, None)]):
        num_late += current[0] < before[0]
        while pending and pending[0][0] <= current[0]:
            wanted, place = pending.pop(0)
            shown, frame = current if current[0] == wanted or before[1] is None else before
            if frame is None or abs(wanted - shown) > LONGEST_STILL:
                raise ClipError(f"no picture can be decoded at {wanted:.2f} s")
            if images is None:
                width, height, matrix = frame.width, frame.height, display_matrix(frame)
            image = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24", width=width, height=height, threads=1))
            image = upright(image, matrix)
            if images is None:
                images = np.empty((len(seconds), *image.shape), dtype=np.uint8)
            images[place] = image
        if not pending:
            break
        before = current
    assert images is not None
    if repairs is not None:
        repairs += _describe_damage("pictures", damaged, keys[-1, 0] if len(keys) else -np.inf)
        repairs += [f"time stamps of pictures go back: {num_late}"] * bool(num_late)
    return images


@_clip_errors()
def read_audio(
    media: Media, sample_rate: int, start: float, end: float, repairs: list[str] | None = None
) -> NDArray[np.float32]:
    """Sound as one channel: the mean of stereo; more channels are weighted as libswresample does.

    Args:
        sample_rate: Of the result, Hz.
        start, end: In the media's time base; sample 0 belongs to `start`.
        repairs: Takes what is wrong with sound that is given all the same.

    Returns:
        [round((end - start) * sample_rate)], full scale 1; silence wherever the file has no sound.

    Raises:
        ClipError: There is no sound, or it cannot be decoded.
    """
    if not media.has_audio:
        raise ClipError("has no sound")
    wave = np.zeros(round((end - start) * sample_rate), dtype=np.float32)
    target = start - WARM_UP if start - WARM_UP > media.start else None
    resampler: AudioResampler | None = None
    form, due, position = ("", "", 0), 0.0, 0
    damaged: list[float] = []
    breaks: list[float] = []
    for seconds, frame in _frames_since(media, "audio", start, target, damaged):
        if seconds >= end:
            break
        if resampler is None or _form(frame) != form or abs(seconds - due) > LONGEST_JITTER:
            if resampler is not None:  # a gap, a jump back or another format
                _write(resampler.resample(None), wave, position)
                breaks += [abs(seconds - due)] * (abs(seconds - due) > LONGEST_JITTER and seconds > start)
            resampler = AudioResampler(format="flt", layout="mono", rate=sample_rate, options=RESAMPLING)
            form, due, position = _form(frame), seconds, round((seconds - start) * sample_rate)
        position = _write(resampler.resample(frame), wave, position)
        due += frame.samples / frame.sample_rate
    if resampler is not None:
        _write(resampler.resample(None), wave, position)
    if repairs is not None:
        repairs += _describe_damage("sound", damaged, start)
        if breaks:
            repairs.append(f"breaks in the time stamps of sound: {len(breaks)}, the longest of {max(breaks):.2f} s")
    return wave


def _describe_damage(what: str, damaged: list[float], since: float) -> list[str]:
    """The repair, if any, that some packets from a time on are damaged; earlier ones only prepare the decoder."""
    number = sum(not seconds < since for seconds in damaged)  # without a time, it counts
    return [f"damaged packets of {what}, concealed by the decoder: {number}"] if number else []


def _open(path: Path) -> InputContainer:
    return av.open(path, metadata_errors="replace")  # not all tags are UTF-8


def _best(container: InputContainer, kind: Kind) -> Stream | None:
    """The stream to use; attached pictures and unknown codecs are out of the question."""
    candidates: list[Stream] = [
        stream
        for stream in container.streams
        if isinstance(stream, VideoStream if kind == "video" else AudioStream)
        and stream.codec_context is not None
        and not stream.disposition & Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return next((stream for stream in candidates if stream is best), candidates[0] if candidates else None)


def _packets(container: InputContainer, streams: list[Stream]) -> "Iterator[Packet[Any]]":
    """Packets that hold something, as far as the file can be read."""
    packets = container.demux(streams) if streams else iter(())  # of no streams, demux would give all
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError, IndexError):  # the last is PyAV's at the end, if a stream appeared late
            return
        if packet.size > 0:
            yield packet


def _has_times(stamps: list[Stamp]) -> bool:
    """Whether every packet has a presentation time of its own."""
    return None not in (times := {stamp.pts for stamp in stamps}) and len(times) == len(stamps)


def _times(stamps: list[Stamp], time_base: Fraction) -> tuple[NDArray[np.float64], float]:
    """When packets are presented, [n], ascending, and when the last one ends, in seconds."""
    durations = np.array([stamp.duration for stamp in stamps], dtype=np.float64)
    decoded = [stamp.dts for stamp in stamps]
    if _has_times(stamps):
        ticks = np.array([stamp.pts for stamp in stamps], dtype=np.float64)
    elif None not in decoded:
        ticks = np.array(decoded, dtype=np.float64)
    else:  # a stream without a container
        ticks = np.arange(len(stamps), dtype=np.float64) * max(1.0, float(np.median(durations)))
    seconds = _seconds(np.unique(ticks), time_base)
    last = _seconds(float(durations[ticks.argmax()]), time_base)
    if last == 0:
        last = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 0.04
    return seconds, float(seconds[-1]) + last


def _inspect_times(media: Media, stamps: list[Stamp], stream: VideoStream) -> tuple[NDArray[np.float64], float]:
    """As `_times`, of pictures whose every time is stored; decides whether they can be trusted.

    Where one is missing, repeated or goes back, no picture could be found by its time: then all are taken to follow
    each other at the stream's rate, in the order in which they are decoded, and that is a repair.
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
    seconds = _seconds(float(first), time_base) + np.arange(len(stamps) + 1, dtype=np.float64) / float(rate)
    return seconds[:-1], float(seconds[-1])


def _keys(stamps: list[Stamp], time_base: Fraction) -> NDArray[np.float64]:
    """See `Media.keys`."""
    keys = [(stamp.pts, stamp.pts if stamp.dts is None else stamp.dts) for stamp in stamps if stamp.is_key]
    return _seconds(np.array(keys, dtype=np.float64).reshape(-1, 2), time_base)


def _seconds(ticks: Ticks, time_base: Fraction) -> Ticks:
    """Ticks in seconds; always by the same arithmetic, since times are compared exactly."""
    return ticks * time_base.numerator / time_base.denominator


def _frames_since(
    media: Media, kind: Kind, since: float, target: float | None, damaged: list[float]
) -> Iterator[tuple[float, Any]]:
    """Decoded frames with their times, from `target` on, or from the first where that fails or leads past `since`.

    The times of packets that turn out to be damaged are put into `damaged`.
    """
    if target is not None:
        frames = _frames(media, kind, target, damaged)
        try:
            head = next(frames, None)
        except FFmpegError:
            head = None
        if head is not None and head[0] <= since:
            return chain([head], frames)
        damaged.clear()
    return _frames(media, kind, None, damaged)


def _frames(media: Media, kind: Kind, target: float | None, damaged: list[float]) -> Iterator[tuple[float, Any]]:
    """Decoded frames with their times, from a decoding time on."""
    with _open(media.path) as container:
        stream = _best(container, kind)
        assert stream is not None
        time_base = stream.time_base
        assert time_base is not None
        stream.codec_context.thread_count = 1
        if target is not None and container.format.name not in UNTIMED:
            container.seek(round(target / time_base), stream=stream)
        is_counted = kind == "video" and len(media.keys) == 0
        due = media.start
        for count, frame in enumerate(_decoded(container, stream, damaged)):
            if is_counted:
                seconds = float(media.frame_seconds[min(count, len(media.frame_seconds) - 1)])
            else:
                seconds = due if frame.pts is None else _seconds(float(frame.pts), time_base)
            yield seconds, frame
            due = seconds + _seconds(float(frame.duration), time_base)


def _decoded(container: InputContainer, stream: Stream, damaged: list[float]) -> Iterator[VideoFrame | AudioFrame]:
    """All frames from where the file stands.

    A packet that cannot be decoded is an error unless it is the first or the last: then the file was cut there. The
    times of all that are damaged are put into `damaged`, those of which libav conceals the damage, too.
    """
    problem: FFmpegError | None = None
    has_begun = False
    witness = _witness(stream)
    for packet in chain(_packets(container, [stream]), [None]):
        if problem is not None and has_begun and packet is not None:
            raise problem
        frames: list[Any] = []
        with av.logging.Capture() as messages:
            try:
                frames = stream.decode(packet)
                if witness is not None:
                    witness.decode(packet)
            except FFmpegError as error:
                problem = error
        if packet is not None and (problem is not None or messages or _is_broken(packet)):
            damaged.append(_time(packet))
        else:
            damaged += [_time(frame) for frame in frames if frame.is_corrupt]
        for frame in frames:
            if not has_begun:
                has_begun, problem = True, None
            yield frame
    if problem is not None and not has_begun:
        raise problem


def _witness(stream: Stream) -> VideoCodecContext | None:
    """A second decoder for VP9: libvpx refuses damage of which libav's own, that turns pictures, says nothing."""
    context = stream.codec_context
    if context.name != "vp9" or not isinstance(context.format, VideoFormat) or context.format.components[0].bits > 8:
        return None  # of more than 8 bits libvpx may know nothing
    return VideoCodecContext.create("libvpx-vp9", "r")


def _is_broken(packet: "Packet[Any]") -> bool:
    """True if a packet is not whole. A short packet of uncompressed sound counts as whole."""
    return packet.is_corrupt and not packet.stream.codec_context.name.startswith("pcm_")


def _time(timed: "Packet[Any] | Frame") -> float:
    """The time of a packet or frame in seconds, NaN if it has none."""
    return np.nan if timed.pts is None or timed.time_base is None else _seconds(float(timed.pts), timed.time_base)


def _form(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _write(pieces: list[AudioFrame], wave: NDArray[np.float32], position: int) -> int:
    """Put pieces into a wave from a position on, which may lie outside; returns where they end."""
    for piece in pieces:
        samples = piece.to_ndarray()[0]
        first, last = max(position, 0), min(position + len(samples), len(wave))
        if first < last:
            wave[first:last] = samples[first - position : last - position]
        position += len(samples)
    return position
