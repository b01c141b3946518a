"""A box of random area and shape, resized."""

from math import log

import numpy as np
from numpy.typing import NDArray

from avbalance.augmentations.base import Augmentation, place
from avbalance.augmentations.crops import Size

LEAST_AREA, LONGEST, NUM_TRIES = 0.08, 4 / 3, 10


class RandomResizedCrop(Augmentation):
    """A box of 8 to 100 % of the picture's area, its width 3/4 to 4/3 of its height, anywhere in the picture.

    Szegedy et al., CVPR 2015, section 6, with the constants and the procedure of torchvision's class of this name: area
    and logarithm of the shape are uniform; a box that does not fit is drawn again, ten times at most; then it is the
    largest box in the middle whose shape is allowed.
    """

    num_draws = 2 * NUM_TRIES + 2

    def boxes(self, numbers: NDArray[np.float64], stored: Size, seen: Size) -> NDArray[np.int64]:
        """The first of the boxes drawn that fits."""
        rows, columns = stored
        area = rows * columns * (LEAST_AREA + (1 - LEAST_AREA) * numbers[:, :NUM_TRIES])
        ratio = np.exp(log(LONGEST) * (2 * numbers[:, NUM_TRIES:-2] - 1))
        heights, widths = np.rint(np.sqrt(area / ratio)), np.rint(np.sqrt(area * ratio))
        fits = (heights >= 1) & (heights <= rows) & (widths >= 1) & (widths <= columns)
        first = fits.argmax(axis=1)[:, None]
        height, width = (np.take_along_axis(sides, first, axis=1)[:, 0].astype(np.int64) for sides in (heights, widths))
        top, left = place(numbers[:, -2], rows - height), place(numbers[:, -1], columns - width)
        largest = min(rows, round(columns * LONGEST)), min(columns, round(rows * LONGEST))
        middle = [(rows - largest[0]) // 2, (columns - largest[1]) // 2, *largest]
        return np.where(fits.any(axis=1, keepdims=True), np.stack([top, left, height, width], axis=1), middle)
