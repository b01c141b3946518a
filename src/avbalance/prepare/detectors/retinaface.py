"""What RetinaFace's networks share: frames go through them in batches."""

from pathlib import Path

from numpy import uint8
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Detector, Face
from avbalance.prepare.pictures import Pictures
from avbalance.ranges import Count, Share


class RetinaFace(Detector):
    """RetinaFace: single-shot multi-level face localisation in the wild.

    Deng et al., CVPR 2020. The overlap above which the weaker of two faces is left out is 0.4.

    Args:
        weights: The folder of its weights.
        device: Where its network runs, if that can use a GPU.
        score_threshold: Smallest score of a face, in [0, 1].
        batch_size: Number of a clip's frames that go through the network at once.
    """

    def __init__(
        self, weights: Path | None, device: str = "cpu", score_threshold: Share = 0.9, batch_size: Count = 4
    ) -> None:
        del weights, device
        name = type(self).__name__
        if not 0 <= score_threshold <= 1:
            raise UserError(f"{name}: score_threshold is {score_threshold}; allowed: 0 to 1")
        if batch_size < 1:
            raise UserError(f"{name}: batch_size is {batch_size}; allowed: 1 or more")
        self.score_threshold, self.batch_size = score_threshold, batch_size

    def detect(self, pictures: Pictures) -> list[list[Face]]:
        """Return the faces of every frame, in any order."""
        starts = range(0, len(pictures.frames), self.batch_size)
        batches = (pictures.frames[start : start + self.batch_size, :, :, ::-1] for start in starts)
        return [faces for batch in batches for faces in self.detect_batch(batch)]

    def detect_batch(self, frames: NDArray[uint8]) -> list[list[Face]]:
        """Return the faces of every frame.

        Args:
            frames: [n, height, width, 3], BGR.
        """
        raise NotImplementedError
