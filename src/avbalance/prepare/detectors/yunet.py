"""YuNet, as OpenCV runs it."""

from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Detector, Face, weights_file
from avbalance.prepare.pictures import Pictures
from avbalance.ranges import Count, Share

WEIGHTS = "models/face_detection_yunet_2023mar.onnx"


class YuNet(Detector):
    """YuNet: a tiny millisecond-level face detector.

    Wu, Peng and Yu, Machine Intelligence Research 2023; OpenCV's FaceDetectorYN with its own overlap of 0.3. It was
    trained for faces of about 10 to 300 pixels, so larger frames are shrunk first.

    Args:
        weights: The folder of its weights.
        device: The network runs on a CPU, whatever this says.
        longest_side: Frames with a longer side are shrunk to it; pixels.
        score_threshold: Smallest score of a face, in [0, 1].
    """

    model: ClassVar[str] = "yunet"

    def __init__(
        self, weights: Path | None, device: str = "cpu", longest_side: Count = 640, score_threshold: Share = 0.6
    ) -> None:
        del device
        if longest_side < 32:
            raise UserError(f"yunet.longest_side is {longest_side}; allowed: 32 or more")
        if not 0 <= score_threshold <= 1:
            raise UserError(f"yunet.score_threshold is {score_threshold}; allowed: 0 to 1")
        self.longest_side = longest_side
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # it warns that there is no choice of device
        self.network = cv2.FaceDetectorYN.create(str(weights_file(weights, WEIGHTS)), "", (320, 320), score_threshold)
        cv2.utils.logging.setLogLevel(level)

    def detect(self, pictures: Pictures) -> list[list[Face]]:
        """Return the faces of every frame, in any order."""
        return [self._detect(frame) for frame in pictures.frames]

    def _detect(self, frame: NDArray[np.uint8]) -> list[Face]:
        height, width = frame.shape[:2]
        shrink = min(1.0, self.longest_side / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = frame if shrink == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        self.network.setInputSize(size)
        _, found = self.network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if found is None:
            return []
        scale = np.array([width / size[0], height / size[1]])
        points = found[:, :14].reshape(-1, 7, 2) * scale  # corner, width and height, five landmarks
        return [
            Face((p[0, 0], p[0, 1], p[1, 0], p[1, 1]), p[2:], float(score))
            for p, score in zip(points, found[:, 14], strict=True)
        ]
