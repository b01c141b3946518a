"""A window of fixed size, cut from a picture of random size."""

import numpy as np
from numpy.typing import NDArray

from avbalance.augmentations.base import Augmentation, place
from avbalance.augmentations.crops import Size

SMALLEST, LARGEST = 256 / 224, 320 / 224


class ScaleJitter(Augmentation):
    """The picture's shorter side is resized to s, uniform, and a window is cut out anywhere.

    Tran et al., ICCV 2019: s from 256 to 320 pixels for windows of 224 x 224, and in the same proportion for others.
    Both steps are one here: the box of the stored picture that becomes the window.
    """

    num_draws = 3

    def boxes(self, numbers: NDArray[np.float64], stored: Size, seen: Size) -> NDArray[np.int64]:
        """Boxes of the window's shape."""
        longest = min(stored) / (SMALLEST + (LARGEST - SMALLEST) * numbers[:, 0])
        height, width = (np.rint(longest * side / max(seen)).astype(np.int64) for side in seen)
        top, left = place(numbers[:, 1], stored[0] - height), place(numbers[:, 2], stored[1] - width)
        return np.stack([top, left, height, width], axis=1)
