"""Folders of pictures as videos: frames that were extracted before, joined to one file each without coding them again.

<clip>/000001.jpg, <clip>/000002.jpg, ...    the frames, by number: jpg or png
<clip>.wav                                   the sound, if it is not in a file of its own elsewhere
fps.txt                                      beside the folders of all clips: frames per second, such as 25
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av

from avbalance.errors import UserError

PICTURE = re.compile(r"(\d+)\.(jpg|jpeg|png)", re.IGNORECASE)
FPS = "fps.txt"
CODECS = {"jpg": "mjpeg", "jpeg": "mjpeg", "png": "png"}


def pictures_of(folder: Path) -> list[Path]:
    """Return the pictures of a folder by their numbers; empty unless its files are pictures named by numbers."""
    numbered = []
    for path in folder.iterdir():
        if (match := PICTURE.fullmatch(path.name)) is None:
            return []
        numbered.append((int(match[1]), path))
    return [path for _, path in sorted(numbered)]


def read_fps(folder: Path) -> Fraction:
    """Return the frames per second of the pictures in a folder, which stand in `fps.txt` beside it.

    Raises:
        UserError: The file does not exist or holds no positive number.
    """
    file = folder.parent / FPS
    try:
        fps = Fraction(file.read_text("utf-8-sig").strip())
    except (OSError, ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if fps <= 0:
        raise UserError(f"{file}: expected the frames per second of the pictures in {folder.name} and its neighbours")
    return fps


def join(pictures: Sequence[Path], fps: Fraction, sound: Path | None, target: Path) -> None:
    """Write pictures, and the samples of a sound file, into one QuickTime file; the bytes of both stay as they are.

    Args:
        pictures: At least one, all of one kind.
        fps: Frames per second.
        sound: A wav file; None for a file without sound.
        target: Path of the file, under any name: readers of media look at the bytes.

    Raises:
        UserError: The pictures differ in kind or size, or a file cannot be read.
    """
    kinds = {CODECS[path.suffix[1:].lower()] for path in pictures}
    if len(kinds) > 1:
        raise UserError(f"{pictures[0].parent}: holds pictures of several kinds: {', '.join(sorted(kinds))}")
    try:
        with av.open(str(target), "w", format="mov", options={"fflags": "+bitexact"}) as file:
            with av.open(str(pictures[0])) as first:
                video = file.add_stream_from_template(first.streams.video[0])
            video.time_base = 1 / fps
            if sound is not None:
                with av.open(str(sound)) as heard:
                    audio = file.add_stream_from_template(heard.streams.audio[0])
            for number, path in enumerate(pictures):
                packet = av.Packet(path.read_bytes())
                packet.stream, packet.time_base, packet.is_keyframe = video, 1 / fps, True
                packet.pts = packet.dts = number
                packet.duration = 1
                file.mux(packet)
            if sound is not None:
                with av.open(str(sound)) as heard:
                    for sample in heard.demux(audio=0):
                        if sample.dts is not None:
                            sample.stream = audio
                            file.mux(sample)
    except av.FFmpegError as error:
        raise UserError(f"{pictures[0].parent}: the pictures cannot be joined: {error}") from error
