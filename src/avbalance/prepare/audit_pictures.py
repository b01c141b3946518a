"""Pictures of the audit page: sample clips as small images, lengths as bars."""

import base64
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Kind = Literal["features", "waveform", "spectrogram", "flow", "pictures"]

HEIGHT = 80
"""Side of an image, pixels; smaller images are not enlarged."""
WIDTH = 160
"""Size of a waveform or a spectrogram, pixels."""
GAP = 2
BUDGET_BYTES = 300_000
"""Largest size of all images of a page together."""
QUALITIES = (92, 80, 70, 60, 45, 30)
"""Qualities of JPEG, tried in turn until the images fit the budget."""
NUM_BARS = 40
LINE = "#3a8ac8"  # is seen on white and on black


class Drawing(NamedTuple):
    """One modality of the sample clips.

    Attributes:
        modality: Its name.
        dtype: As which it is stored.
        legend: What is seen, in words: axes, colours, which frames.
        images: A data URI a clip.
        small: Whether the images are to be enlarged pixel by pixel.
        wheel: Data URI of the colours of directions; empty without flow.
    """

    modality: str
    dtype: str
    legend: str
    images: list[str]
    small: bool
    wheel: str = ""


class Bar(NamedTuple):
    """One bar of a histogram: its height in per cent of the tallest, and what it says in words."""

    height: float
    text: str


class Histogram(NamedTuple):
    """Bars of equal width from `low` to `high`, and the values' extremes in words."""

    bars: list[Bar]
    low: str
    high: str
    summary: str


def draw_all(clips: dict[str, list[NDArray[Any]]]) -> list[Drawing]:
    """Draw {modality: [arrays of the sample clips]}, at the best quality that fits the page."""
    drawings: list[Drawing] = []
    for quality in QUALITIES:
        drawings = [draw(modality, arrays, quality) for modality, arrays in clips.items()]
        if sum(len(image) for drawing in drawings for image in drawing.images) <= BUDGET_BYTES:
            break
    return drawings


def kind_of(modality: str, shape: Sequence[int], dtype: str) -> Kind:
    """Return the kind of drawing of a modality; only the audio of AV-MNIST is a spectrogram with a channel."""
    if dtype == "float32":
        return "features"
    if len(shape) == 1:
        return "waveform"
    if len(shape) == 2 or modality == "audio":
        return "spectrogram"
    return "flow" if shape[0] == 2 else "pictures"


def draw(modality: str, arrays: Sequence[NDArray[Any]], quality: int) -> Drawing:
    """Draw one modality's arrays [*shape], all on one scale."""
    shape, dtype = arrays[0].shape, arrays[0].dtype.name
    wheel = ""
    match kind_of(modality, shape, dtype):
        case "features":
            legend, images = draw_features(arrays, quality)
        case "waveform":
            legend, images = draw_waves(arrays)
        case "spectrogram":
            legend, images = draw_spectrograms(arrays, quality)
        case "pictures":
            legend, images = draw_pictures(arrays, quality)
        case "flow":
            legend, images = draw_flow(arrays, quality)
            wheel = _jpeg(_flow_colours(np.stack(np.meshgrid(*[np.linspace(-1, 1, 48)] * 2)), 1.0), quality)
    return Drawing(modality, dtype, legend, images, small=len(shape) > 1 and shape[-2] < HEIGHT, wheel=wheel)


def draw_features(arrays: Sequence[NDArray[Any]], quality: int) -> tuple[str, list[str]]:
    """Legend and images of features [dim] or [steps, dim]."""
    if arrays[0].ndim == 1:
        return f"{len(arrays[0]):,} features, side by side", draw_waves(arrays)[1]
    steps, dim = arrays[0].shape
    legend = f"{dim:,} features upwards, {steps:,} steps to the right, dark for low and bright for high numbers"
    return legend, draw_spectrograms([array.T for array in arrays], quality)[1]


def draw_waves(waves: Sequence[NDArray[Any]]) -> tuple[str, list[str]]:
    """Legend and images of waves [samples]."""
    peak = max(_range(np.abs(waves), 0.05)[1], 1e-6)
    legend = f"wave of {len(waves[0]):,} samples, time to the right, from {_signed(-peak)} to {_signed(peak)}"
    return legend, [_wave(wave, peak) for wave in waves]


def draw_spectrograms(arrays: Sequence[NDArray[Any]], quality: int) -> tuple[str, list[str]]:
    """Legend and images of spectrograms [frequency, time], or with one channel before."""
    low, high = _range(arrays, 1)
    num_frequencies, num_windows = arrays[0].shape[-2:]
    legend = (
        f"spectrogram, {num_windows} windows of time to the right, {num_frequencies} frequencies upwards, "
        f"from {_signed(low)} (dark) to {_signed(high)} (bright)"
    )
    return legend, [_jpeg(_spectrogram(array, low, high), quality) for array in arrays]


def draw_pictures(arrays: Sequence[NDArray[Any]], quality: int) -> tuple[str, list[str]]:
    """Legend and images of pictures [1 or 3, height, width], or [1 or 3, frames, height, width]."""
    which, clips = _choose_frames(arrays)
    legend = f"{which}pictures, {arrays[0].shape[-1]} × {arrays[0].shape[-2]} pixels"
    low, high = 0.0, 255.0
    if arrays[0].dtype != np.uint8:
        low, high = _range(arrays, 0.5)
        legend += f", from {_signed(low)} (black) to {_signed(high)} (white)"
    strips = [[_levels(frame.transpose(1, 2, 0), low, high) for frame in frames] for frames in clips]
    return legend, [_jpeg(_strip(strip), quality) for strip in strips]


def draw_flow(arrays: Sequence[NDArray[Any]], quality: int) -> tuple[str, list[str]]:
    """Legend and images of flow [2, height, width] or [2, frames, height, width]; 128 is rest, 127 more the bound."""
    which, clips = _choose_frames([(array.astype(np.float32) - 128) / 127 for array in arrays])
    lengths = np.stack([np.hypot(*frame) for frames in clips for frame in frames])
    full = max(float(np.percentile(lengths, 99.5)), 1 / 127)
    legend = f"{which}optical flows; colour is direction, white is rest, full colour {full:.0%} of the bound or more"
    return legend, [_jpeg(_strip([_flow_colours(frame, full) for frame in frames]), quality) for frames in clips]


def _choose_frames(arrays: Sequence[NDArray[Any]]) -> tuple[str, list[list[NDArray[Any]]]]:
    """First, middle and last frame [channels, height, width] of each clip, and words for them."""
    clips = [array if array.ndim == 4 else array[:, None] for array in arrays]
    num_frames = clips[0].shape[1]
    chosen = sorted({0, num_frames // 2, num_frames - 1})
    which = "" if num_frames == 1 else f"first{', middle' * (num_frames > 2)} and last of {num_frames} "
    return which, [[clip[:, frame] for frame in chosen] for clip in clips]


def _signed(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _range(arrays: Iterable[NDArray[Any]], percent: float) -> tuple[float, float]:
    """The values that leave `percent` below and above."""
    values = np.stack([array.astype(np.float32) for array in arrays])
    low, high = np.percentile(values, [percent, 100 - percent])
    return float(low), float(max(high, low + 1e-6))


def _levels(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Values as levels from 0 to 255."""
    shares = np.clip((values.astype(np.float32) - low) / (high - low), 0, 1)
    levels: NDArray[np.uint8] = np.round(255 * shares).astype(np.uint8)
    return levels


def _spectrogram(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """[frequency, time], or with one channel before -> [height, width, 3], low frequencies below."""
    values = values.reshape(values.shape[-2:])[::-1].astype(np.float32)
    height, width = min(HEIGHT, values.shape[0]), min(WIDTH, values.shape[1])
    values = cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA)
    return _rgb(cv2.applyColorMap(_levels(values, low, high), cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def _flow_colours(flow: NDArray[np.floating], full: float) -> NDArray[np.uint8]:
    """Flow [2, height, width] -> [height, width, 3]: hue is direction, saturation length, 1 at `full`."""
    x, y = flow
    hue = np.degrees(np.arctan2(y, x)) % 360 / 2  # OpenCV's hues end at 180
    saturation = 255 * np.minimum(np.hypot(x, y) / full, 1)
    hsv = np.stack([hue, saturation, np.full_like(hue, 255)], axis=-1)
    return _rgb(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)


def _rgb(image: Any, conversion: int) -> NDArray[np.uint8]:  # noqa: ANN401
    return np.asarray(cv2.cvtColor(image, conversion), dtype=np.uint8)


def _strip(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Frames [height, width, channels] side by side, no higher than HEIGHT."""
    height, width = frames[0].shape[:2]
    size = (round(width * HEIGHT / height), HEIGHT) if height > HEIGHT else (width, height)
    gap = np.full((size[1], GAP, frames[0].shape[2]), 128, np.uint8)
    parts: list[NDArray[np.uint8]] = []
    for frame in frames:
        # OpenCV drops the axis of a single channel.
        shrunk = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
        parts += [np.asarray(shrunk, dtype=np.uint8), gap]
    return np.concatenate(parts[:-1], axis=1)


def _jpeg(image: NDArray[np.uint8], quality: int) -> str:
    """Data URI of an image [height, width, 1 or 3]."""
    if image.shape[2] == 3:
        image = _rgb(image, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return f"data:image/jpeg;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _wave(samples: NDArray[Any], peak: float) -> str:
    """Data URI of a wave's envelope: in each column a stroke from its lowest to its highest sample."""
    columns = np.array_split(samples.astype(np.float32), min(WIDTH, len(samples)))
    ends = [np.clip([column.max(), column.min()], -peak, peak) * (HEIGHT / 2 - 1) / peak for column in columns]
    strokes = "".join(
        f"M{place} {HEIGHT / 2 - top:.0f}V{HEIGHT / 2 + 1 - bottom:.0f}" for place, (top, bottom) in enumerate(ends)
    )
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(columns)} {HEIGHT}" width="{len(columns)}" '
        f'height="{HEIGHT}"><path d="{strokes}" stroke="{LINE}" transform="translate(.5)"/></svg>'
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"


def count_lengths(values: NDArray[np.float64], unit: str, finest: float) -> Histogram:
    """Histogram of lengths [clips], at least one.

    Bars are 1, 2 or 5 times a power of ten wide, at least `finest`.
    """
    low, high = float(values.min()), float(values.max())
    wanted = max((high - low) / NUM_BARS, finest)
    power = 10.0 ** math.floor(math.log10(wanted) + 1e-9)
    width = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= wanted * (1 - 1e-9))
    # The small number keeps 0.3 / 0.1 = 2.999... in the bar it belongs to.
    places = np.floor(values / width + 1e-6).astype(np.int64)
    first = int(places.min())
    counts = np.bincount(places - first)
    edges = [f"{(first + place) * width:.6g}" for place in range(len(counts) + 1)]
    return Histogram(
        [
            Bar(
                round(max(100 * count / counts.max(), min(count, 1.0)), 1),  # a single clip is seen too
                f"{edges[place]} to below {edges[place + 1]} {unit}: {count:,} clips",
            )
            for place, count in enumerate(counts.tolist())
        ],
        edges[0],
        f"{edges[-1]} {unit}",
        f"shortest {low:.6g}, median {np.median(values):.6g}, longest {high:.6g} {unit}; "
        f"the highest bar holds {counts.max():,} of {len(values):,} clips",
    )
