"""Interface of face detectors."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.pictures import Pictures


@dataclass
class Face:
    """One face in one frame.

    Attributes:
        box: x, y, width, height in pixels of the frame.
        landmarks: [5, 2], x and y in pixels: right eye, left eye, nose, right and left corner of the mouth; right is
            the person's, so left in the picture.
        score: In [0, 1].
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float


class Detector:
    """Base of face detectors.

    A subclass takes `weights`, the folder of its weights or None, and `device`, such as cuda:0; then options by
    keyword.

    Attributes:
        model: Name of the file in `config/models/` that defines its weights; empty if it needs none.
        uses_gpu: True if it computes on a GPU where there is one; otherwise `device` has no effect.
    """

    model: ClassVar[str] = ""
    uses_gpu: ClassVar[bool] = False

    def detect(self, pictures: Pictures) -> list[list[Face]]:
        """Return the faces of every frame, in any order."""
        raise NotImplementedError


def weights_file(weights: Path | None, path: str) -> Path:
    """Return the file `path` in the folder of a detector's weights.

    Raises:
        UserError: The file does not exist.
    """
    if weights is None or not (weights / path).is_file():
        raise UserError(f"{path}: these weights of a face detector are not in {weights}; download its model first")
    return weights / path
