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
        seconds: [n], when each was first shown, in the media's time base.
        landmarks: The clip's file of landmarks, if it has one.
    """

    frames: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    landmarks: Path | None = None
