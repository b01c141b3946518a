"""The middle of a picture after its shorter side was resized, as ImageNet is tested."""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from avbalance.cli import UserError
from avbalance.prepare.frames import MEAN_RGB, STD_RGB, choose_frames
from avbalance.prepare.view import Pictures, Rendered, VisualView
from avbalance.ranges import Count


class CentreCrop(VisualView):
    """One frame: its shorter side is resized, then the square in the middle is cut out.

    Krizhevsky et al., NeurIPS 2012; 256 and 224 for the ResNets, 342 and 299 for Inception v3, as in public code.

    Args:
        models: Not used.
        resize: Of the shorter side, in pixels; at least `size`.
        size: Height and width of the square, >= 1.
    """

    def __init__(self, models: Mapping[str, Path], resize: Count = 256, size: Count = 224) -> None:
        if not 1 <= size <= resize:
            raise UserError(f"centre_crop has resize {resize} and size {size}; allowed: 1 <= size <= resize")
        self.resize, self.size = resize, size
        self.mean, self.std = MEAN_RGB, STD_RGB
        self.shape = (3, size, size)

    def choose(self, seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
        """The frame in the middle."""
        return choose_frames(seconds, start, end, 1, None)

    def render(self, pictures: Pictures) -> Rendered:
        """The square of the frame."""
        picture = pictures.frames[0]
        height, width = picture.shape[:2]
        scale = self.resize / min(height, width)
        wanted = (max(round(width * scale), self.resize), max(round(height * scale), self.resize))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, wanted, interpolation=method)
        top, left = (wanted[1] - self.size) // 2, (wanted[0] - self.size) // 2
        square = resized[top : top + self.size, left : left + self.size]
        return Rendered(np.ascontiguousarray(square.transpose(2, 0, 1)))
