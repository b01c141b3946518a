"""Files that are damaged, cut or wrongly timed: what can be used is used and reported, never passed on in silence."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import OutputContainer
from av.video.stream import VideoStream
from numpy.typing import NDArray

from avbalance.data.clips import Clip, ClipError
from avbalance.data.raw import RawFiles
from avbalance.prepare.decode import read_audio, read_frames
from avbalance.prepare.inspection import inspect_media
from avbalance.prepare.shard import load_view
from avbalance.prepare.windows import windows_of

CODECS = [
    ("a.mp4", "mpeg4"),
    ("a.avi", "mpeg4"),
    ("a.flv", "flv"),
    ("a.avi", "mjpeg"),
    ("a.webm", "libvpx-vp9"),
    ("a.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.mp4", "libx265"),
    ("a.mp4", "libsvtav1"),
    ("a.webm", "libvpx"),
    ("a.mkv", "ffv1"),
]
# Any bytes are a valid stream for the arithmetic decoders of these. Packets of zeros have no header and are refused.
BLIND = ("libx265", "libsvtav1", "libvpx")
OPTIONS = {
    "libvpx-vp9": {"cpu-used": "8", "deadline": "realtime"},
    "libvpx": {"cpu-used": "8", "deadline": "realtime"},
    "libx264": {"preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none"},
    "libsvtav1": {"preset": "12", "svtav1-params": "lp=1"},
}
Change = Callable[[int, int], int]


def video_stream(out: OutputContainer, codec: str, size: tuple[int, int] = (64, 64)) -> VideoStream:
    stream = out.add_stream(codec, rate=25, options=OPTIONS.get(codec, {}))
    stream.width, stream.height = size
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.bit_rate = 400_000
    return stream


def write_video(path: Path, codec: str) -> list[bytes]:
    """25 pictures of moving squares; returns the packets."""
    squares = np.kron(np.random.default_rng(0).integers(256, size=(16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    with av.open(path, "w") as out:
        stream = video_stream(out, codec)
        for index in range(25):
            image = np.ascontiguousarray(np.roll(squares, (2 * index, 3 * index), axis=(0, 1))[:64, :64])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(stream.encode(None))
    with av.open(path) as written:
        return [bytes(packet) for packet in written.demux(video=0) if packet.size]


def read(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """All pictures and the repairs."""
    media = inspect_media(path)
    repairs: list[str] = []
    frames = read_frames(media, media.frame_seconds, repairs)
    return frames, media.repairs + repairs


@pytest.mark.parametrize(("name", "codec"), CODECS)
def test_damaged_packets_drop_the_clip_or_are_a_repair_and_whole_files_have_none(
    tmp_path: Path, name: str, codec: str
) -> None:
    packets = write_video(tmp_path / name, codec)
    whole, repairs = read(tmp_path / name)
    assert repairs == []
    content = (tmp_path / name).read_bytes()
    for number in (9, 13, 17):
        old, rng = packets[number], np.random.default_rng(number)
        third = len(old) // 3
        new = bytes(len(old)) if codec in BLIND else old[:third] + rng.bytes(third) + old[2 * third :]
        assert content.count(old) == 1
        content = content.replace(old, new)
    (tmp_path / name).write_bytes(content)
    try:
        frames, repairs = read(tmp_path / name)
    except ClipError:
        return
    assert np.abs(frames.astype(int) - whole).mean(axis=(1, 2, 3)).max() > 3
    assert repairs in [[f"damaged packets of pictures, concealed by the decoder: {number}"] for number in (1, 2, 3)]


def test_damage_behind_what_is_looked_at_or_before_the_key_frame_is_no_concern(tmp_path: Path) -> None:
    packets = write_video(tmp_path / "a.mp4", "mpeg4")  # a key frame every 12 pictures
    content = (tmp_path / "a.mp4").read_bytes()
    old = packets[17]
    (tmp_path / "a.mp4").write_bytes(content.replace(old, old[:20] + bytes(len(old) - 20)))
    media = inspect_media(tmp_path / "a.mp4")
    for places, number in (([2, 16], 0), ([12, 17], 1), ([20], 1), ([24], 0)):
        repairs: list[str] = []
        read_frames(media, media.frame_seconds[places], repairs)
        assert repairs == ["damaged packets of pictures, concealed by the decoder: 1"] * number


def test_damage_is_among_the_repairs_of_a_clip(tmp_path: Path) -> None:
    packets = write_video(tmp_path / "a.flv", "flv")
    content = (tmp_path / "a.flv").read_bytes()
    old = packets[10]
    (tmp_path / "a.flv").write_bytes(content.replace(old, old[:20] + bytes(len(old) - 20)))
    view = load_view({"frames": {"size": 8, "num_frames": 4}}, {})
    (window,) = windows_of(Clip("a", "train", 0, visual="a.flv"), RawFiles(tmp_path), view, None, 1, 60)
    assert window.repairs == ["damaged packets of pictures, concealed by the decoder: 1"]


# time stamps


def stamp_flash(path: Path, change: Change, kind: int = 9) -> None:
    """Give the tags of pictures (9) or sound (8) other times: `change` of their number and milliseconds."""
    content, place, number = bytearray(path.read_bytes()), 13, 0
    while place < len(content):
        if content[place] == kind:
            old = int.from_bytes(content[place + 4 : place + 7], "big")
            content[place + 4 : place + 7] = change(number, old).to_bytes(3, "big")
            number += 1
        place += 11 + int.from_bytes(content[place + 1 : place + 4], "big") + 4
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "num_wrong"),
    [
        (lambda number, old: 360 if number == 10 else old, 1),  # repeated
        (lambda number, old: 380 if number == 8 else old, 1),  # the next one goes back
        (lambda number, old: 5000 if number == 10 else old, 1),
        (lambda number, old: old // 80 * 80, 12),  # 13 times for 25 pictures
        (lambda number, old: old % 480, 15),  # 13 of 25 repeated, and two steps back
        (lambda number, old: 0, 24),
    ],
)
def test_pictures_with_wrong_times_keep_their_order_and_rate(tmp_path: Path, change: Change, num_wrong: int) -> None:
    write_video(tmp_path / "a.flv", "flv")
    whole, repairs = read(tmp_path / "a.flv")
    assert repairs == []
    stamp_flash(tmp_path / "a.flv", change)
    media = inspect_media(tmp_path / "a.flv")
    assert media.repairs == [
        f"time stamps of pictures are missing, repeated or go back: {num_wrong}; all are taken at 25 a second"
    ]
    np.testing.assert_allclose(media.frame_seconds, np.arange(25) / 25)
    assert media.end == pytest.approx(1)
    np.testing.assert_array_equal(read_frames(media, media.frame_seconds), whole)
    np.testing.assert_array_equal(read_frames(media, media.frame_seconds[[20]])[0], whole[20])


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts"])
def test_a_time_that_two_pictures_out_of_order_share_shifts_none(tmp_path: Path, name: str) -> None:
    squares = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    with av.open(tmp_path / "whole.mp4", "w") as out:
        stream = video_stream(out, "libx264")
        stream.options = {"preset": "ultrafast", "bf": "2"}
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(np.roll(squares, 8 * index, axis=1), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    whole, _ = read(tmp_path / "whole.mp4")
    with av.open(tmp_path / "whole.mp4") as given, av.open(tmp_path / name, "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        times: list[int] = []
        for packet in given.demux(video=0):
            if packet.size:
                times.append(packet.pts)
                packet.pts = times[-2] if len(times) == 12 else packet.pts
                packet.stream = stream
                out.mux(packet)
    frames, repairs = read(tmp_path / name)
    assert repairs == ["time stamps of pictures are missing, repeated or go back: 1; all are taken at 25 a second"]
    np.testing.assert_array_equal(frames, whole)
    np.testing.assert_allclose(np.diff(inspect_media(tmp_path / name).frame_seconds), 0.04)


@pytest.mark.parametrize(
    ("change", "breaks"),
    [
        (lambda number, old: old, []),
        (lambda number, old: old + number % 2, []),  # of a millisecond
        (lambda number, old: old + 500 * (number > 6), [(1, "0.50")]),
        (lambda number, old: old - 300 * (number > 6), [(1, "0.30")]),
        (lambda number, old: old + 200 * (number == 6), [(2, "0.20")]),  # away and back
    ],
)
def test_breaks_in_the_times_of_sound_are_a_repair(
    tmp_path: Path, change: Change, breaks: list[tuple[int, str]]
) -> None:
    with av.open(tmp_path / "a.flv", "w") as out:
        stream = out.add_stream("adpcm_swf", rate=22050, layout="mono")
        for index in range(12):  # each a packet of 0.19 s
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), dtype=np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 22050, 4096 * index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    stamp_flash(tmp_path / "a.flv", change, kind=8)
    media, repairs = inspect_media(tmp_path / "a.flv"), []
    read_audio(media, 16000, media.start, media.end, repairs)
    assert repairs == [
        f"breaks in the time stamps of sound: {number}, the longest of {longest} s" for number, longest in breaks
    ]


# sound that was cut


def wav(samples: NDArray[np.int16], stated: int) -> bytes:
    """A file of 16 kHz whose header states a number of bytes."""
    form = b"fmt \x10\0\0\0\x01\0\x01\0" + (16000).to_bytes(4, "little") + (32000).to_bytes(4, "little") + b"\2\0\x10\0"
    return b"RIFF\xff\xff\xff\xffWAVE" + form + b"data" + stated.to_bytes(4, "little") + samples.tobytes()


@pytest.mark.parametrize("stated", [0xFFFFFFFF, 0, 32000])
@pytest.mark.parametrize("number", [16000, 11050, 700])
def test_sound_of_unstated_or_cut_length_is_read_to_its_last_sample(tmp_path: Path, number: int, stated: int) -> None:
    samples = np.random.default_rng(0).integers(-20000, 20000, number).astype(np.int16)
    (tmp_path / "a.wav").write_bytes(wav(samples, stated))
    media, repairs = inspect_media(tmp_path / "a.wav"), []
    assert media.end * 16000 == pytest.approx(number)
    heard = read_audio(media, 16000, media.start, media.end, repairs)
    np.testing.assert_allclose(heard, samples / 32768, atol=1e-6)
    assert media.repairs + repairs == []


@pytest.mark.parametrize(("name", "codec"), [("a.flac", "flac"), ("a.ogg", "libopus"), ("a.mp3", "libmp3lame")])
def test_what_is_whole_of_a_cut_file_of_sound_is_read(tmp_path: Path, name: str, codec: str) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * 48000).astype(np.float32)
    with av.open(tmp_path / name, "w") as out:
        stream = out.add_stream(codec, rate=48000, layout="mono")
        for start in range(0, len(noise), 1152):
            frame = av.AudioFrame.from_ndarray(noise[None, start : start + 1152], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    whole = inspect_media(tmp_path / name)
    expected = read_audio(whole, 48000, 0.0, 5.0)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    media = inspect_media(tmp_path / name)
    assert 2.0 < media.end < 3.5
    heard = read_audio(media, 48000, 0.0, media.end)
    num_equal = len(heard) - 4096 * 3  # the last packets may hold less than they should
    np.testing.assert_allclose(heard[:num_equal], expected[:num_equal], atol=1e-4)
    if codec != "libopus":  # Ogg states no length
        assert media.repairs[0].startswith("holds ")
