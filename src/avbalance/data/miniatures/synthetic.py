"""Audio-visual clips that are drawn and computed, with a known amount of class information in each modality.

`informativeness` p: with probability p a modality shows the clip's class, else one of the C classes at random. No
model can then be right more often from that modality alone than `best_accuracy`, and from two than
`best_joint_accuracy`, however well it learns.

    random = numpy.random.default_rng([seed, index])       one stream a clip: a clip does not depend on the others
    shown(labels, num_classes, informativeness, random)    -> [n], which class each clip shows
    face_frames(label, num_classes, num_frames, size, random)   -> frames [n, size, size, 3], landmarks [n, 5, 2]
    scene_frames(label, num_classes, num_frames, size, random)  -> frames [n, size, size, 3]
    sound(label, num_classes, num_samples, sample_rate, random) -> wave [num_samples]
    write_media(path, frames=, fps=, wave=, sample_rate=, video_codec=, audio_codec=)
    write_landmarks(path, seconds, landmarks)

Frames are RGB, uint8; waves are float32 in [-1, 1]. The same generator state gives the same arrays, and the same
arrays give the same bytes.
"""

import csv
import math
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

CODECS: dict[str, tuple[str, str]] = {
    ".mp4": ("libx264", "aac"),
    ".flv": ("flv", "libmp3lame"),
    ".avi": ("mpeg4", "libmp3lame"),
    ".mpg": ("mpeg1video", "mp2"),
    ".m4a": ("", "aac"),
    ".mp3": ("", "libmp3lame"),
    ".wav": ("", "pcm_s16le"),
}
"""{suffix: (video codec, audio codec)} that a file has where nothing else is asked for."""
LANDMARKS_HEADER = ["seconds"] + [
    f"{point}_{axis}" for point in ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left") for axis in "xy"
]
FACE_LANDMARKS = np.array([[-0.42, -0.25], [0.42, -0.25], [0.0, 0.22], [-0.36, 0.7], [0.36, 0.7]])
"""Of a drawn face, in units of half its width; the order of `prepare.detectors.base.Face`."""
FLV_RATE = 22050  # an .flv holds mp3 of 11,025, 22,050 or 44,100 Hz only
SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def best_accuracy(informativeness: float, num_classes: int) -> float:
    """What the best classifier reaches from one modality: p + (1 - p) / C."""
    return informativeness + (1 - informativeness) / num_classes


def best_joint_accuracy(first: float, second: float, num_classes: int) -> float:
    """What the best classifier reaches from two modalities of informativeness p and q.

    Modalities that agree are believed; else the more informative one is. With a = p + (1 - p) / C, the chance that
    the first shows the clip's class, b = (1 - p) / C, that it shows a certain other one, and c, d of the second:

        a c + (C - 1) max(a d, b c)
    """
    a, b = best_accuracy(first, num_classes), (1 - first) / num_classes
    c, d = best_accuracy(second, num_classes), (1 - second) / num_classes
    return a * c + (num_classes - 1) * max(a * d, b * c)


def shown(labels: ArrayLike, num_classes: int, informativeness: float, random: Generator) -> NDArray[np.int64]:
    """The classes [n] that a modality shows of clips with these labels [n]."""
    true = np.asarray(labels, dtype=np.int64)
    other = random.integers(num_classes, size=true.shape)
    return np.where(random.random(true.shape) < informativeness, true, other)


def face_frames(
    label: int, num_classes: int, num_frames: int, size: int, random: Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A talking face before a coloured background.

    Colour, slope of the brows and bend of the mouth tell the class; place, size, roll, brightness, background and
    how the mouth opens and the head sways do not.

    Returns:
        frames [num_frames, size, size, 3]; landmarks [num_frames, 5, 2], x and y in pixels.
    """
    steps = math.ceil(math.sqrt(num_classes))
    brow, bend = (2 * step / max(steps - 1, 1) - 1 for step in divmod(label, steps))
    brightness = random.uniform(0.85, 1.1)
    skin = [brightness * channel for channel in colour(label / num_classes, 0.55, 0.85)]
    dark = [0.25 * channel for channel in skin]
    background = texture(size, 3, random) // 2
    radius, roll = size * random.uniform(0.24, 0.3), random.uniform(-0.25, 0.25)
    centre = size * random.uniform(0.43, 0.57, 2)
    sway, talk = random.uniform(0, 2 * np.pi, 2)

    frames = np.empty((num_frames, size, size, 3), dtype=np.uint8)
    landmarks = np.empty((num_frames, 5, 2))
    for i in range(num_frames):
        angle = roll + 0.06 * math.sin(sway + 0.3 * i)
        turn = radius * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        place = centre + 0.03 * size * np.array([math.cos(sway + 0.2 * i), math.sin(sway + 0.3 * i)])
        opening = 0.05 + 0.1 * abs(math.sin(talk + 0.7 * i))
        across = np.linspace(-1, 1, 9)
        arch = 1 - across**2
        thickness = np.array([0, 0.07])
        lips = np.column_stack([0.36 * across, 0.7 + 0.22 * bend * arch])
        upper, lower = lips - np.outer(arch, [0, opening]), lips + np.outer(arch, [0, opening])
        parts = [
            (skin, disc(1.0, 1.3, (0, 0.1))),
            (dark, np.concatenate([upper, lower[::-1]])),
            (dark, disc(0.07, 0.12, FACE_LANDMARKS[2])),
        ]
        for side in (-1, 1):
            parts.append(([235.0] * 3, disc(0.17, 0.11, (0.42 * side, -0.25))))
            parts.append(([20.0] * 3, disc(0.07, 0.09, (0.42 * side, -0.25))))
            ends = np.array([[0.2 * side, -0.55 + 0.16 * brow], [0.65 * side, -0.55 - 0.16 * brow]])
            parts.append((dark, np.concatenate([ends - thickness, ends[::-1] + thickness])))
        picture = background.copy()
        for paint, points in parts:
            fill(picture, points @ turn + place, paint)
        frames[i], landmarks[i] = picture, FACE_LANDMARKS @ turn + place
    return frames, landmarks


def scene_frames(label: int, num_classes: int, num_frames: int, size: int, random: Generator) -> NDArray[np.uint8]:
    """A textured shape that moves steadily before a still background, [num_frames, size, size, 3].

    Direction of motion, number of corners and colour tell the class, so pictures and their flow both do; place, size,
    speed, turn, texture and background do not. What leaves the picture comes back on the other side.
    """
    direction = 2 * np.pi * label / num_classes
    velocity = size * random.uniform(0.025, 0.035) * np.array([math.cos(direction), math.sin(direction)])
    corners = np.arange(3 + label % 4) / (3 + label % 4) * 2 * np.pi + random.uniform(0, 2 * np.pi)
    radius = size * random.uniform(0.24, 0.3)
    outline = radius * np.column_stack([np.cos(corners), np.sin(corners)])
    middle = size * random.uniform(0.4, 0.6, 2)
    background = texture(size, 3, random) // 2
    paint = np.array(colour(label / num_classes, 0.7, 0.9))
    surface = paint * random.choice([0.45, 1.0], size=(12, 12, 1))
    side = 2 * math.ceil(radius)
    surface = cv2.resize(surface, (side, side), interpolation=cv2.INTER_NEAREST).astype(np.float32)

    frames = np.empty((num_frames, size, size, 3), dtype=np.uint8)
    for i in range(num_frames):
        reach = size + 2 * radius
        place = (middle + velocity * (i - num_frames / 2) + radius) % reach - radius
        mask = np.zeros((size, size), dtype=np.uint8)
        fill(mask, outline + place, 255)
        shift = np.array([[1, 0, place[0] - side / 2], [0, 1, place[1] - side / 2]])
        moved = cv2.warpAffine(surface, shift, (size, size), borderMode=cv2.BORDER_REPLICATE)
        alpha = mask[..., None] / np.float32(255)
        frames[i] = np.clip(background * (1 - alpha) + moved * alpha, 0, 255).astype(np.uint8)
    return frames


def sound(label: int, num_classes: int, num_samples: int, sample_rate: int, random: Generator) -> NDArray[np.float32]:
    """A pulsing chord over white noise of a tenth of its power.

    Pitch (evenly in octaves between 250 Hz and a fifth of the sample rate) and rhythm tell the class; tuning,
    loudness, phases and noise do not.
    """
    seconds = np.arange(num_samples) / sample_rate
    octaves = math.log2(sample_rate / 5 / 250)
    pitch = 250 * 2 ** (octaves * label / num_classes) * random.uniform(0.985, 1.015)
    phases = random.uniform(0, 2 * np.pi, 4)
    chord = np.zeros(num_samples)
    for ratio, phase in zip((1, 1.5, 2), phases[:3], strict=True):
        chord += np.sin(2 * np.pi * pitch * ratio * seconds + phase) / ratio
    pulses = 0.6 + 0.4 * np.sin(2 * np.pi * (2 + 2 * (label % 3)) * seconds + phases[3])
    wave = chord * pulses
    wave += np.sqrt(0.1 * np.mean(wave**2)) * random.standard_normal(num_samples)
    level = random.uniform(0.05, 0.15) / max(float(np.sqrt(np.mean(wave**2))), 1e-6)
    return np.asarray(np.clip(level * wave, -1, 1), dtype=np.float32)


def write_media(
    path: Path,
    frames: NDArray[np.uint8] | None = None,
    fps: int | None = None,
    wave: NDArray[np.float32] | None = None,
    sample_rate: int | None = None,
    video_codec: str | None = None,
    audio_codec: str | None = None,
) -> None:
    """Encode a clip into the container that the file's suffix names; the folder is made.

    Args:
        frames: [n, height, width, 3], even sides; [1, height, width, 3] for a .jpg or .png.
        fps: Frames in a second, where there are several.
        wave: [samples], mono.
        video_codec, audio_codec: Names of FFmpeg's encoders; None for what `CODECS` says.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".jpg", ".png"):
        assert frames is not None
        _, encoded = cv2.imencode(path.suffix, cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGR))
        path.write_bytes(encoded.tobytes())
        return
    usual_video, usual_audio = CODECS[path.suffix]
    # Bit-exact: neither the libraries' versions nor the time of day are written; one thread, so that nothing is left
    # to the order in which threads finish.
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        tracks: list[tuple[av.VideoStream | av.AudioStream, list[av.VideoFrame | av.AudioFrame]]] = []
        if frames is not None:
            video = container.add_stream(video_codec or usual_video, rate=fps)
            assert isinstance(video, av.VideoStream)
            video.height, video.width = frames.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.options = {"preset": "ultrafast", "crf": "18"} if video.codec.name == "libx264" else {"qscale": "3"}
            tracks.append((video, [av.VideoFrame.from_ndarray(frame, format="rgb24") for frame in frames]))
        if wave is not None:
            assert sample_rate is not None
            coded_rate = FLV_RATE if path.suffix == ".flv" else sample_rate
            audio = container.add_stream(audio_codec or usual_audio, rate=coded_rate)
            assert isinstance(audio, av.AudioStream)
            audio.layout = "mono"
            audio.options = {"compression_level": "9"}  # the fastest that lame knows
            piece = av.AudioFrame.from_ndarray(np.asarray(wave, dtype=np.float32)[None], format="fltp", layout="mono")
            piece.sample_rate = sample_rate
            tracks.append((audio, [piece]))
        for stream, _ in tracks:
            stream.codec_context.thread_count = 1
            stream.codec_context.flags |= av.codec.context.Flags.bitexact.value
        for stream, pieces in tracks:
            for each in [*pieces, None]:
                container.mux(stream.encode(each))  # type: ignore[arg-type]


def write_landmarks(path: Path, seconds: ArrayLike, landmarks: NDArray[np.float64]) -> None:
    """Write the file that the detector `given` reads: one line a frame.

    Args:
        seconds: [n], when each frame is first shown.
        landmarks: [n, 5, 2], x and y in pixels of the frame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LANDMARKS_HEADER)
        for second, points in zip(np.asarray(seconds, dtype=np.float64), landmarks, strict=True):
            writer.writerow([f"{second:.6f}", *(f"{value:.3f}" for value in points.ravel())])


def colour(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 255 of a hue in [0, 1)."""
    ramp = np.clip(np.abs((hue * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    red, green, blue = 255 * value * (1 - saturation * (1 - ramp))
    return float(red), float(green), float(blue)


def texture(size: int, num_patches: int, random: Generator) -> NDArray[np.uint8]:
    """A smooth random picture [size, size, 3]."""
    patches = random.integers(0, 256, (num_patches, num_patches, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(patches, (size, size), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def disc(width: float, height: float, centre: ArrayLike) -> NDArray[np.float64]:
    """The outline [24, 2] of an ellipse with these half axes."""
    angles = np.arange(24) * (2 * np.pi / 24)
    return np.column_stack([width * np.cos(angles), height * np.sin(angles)]) + np.asarray(centre, dtype=np.float64)


def fill(picture: NDArray[np.uint8], points: NDArray[np.float64], paint: float | list[float]) -> None:
    """Fill a polygon [n, 2] in place, with smooth edges."""
    places = np.round(points * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(picture, [places], paint, lineType=cv2.LINE_AA, shift=SHIFT)
