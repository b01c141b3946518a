"""Read pictures and sound from files of media, on one time line in seconds.

Pictures are addressed by presentation time, so a variable frame rate needs no special treatment. Errors of libav become
`ClipError`; damage that a decoder conceals becomes a repair.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, cast

import av.logging
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.error import FFmpegError
from av.frame import Frame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.prepare.containers import (
    UNTIMED,
    Kind,
    Stream,
    best_stream,
    clip_errors,
    is_broken,
    open_media,
    packets_of,
    seconds_of,
)
from avbalance.prepare.inspection import Media
from avbalance.prepare.orientation import display_matrix, upright

LONGEST_STILL = 1.0  # seconds by which a picture may be older or newer than a missing one that it replaces
LONGEST_JITTER = 0.04  # seconds by which a time stamp of sound may be off without being a gap
WARM_UP = 0.5  # seconds decoded ahead of a piece of sound, for decoders that look back
# libswresample's polyphase filter under a Kaiser window of beta 9, twice as long as by default: errors below -90 dB up
# to 7/8 of the lower Nyquist frequency, no delay. Without the limit, float channels would be added up, not averaged.
RESAMPLING = {"filter_size": "64", "rematrix_maxval": "1.0"}


@clip_errors()
def read_frames(media: Media, seconds: NDArray[np.float64], repairs: list[str] | None = None) -> NDArray[np.uint8]:
    """Return the pictures with the given presentation times.

    A picture that is announced but not coded, because nothing changed, is replaced by the previous one.

    Args:
        seconds: [n], entries of `media.frame_seconds` in any order, repeats allowed; n >= 1.
        repairs: List that takes the defects of pictures that are used all the same.

    Returns:
        [n, height, width, 3], RGB, upright, all in the size of the first; pixels as stored, even if not square.

    Raises:
        ClipError: A picture cannot be decoded.
    """
    pending = sorted(zip(seconds.tolist(), range(len(seconds)), strict=True))
    keys = media.keys[media.keys[:, 0] <= pending[0][0]]
    target = float(keys[-1, 1]) if len(keys) > 1 else None  # before the second key, decode from the beginning
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


@clip_errors()
def read_audio(
    media: Media, sample_rate: int, start: float, end: float, repairs: list[str] | None = None
) -> NDArray[np.float32]:
    """Return sound as one channel: the mean of stereo channels; more channels are weighted by libswresample.

    Args:
        sample_rate: Sample rate of the result, Hz.
        start, end: In the media's time base; sample 0 belongs to `start`.
        repairs: List that takes the defects of sound that is used all the same.

    Returns:
        [round((end - start) * sample_rate)], full scale 1; silence wherever the file has no sound.

    Raises:
        ClipError: The file has no sound, or the sound cannot be decoded.
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
    """Describe damaged packets from a time on; earlier packets only prepare the decoder."""
    number = sum(not seconds < since for seconds in damaged)  # packets without a time count
    return [f"damaged packets of {what}, concealed by the decoder: {number}"] if number else []


def _frames_since(
    media: Media, kind: Kind, since: float, target: float | None, damaged: list[float]
) -> Iterator[tuple[float, Any]]:
    """Yield decoded frames with their times, from `target` on; from the first if that fails or leads past `since`.

    The times of damaged packets are added to `damaged`.
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
    """Yield decoded frames with their times, from a decoding time on."""
    with open_media(media.place) as container:
        stream = best_stream(container, kind)
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
                seconds = due if frame.pts is None else seconds_of(float(frame.pts), time_base)
            yield seconds, frame
            due = seconds + seconds_of(float(frame.duration), time_base)


def _decoded(container: InputContainer, stream: Stream, damaged: list[float]) -> Iterator[VideoFrame | AudioFrame]:
    """Yield all frames from the current position of the file.

    A packet that cannot be decoded is an error unless it is the first or the last one: then the file was cut there. The
    times of damaged packets are added to `damaged`, including damage that libav conceals.
    """
    problem: FFmpegError | None = None
    has_begun = False
    witness = _witness(stream)
    for packet in chain(packets_of(container, [stream]), [None]):
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
        if packet is not None and (problem is not None or messages or is_broken(packet)):
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
    """Return a second decoder for VP9: libvpx detects damage that libav's own decoder does not report."""
    context = stream.codec_context
    if context.name != "vp9" or not isinstance(context.format, VideoFormat) or context.format.components[0].bits > 8:
        return None  # libvpx may be built without support for more than 8 bits
    return VideoCodecContext.create("libvpx-vp9", "r")


def _time(timed: "Packet[Any] | Frame") -> float:
    """Return the time of a packet or frame in seconds, NaN if it has none."""
    return np.nan if timed.pts is None or timed.time_base is None else seconds_of(float(timed.pts), timed.time_base)


def _form(frame: AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _write(pieces: list[AudioFrame], wave: NDArray[np.float32], position: int) -> int:
    """Copy pieces into a wave from a position on, which may lie outside; return the position of their end."""
    for piece in pieces:
        samples = piece.to_ndarray()[0]
        first, last = max(position, 0), min(position + len(samples), len(wave))
        if first < last:
            wave[first:last] = samples[first - position : last - position]
        position += len(samples)
    return position
