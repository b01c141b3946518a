import json
import time
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream
from numpy.typing import NDArray
from scipy.signal import correlate

from avbalance.data.clips import ClipError
from avbalance.prepare.decode import read_audio, read_frames
from avbalance.prepare.inspection import inspect_media

GRID = [
    "bbaf2n",
    "brbk7n",
    "lbax4n",
    "lbbc2a",
    "lrwp9a",
    "lwbsza",
    "pwij3p",
    "sbia1a",
    "sbwe5n",
    "swiz3n",
    "id2_swwp2s",
]
REAL = [
    *(f"grid_{name}.mpg" for name in GRID),
    "grid_bbal6n_h264_aac.mp4",
    "ucf101_apply_eye_makeup.avi",
    "kinetics_arm_wrestling_noaudio.mp4",
    "nasa_13013_rotated_noaudio.mp4",
]


def gray(index: int) -> int:
    """The level of the frame of this number in generated video."""
    return 20 + 8 * (index % 26)


def video_stream(out: OutputContainer, codec: str = "libx264", ticks: int = 25, **options: str) -> VideoStream:
    stream = out.add_stream(codec, rate=25, options=options)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    stream.codec_context.time_base, stream.bit_rate = Fraction(1, ticks), 1_000_000
    return stream


def encode_video(out: OutputContainer, stream: VideoStream, seconds: list[float]) -> None:
    for index, second in enumerate(seconds):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), gray(index), dtype=np.uint8), format="rgb24")
        frame.time_base = stream.codec_context.time_base
        frame.pts = round(second / frame.time_base)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_video(path: Path, seconds: list[float], codec: str = "libx264", ticks: int = 25, **options: str) -> Path:
    """Frame i begins at `seconds[i]`, a multiple of 1 / `ticks`."""
    with av.open(path, "w") as out:
        encode_video(out, video_stream(out, codec, ticks, **options), seconds)
    return path


def encode_audio(
    out: OutputContainer, stream: AudioStream, channels: NDArray[np.float64], delays: dict[int, int] | None = None
) -> None:
    """Sound [channels, samples]; blocks that begin at or after a sample in `delays` come so many samples later."""
    rate, layout = stream.codec_context.sample_rate, stream.codec_context.layout.name
    for start in range(0, channels.shape[1], 1152):
        block = np.ascontiguousarray(channels[:, start : start + 1152], dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = start + sum(delay for since, delay in (delays or {}).items() if start >= since)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def write_audio(
    path: Path, channels: NDArray[np.float64], rate: int, codec: str, delays: dict[int, int] | None = None
) -> Path:
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(channels)]
    with av.open(path, "w") as out:
        encode_audio(out, out.add_stream(codec, rate=rate, layout=layout), channels, delays)
    return path


def sine(hertz: float, rate: int, seconds: float) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def levels(path: Path, seconds: NDArray[np.float64] | None = None) -> list[int]:
    """Which generated frames are seen at these times, by default at all times of the file."""
    media = inspect_media(path)
    frames = read_frames(media, media.frame_seconds if seconds is None else seconds)
    return [round((float(frame.mean()) - 20) / 8) for frame in frames]


def chirp(samples: int) -> NDArray[np.float64]:
    """A sound that resembles no shifted copy of itself: noise below 3 kHz at 44.1 kHz."""
    noise = np.random.default_rng(0).normal(size=samples)
    return 0.5 * np.convolve(noise, np.hanning(33) / 10, mode="same").clip(-1, 1)


def lag(sound: NDArray[np.float32], other: NDArray[np.float64]) -> int:
    """By how many samples `sound` comes later than `other`."""
    return int(correlate(sound, other).argmax()) - (len(other) - 1)


# real files


@pytest.mark.parametrize("name", REAL)
def test_a_real_clip_has_the_known_frames_and_sound(mirror: Path, name: str) -> None:
    known = json.loads((mirror / "video/clips.json").read_text(encoding="utf-8"))["clips"][name]
    media = inspect_media(mirror / "video" / name)
    assert len(media.frame_seconds) == known["decoded_frames"]
    assert media.frame_seconds[0] == known["first_pts_s"]
    assert media.start == 0
    assert media.end == pytest.approx(known["duration_s"], abs=0.045)
    assert media.has_audio == ("decoded_audio_samples" in known)
    assert media.repairs == []
    frames = read_frames(media, media.frame_seconds)
    for index, mean_bgr in known["frame_mean_bgr"].items():
        np.testing.assert_allclose(frames[int(index)].mean(axis=(0, 1)), mean_bgr[::-1], atol=0.01)
        alone = read_frames(media, media.frame_seconds[[int(index)]])
        np.testing.assert_array_equal(alone[0], frames[int(index)])
    if media.has_audio:
        num_samples = known["samples_at_16k_mono"]
        sound = read_audio(media, 16000, 0.0, num_samples / 16000)
        assert len(sound) == num_samples
        assert np.sqrt(np.mean(sound.astype(np.float64) ** 2)) * 32768 == pytest.approx(known["rms_16k_mono"], rel=2e-3)
        assert np.abs(sound[-200:]).max() > 0
        assert not read_audio(media, 16000, media.end, media.end + 1).any()


def test_a_rotated_clip_is_upright(mirror: Path) -> None:
    path = mirror / "video/nasa_13013_rotated_noaudio.mp4"
    media = inspect_media(path)
    ours = read_frames(media, media.frame_seconds[:3])
    capture = cv2.VideoCapture(str(path))  # turns frames by itself
    for frame in ours:
        theirs = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
        assert frame.shape == theirs.shape == (480, 270, 3)
        assert np.abs(frame.astype(int) - theirs).mean() < 1


def test_a_corrupted_clip_is_an_error_but_its_beginning_can_be_seen(mirror: Path) -> None:
    media = inspect_media(mirror / "video/corrupted.mp4")
    assert len(media.frame_seconds) == 50
    with pytest.raises(ClipError, match="Invalid data"):
        read_frames(media, media.frame_seconds)
    assert read_frames(media, media.frame_seconds[:20]).shape == (20, 720, 1280, 3)


# pictures


def test_frames_of_a_variable_rate_are_found_by_time(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.54, 2.0, 2.01, 2.02, 3.5]
    write_video(tmp_path / "a.mp4", times, ticks=1000)
    media = inspect_media(tmp_path / "a.mp4")
    np.testing.assert_allclose(media.frame_seconds, times, atol=1e-3)
    assert levels(tmp_path / "a.mp4") == list(range(8))
    assert levels(tmp_path / "a.mp4", media.frame_seconds[[6, 1, 1, 4]]) == [6, 1, 1, 4]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3", "g": "8"}),
        ("a.mkv", "libx264", {"x264-params": "open-gop=1:bframes=3", "g": "8"}),
        ("a.ts", "libx264", {"bf": "3", "g": "8"}),
        ("a.flv", "libx264", {"bf": "3", "g": "8"}),
        ("a.avi", "libx264", {"bf": "3", "g": "8"}),
        ("a.avi", "mpeg4", {"bf": "2", "g": "8"}),
        ("a.mpg", "mpeg1video", {"bf": "2", "g": "8"}),
        ("a.mpg", "mpeg2video", {"bf": "2", "g": "8", "flags": "+ilme+ildct"}),
        ("a.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "g": "8"}),
        ("a.wmv", "wmv2", {"g": "8"}),
        ("a.h264", "libx264", {"bf": "3", "g": "8"}),
    ],
)
def test_frames_that_are_coded_out_of_order_are_shown_in_order(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    write_video(tmp_path / name, [i / 25 for i in range(24)], codec, 25, **options)
    media = inspect_media(tmp_path / name)
    np.testing.assert_allclose(np.diff(media.frame_seconds), np.full(23, 0.04), atol=1.1e-3)
    assert media.end - media.start == pytest.approx(24 / 25, abs=0.01)
    assert levels(tmp_path / name) == list(range(24))
    for index in range(24):
        assert levels(tmp_path / name, media.frame_seconds[[index]]) == [index]


def test_flash_video_without_a_duration_is_read(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.flv", "w", options={"flvflags": "no_duration_filesize"}) as out:
        encode_video(out, video_stream(out, "flv"), [i / 25 for i in range(10)])
    media = inspect_media(tmp_path / "a.flv")
    assert media.end == pytest.approx(0.4, abs=2e-3)
    assert media.repairs == []
    assert levels(tmp_path / "a.flv") == list(range(10))


def test_a_stream_that_appears_late_does_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.flv", [i / 25 for i in range(1000)], "flv")
    sound = b"\x2f" + bytes(100)  # a tag of type 8, sound
    tag = b"\x08" + len(sound).to_bytes(3, "big") + (39000).to_bytes(3, "big") + bytes(4) + sound
    path.write_bytes(path.read_bytes() + tag + len(tag).to_bytes(4, "big"))
    media = inspect_media(path)
    assert len(media.frame_seconds) == 1000
    assert not media.has_audio
    assert levels(path, media.frame_seconds[[0, 999]]) == [0, 999 % 26]


def test_the_end_of_an_hour_is_reached_without_decoding_the_hour(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [float(i) for i in range(3600)], preset="ultrafast", g="60")
    media = inspect_media(tmp_path / "a.mp4")
    assert len(media.frame_seconds) == 3600
    assert media.end == pytest.approx(3600, abs=1)
    wanted = [3590, 3598, 3599]
    assert levels(tmp_path / "a.mp4", media.frame_seconds[wanted]) == [i % 26 for i in wanted]

    def seconds(places: list[int]) -> float:
        """Of processor time, the least of three, so that what else runs does not count."""
        taken = []
        for _ in range(3):
            began = time.process_time()
            read_frames(media, media.frame_seconds[places])
            taken.append(time.process_time() - began)
        return min(taken)

    assert seconds(wanted) < seconds([0, 3599]) / 3


def test_of_two_video_streams_the_better_is_used(tmp_path: Path) -> None:
    with av.open(tmp_path / "a.mkv", "w") as out:
        worse, better = video_stream(out), video_stream(out)
        encode_video(out, worse, [0.0])
        encode_video(out, better, [i / 25 for i in range(10)])
    assert levels(tmp_path / "a.mkv") == list(range(10))


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    ok, cover = cv2.imencode(".jpg", np.full((48, 64, 3), 200, dtype=np.uint8))
    assert ok
    with av.open(tmp_path / "a.m4a", "w", format="mp4") as out:
        sound = out.add_stream("aac", rate=44100, layout="mono")
        picture = out.add_stream("mjpeg")
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        packet = av.Packet(cover.tobytes())
        packet.stream, packet.pts, packet.dts, packet.time_base = picture, 0, 0, Fraction(1, 1000)
        out.mux(packet)
        encode_audio(out, sound, sine(440, 44100, 1.0)[None])
    with av.open(tmp_path / "a.m4a") as written:
        assert len(written.streams.video) == 1
    media = inspect_media(tmp_path / "a.m4a")
    assert len(media.frame_seconds) == 0
    assert media.has_audio


STANDING = {  # rows of display matrices, and what they do to [height, width, 3]
    (1, 0, 0, 1): lambda image: image,
    (-1, 0, 0, 1): lambda image: image[:, ::-1],
    (-1, 0, 0, -1): lambda image: image[::-1, ::-1],
    (1, 0, 0, -1): lambda image: image[::-1],
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),  # the upper left goes to the upper right
    (0, -1, -1, 0): lambda image: image[::-1, ::-1].swapaxes(0, 1),
    (0, -1, 1, 0): lambda image: np.rot90(image),
}


def corners() -> NDArray[np.uint8]:
    """A picture that is like none of its turned or mirrored copies."""
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:24, :32] = 250
    image[:24, 32:] = 120
    return image


@pytest.mark.parametrize("matrix", STANDING)
def test_pictures_are_turned_and_mirrored_as_the_file_says(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    xx, xy, yx, yy = (value << 16 for value in matrix)
    with av.open(tmp_path / "a.mp4", "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([xx, xy, 0, yx, yy, 0, 0, 0, 1 << 30])
        out.mux(stream.encode(av.VideoFrame.from_ndarray(corners(), format="rgb24")))
        out.mux(stream.encode(None))
    media = inspect_media(tmp_path / "a.mp4")
    ours, expected = read_frames(media, media.frame_seconds)[0], STANDING[matrix](corners())
    assert ours.shape == expected.shape
    assert np.abs(ours.astype(int) - expected).mean() < 3
    if matrix[0] == matrix[3] and matrix[1] == -matrix[2]:  # OpenCV turns and does not mirror
        theirs = cv2.VideoCapture(str(tmp_path / "a.mp4")).read()[1]
        assert np.abs(ours.astype(int) - theirs[..., ::-1]).mean() < 3


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_photograph_is_turned_and_mirrored_as_its_exif_says(tmp_path: Path, suffix: str) -> None:
    for orientation in range(1, 9):
        entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
        exif = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
        tags = [np.frombuffer(exif, dtype=np.uint8)]
        ok, content = cv2.imencodeWithMetadata(suffix, corners(), [cv2.IMAGE_METADATA_EXIF], tags)
        assert ok
        path = tmp_path / f"{orientation}{suffix}"
        path.write_bytes(content.tobytes())
        media = inspect_media(path)
        assert media.frame_seconds.tolist() == [0.0]
        repairs: list[str] = []
        ours = read_frames(media, media.frame_seconds, repairs)[0]
        theirs = cv2.imread(str(path))  # applies the orientation
        assert theirs is not None
        assert ours.shape == theirs.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
        assert np.abs(ours.astype(int) - theirs[..., ::-1]).mean() < 3
        assert repairs == []


@pytest.mark.parametrize("kind", ["rgb", "gray", "gray16", "alpha", "palette"])
def test_a_png_of_any_kind_is_one_picture_at_0(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(20, 30, 3), dtype=np.uint8)
    stored = {
        "rgb": image[..., ::-1],
        "gray": image[..., 0],
        "gray16": image[..., 0].astype(np.uint16) * 257,
        "alpha": np.dstack([image[..., ::-1], np.full((20, 30), 255, dtype=np.uint8)]),
        "palette": image[..., ::-1],
    }[kind]
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    media = inspect_media(tmp_path / "a.png")
    assert media.frame_seconds.tolist() == [0.0]
    assert not media.has_audio
    frames = read_frames(media, media.frame_seconds)
    expected = image[..., :1].repeat(3, axis=2) if "gray" in kind else image
    assert np.abs(frames[0].astype(int) - expected).max() <= 1


def test_frames_of_changing_size_get_the_size_of_the_first(tmp_path: Path) -> None:
    shades = {(48, 64): 60, (24, 32): 180}
    pictures = [cv2.imencode(".jpg", np.full((*size, 3), shade, dtype=np.uint8))[1] for size, shade in shades.items()]
    (tmp_path / "a.mjpeg").write_bytes(b"".join(picture.tobytes() for picture in pictures))
    media = inspect_media(tmp_path / "a.mjpeg")
    frames = read_frames(media, media.frame_seconds)
    assert frames.shape == (2, 48, 64, 3)
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), [60, 180], atol=2)


# sound


@pytest.mark.parametrize(
    ("name", "codec", "tolerance"),
    [("a.wav", "pcm_s16le", 0), ("a.flac", "flac", 0), ("a.mp3", "libmp3lame", 1), ("a.m4a", "aac", 1)],
)
def test_sound_alone_begins_at_its_first_sample(tmp_path: Path, name: str, codec: str, tolerance: int) -> None:
    sound = chirp(44100)
    write_audio(tmp_path / name, np.stack([sound, sound]), 44100, codec)
    media = inspect_media(tmp_path / name)
    assert len(media.frame_seconds) == 0
    assert media.end - media.start == pytest.approx(1.0, abs=0.05)
    heard = read_audio(media, 44100, media.start, media.start + 1)
    assert abs(lag(heard, sound)) <= tolerance
    assert np.corrcoef(heard[2000:-2000], sound[2000:-2000])[0, 1] > 0.99


@pytest.mark.parametrize(("rate", "wanted"), [(44100, 16000), (48000, 22050), (8000, 16000), (22050, 48000)])
def test_resampling_keeps_a_tone_and_its_phase(tmp_path: Path, rate: int, wanted: int) -> None:
    write_audio(tmp_path / "a.wav", 0.5 * sine(1000, rate, 1.0)[None], rate, "pcm_f32le")
    heard = read_audio(inspect_media(tmp_path / "a.wav"), wanted, 0.0, 1.0)
    assert heard.dtype == np.float32
    assert heard.shape == (wanted,)
    np.testing.assert_allclose(heard[500:-500], 0.5 * sine(1000, wanted, 1.0)[500:-500], atol=1e-4)


def test_resampling_removes_what_would_alias(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", sine(9000, 44100, 1.0)[None], 44100, "pcm_f32le")
    heard = read_audio(inspect_media(tmp_path / "a.wav"), 16000, 0.0, 1.0)
    assert np.abs(heard[500:-500]).max() < 1e-4  # -80 dB


@pytest.mark.parametrize("codec", ["pcm_s16le", "pcm_f32le"])
def test_stereo_becomes_its_mean(tmp_path: Path, codec: str) -> None:
    tone = sine(500, 16000, 1.0)
    write_audio(tmp_path / "a.wav", np.stack([0.6 * tone, -0.2 * tone]), 16000, codec)
    heard = read_audio(inspect_media(tmp_path / "a.wav"), 16000, 0.0, 1.0)
    np.testing.assert_allclose(heard, 0.2 * tone, atol=1e-4)


def test_six_channels_become_one_that_is_not_too_loud(tmp_path: Path) -> None:
    tone = sine(500, 16000, 1.0)
    write_audio(tmp_path / "a.wav", np.stack([tone] * 6), 16000, "pcm_s16le")
    heard = read_audio(inspect_media(tmp_path / "a.wav"), 16000, 0.0, 1.0)
    assert 0.9 < np.abs(heard).max() <= 1.001


@pytest.mark.parametrize("num_channels", [1, 2, 3, 9])
def test_channels_without_a_layout_are_averaged_or_an_error(tmp_path: Path, num_channels: int) -> None:
    tone = (20000 * sine(500, 16000, 1.0)).astype("<i2")
    with wave.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setnchannels(num_channels)
        out.setsampwidth(2)
        out.setframerate(16000)
        out.writeframes(np.stack([tone] * num_channels, axis=1).tobytes())
    media = inspect_media(tmp_path / "a.wav")
    if num_channels > 8:
        with pytest.raises(ClipError):
            read_audio(media, 16000, 0.0, 1.0)
    else:
        np.testing.assert_allclose(read_audio(media, 16000, 0.0, 1.0), tone / 32768, atol=2e-4)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "pcm_s16le"), ("a.flv", "libmp3lame")])
def test_sound_that_begins_late_stays_in_step_with_the_pictures(tmp_path: Path, name: str, codec: str) -> None:
    sound = chirp(44100)
    with av.open(tmp_path / name, "w") as out:
        voice, pictures = out.add_stream(codec, rate=44100, layout="mono"), video_stream(out)
        encode_audio(out, voice, sound[None], {0: 22050})
        encode_video(out, pictures, [i / 25 for i in range(50)])
    media = inspect_media(tmp_path / name)
    begin = float(media.frame_seconds[0])
    heard = read_audio(media, 44100, begin, begin + 1.5)
    assert np.abs(heard[:20000]).max() < 1e-3
    assert abs(lag(heard, np.concatenate([np.zeros(22050), sound]))) < 50  # times are kept in ms


@pytest.mark.parametrize(("name", "codec"), [("a.wav", "pcm_s16le"), ("a.m4a", "aac"), ("a.mp3", "libmp3lame")])
def test_sound_from_the_middle_is_that_part_of_the_whole(tmp_path: Path, name: str, codec: str) -> None:
    write_audio(tmp_path / name, chirp(5 * 16000)[None], 16000, codec)
    media = inspect_media(tmp_path / name)
    whole = read_audio(media, 16000, 0.0, 5.0)
    piece = read_audio(media, 16000, 3.5, 4.0)
    np.testing.assert_allclose(piece, whole[56000:64000], atol=2e-3)


# what cannot be used


def test_what_is_no_media_is_an_error_of_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("no media at all\n" * 1000, encoding="utf-8")
    (tmp_path / "noise.avi").write_bytes(np.random.default_rng(0).bytes(10000))
    write_video(tmp_path / "whole.mp4", [i / 25 for i in range(25)])
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "headless.mp4").write_bytes(content[: len(content) // 2])
    for name in ("empty.mp4", "text.mp4", "noise.avi", "headless.mp4", "absent.mp4", ""):
        with pytest.raises(ClipError) as error:
            inspect_media(tmp_path / name)
        assert "\n" not in str(error.value)
        assert str(tmp_path) not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_without_pictures_or_sound_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nwords\n", encoding="utf-8")
    with pytest.raises(ClipError, match="neither pictures nor sound"):
        inspect_media(tmp_path / "a.srt")


def test_no_sound_is_an_error_of_reading_sound_only(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [0.0, 0.04])
    media = inspect_media(tmp_path / "a.mp4")
    assert not media.has_audio
    with pytest.raises(ClipError, match="no sound"):
        read_audio(media, 16000, 0.0, 1.0)
    assert levels(tmp_path / "a.mp4") == [0, 1]


@pytest.mark.parametrize("name", ["a.mp4", "a.flv", "a.mkv"])
def test_a_file_that_was_cut_off_is_used_as_far_as_it_goes_and_says_so(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    with av.open(tmp_path / name, "w", options={"movflags": "faststart"} if name == "a.mp4" else {}) as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            noise = rng.integers(256, size=(48, 64, 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        out.mux(stream.encode(None))
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    media = inspect_media(tmp_path / name)
    assert 15 < len(media.frame_seconds) < 35
    assert [repair[:14] for repair in media.repairs] == [f"holds {media.end - media.start:.1f} s of"]
    assert len(read_frames(media, media.frame_seconds)) == len(media.frame_seconds)
    assert capfd.readouterr() == ("", "")


def test_damage_in_the_middle_of_sound_is_an_error(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.mp4", chirp(44100)[None], 44100, "aac")
    content = bytearray((tmp_path / "a.mp4").read_bytes())
    media = inspect_media(tmp_path / "a.mp4")
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\xff" * 2000
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ClipError, match="Invalid data"):
        read_audio(media, 16000, 0.0, 1.0)


def test_tags_need_not_be_unicode(tmp_path: Path) -> None:
    samples = (8000 * sine(500, 16000, 0.5)).astype("<i2").tobytes()
    tag = b"INFOINAM" + (4).to_bytes(4, "little") + b"caf\xe9"
    chunks = [
        b"fmt " + (16).to_bytes(4, "little") + b"\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00",
        b"LIST" + len(tag).to_bytes(4, "little") + tag,
        b"data" + len(samples).to_bytes(4, "little") + samples,
    ]
    body = b"WAVE" + b"".join(chunks)
    (tmp_path / "a.wav").write_bytes(b"RIFF" + len(body).to_bytes(4, "little") + body)
    with pytest.raises(UnicodeDecodeError):
        av.open(tmp_path / "a.wav")
    assert inspect_media(tmp_path / "a.wav").end == 0.5
