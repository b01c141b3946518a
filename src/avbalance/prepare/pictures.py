"""Decoded frames, as detectors and views take them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass
class Pictures:
    """Decoded frames of one clip.

    Attributes:
        frames: [n, height, width, 3], RGB, upright.
        seconds: [n], presentation times in the media's time base.
        landmarks: File of landmarks of the clip, if it has one.
    """

    frames: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    landmarks: Path | None = None
