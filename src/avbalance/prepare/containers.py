"""Access to files of media through libav: streams, packets and time stamps."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import av.logging
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.data.raw import Place, open_place

# Formats that do not store the presentation time of every picture. The times that libav makes up are out of order in
# AVI with B-frames, and differ after a seek in MPEG program streams.
UNTIMED = ("avi", "mpeg")

# Most decoders report concealed damage only by an error message. The messages are captured, and none is printed.
av.logging.set_level(av.logging.ERROR)
av.logging.set_skip_repeated(False)
logging.getLogger("libav").setLevel(logging.CRITICAL + 1)

Kind = Literal["video", "audio"]
Stream = VideoStream | AudioStream
Ticks = TypeVar("Ticks", float, NDArray[np.float64])


@contextmanager
def clip_errors() -> Iterator[None]:
    """Turn errors of libav into `ClipError`."""
    try:
        yield
    except FFmpegError as error:
        raise ClipError(f"cannot be read: {error.strerror}") from error


@contextmanager
def open_media(place: Place) -> Iterator[InputContainer]:
    """Open a file; its tags need not be UTF-8."""
    file = open_place(place)
    with ExitStack() as stack:
        if not isinstance(file, Path):
            stack.enter_context(file)
        yield stack.enter_context(av.open(file, mode="r", metadata_errors="replace"))


def best_stream(container: InputContainer, kind: Kind) -> Stream | None:
    """Return the stream to use, if any: libav's best, without attached pictures and unknown codecs."""
    candidates: list[Stream] = [
        stream
        for stream in container.streams
        if isinstance(stream, VideoStream if kind == "video" else AudioStream)
        and stream.codec_context is not None
        and not stream.disposition & Disposition.attached_pic
    ]
    best = container.streams.best(kind)
    return next((stream for stream in candidates if stream is best), candidates[0] if candidates else None)


def packets_of(container: InputContainer, streams: list[Stream]) -> "Iterator[Packet[Any]]":
    """Yield the packets that are not empty, as far as the file can be read."""
    packets = container.demux(streams) if streams else iter(())  # without a stream, demux would give all
    while True:
        try:
            packet = next(packets)
        except (StopIteration, FFmpegError, IndexError):  # PyAV raises the last at the end of some files
            return
        if packet.size > 0:
            yield packet


def seconds_of(ticks: Ticks, time_base: Fraction) -> Ticks:
    """Return ticks in seconds. All code uses this function, since times are compared exactly."""
    return ticks * time_base.numerator / time_base.denominator


def is_broken(packet: "Packet[Any]") -> bool:
    """Return whether a packet is incomplete. A short packet of uncompressed sound counts as complete."""
    return packet.is_corrupt and not packet.stream.codec_context.name.startswith("pcm_")
