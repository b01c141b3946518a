"""A few frames of a clip, chosen by presentation time."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.base import Rendered, VisualView
from avbalance.ranges import Count, Positive

# For pixels of 0 to 255: ImageNet's mean and deviation; gray is brought to [-1, 1].
MEAN_RGB, STD_RGB = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
MEAN_GRAY, STD_GRAY = (127.5,), (127.5,)


class Frames(VisualView):
    """Frames, each cropped in its middle to the shape of what is stored, and resized.

    Args:
        size: Height and width that encoders see, in pixels, >= 1.
        stored: Height and width of what is stored for training to cut from, [height, width] or one number for both,
            >= `size`; None for `size`.
        whole: Whether evaluation uses the whole stored picture, resized to `size`, instead of the square in its middle.
        num_frames: Number of frames, >= 1; see `choose_frames`.
        fps: Frames per second of the grid from which frames are chosen, > 0; None for no grid.
        gray: Whether to convert colours to one channel (ITU-R BT.601).
        store: `array` for raw bytes; `jpeg` for JPEG pictures of quality 90, which take a tenth, for large datasets.
    """

    def __init__(
        self,
        *,
        size: Count,
        stored: Count | list[Count] | None = None,
        whole: bool = False,
        num_frames: Count = 1,
        fps: Positive | None = None,
        gray: bool = False,
        store: Literal["array", "jpeg"] = "array",
    ) -> None:
        check_counts("frames", size, num_frames)
        self.stored = stored_size("frames", size, stored)
        if fps is not None and not fps > 0:
            raise UserError(f"frames.fps is {fps}; allowed: more than 0, or null")
        self.store, self.whole, self.num_frames, self.fps, self.gray = store, whole, num_frames, fps, gray
        self.mean, self.std = (MEAN_GRAY, STD_GRAY) if gray else (MEAN_RGB, STD_RGB)
        self.shape = (len(self.mean), *([num_frames] if num_frames > 1 else []), size, size)

    def choose(self, seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
        """Return the frames of `choose_frames`."""
        return choose_frames(seconds, start, end, self.num_frames, self.fps)

    def render(self, pictures: Pictures) -> Rendered:
        """Return the frames, one after another."""
        array = np.empty((len(self.mean), len(pictures.frames), *self.stored), dtype=np.uint8)
        for place, frame in enumerate(pictures.frames):
            picture = gray(frame) if self.gray else frame
            array[:, place] = cv2.split(fit(picture, *self.stored))
        return Rendered(array.reshape(self.stored_shape), describe_repeats(pictures.seconds))


def check_counts(view: str, size: int, num_frames: int) -> None:
    """Raise UserError unless a view's size and number of frames are positive."""
    for option, value in {"size": size, "num_frames": num_frames}.items():
        if value < 1:
            raise UserError(f"{view}.{option} is {value}; allowed: 1 or more")


def stored_size(view: str, size: int, stored: int | list[int] | None) -> tuple[int, int]:
    """Height and width of what a view stores.

    Raises:
        UserError: The sizes are not one or two numbers of at least `size`.
    """
    sides = [size] * 2 if stored is None else [stored] * 2 if isinstance(stored, int) else stored
    if len(sides) != 2 or min(sides) < size:
        raise UserError(f"{view}.stored is {stored}; allowed: size ({size}) or more, or [height, width] of such")
    return sides[0], sides[1]


def choose_frames(
    seconds: NDArray[np.float64], start: float, end: float, num_frames: int, fps: float | None
) -> NDArray[np.float64]:
    """The frames that are on the screen at evenly spaced moments of a clip.

    Without `fps` these are the middles of `num_frames` equal parts. With it, they are taken from the grid
    start + (i + 1/2) / fps: of more than `num_frames` points those in the middles of equal parts; of fewer all, and the
    last one again and again. A clip shorter than 1 / fps is a grid of one point, its middle.

    Args:
        seconds: [n], ascending, presentation times of the frames of the file.
        start, end: The clip, in seconds.
        num_frames, fps: As in `Frames`.

    Returns:
        [num_frames], entries of `seconds`, ascending. Before the first frame, it is on the screen already.
    """
    parts = (np.arange(num_frames) + 0.5) / num_frames
    if fps is None:
        moments = start + parts * (end - start)
    else:
        step = min(1 / fps, end - start)
        num_points = int(np.ceil((end - start) / step - 0.5 - 1e-6))
        points = np.floor(parts * num_points) if num_points > num_frames else np.arange(num_frames)
        moments = start + (np.minimum(points, num_points - 1) + 0.5) * step
    shown = np.searchsorted(seconds, moments + 1e-6, side="right") - 1
    return seconds[np.maximum(shown, 0)]


def describe_repeats(seconds: NDArray[np.float64]) -> list[str]:
    """The repair, if any, that one frame stands for several."""
    num_different = len(np.unique(seconds))
    return [] if num_different == len(seconds) else [f"{num_different} different frames instead of {len(seconds)}"]


def gray(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[height, width, 3] -> [height, width], ITU-R BT.601."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def fit(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The largest part of this shape in the middle of [rows, columns] or [rows, columns, 3], resized."""
    rows, columns = picture.shape[:2]
    scale = min(rows / height, columns / width)
    part = round(height * scale), round(width * scale)
    top, left = (rows - part[0]) // 2, (columns - part[1]) // 2
    middle = picture[top : top + part[0], left : left + part[1]]
    if part == (height, width):
        return middle
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (width, height), interpolation=method), dtype=np.uint8)
