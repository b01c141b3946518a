"""RetinaFace with a ResNet-50: the package retina-face, with weights of our own download."""

import os
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from avbalance.prepare.detectors.base import Face, weights_file
from avbalance.prepare.detectors.retinaface import RetinaFace
from avbalance.ranges import Count, Share

os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"  # what the package calls a network of arrays; decided at its import
with warnings.catch_warnings():  # the package silences every warning of the process
    from retinaface.commons.preprocess import preprocess_image
    from retinaface.model import retinaface_pth_model
    from retinaface.RetinaFace import detect_faces

WEIGHTS = "models/retinaface.pth"
Array = NDArray[np.float32]


class RetinaFaceResNet50(RetinaFace):
    """RetinaFace with a ResNet-50.

    Deng et al., CVPR 2020, as the package retina-face has it, by PyTorch: frames scaled to a shorter side of 1024 and
    a longer one of at most 1980. A GPU is used; on a CPU a frame of 1024 x 1024 takes about four seconds of a core.

    Args:
        weights, device, score_threshold: See `RetinaFace`.
        upscale: Whether smaller frames are scaled up too, as the package does unasked; frames of 480 x 360 then take
            13 times as long.
        batch_size: Number of a clip's frames that go through the network at once; 0.3 GB each at 1365 x 1024.
    """

    model: ClassVar[str] = "retinaface_resnet50"
    uses_gpu: ClassVar[bool] = True

    def __init__(
        self,
        weights: Path | None,
        device: str = "cpu",
        score_threshold: Share = 0.9,
        upscale: bool = True,
        batch_size: Count = 4,
    ) -> None:
        super().__init__(weights, device, score_threshold, batch_size)
        self.upscale, self.device = upscale, torch.device(device)
        self.network = retinaface_pth_model.RetinaFace()
        path = weights_file(weights, WEIGHTS)
        self.network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.network.to(self.device).eval()

    def detect_batch(self, frames: NDArray[np.uint8]) -> list[list[Face]]:
        """Return the faces of every frame."""
        scaled = np.concatenate([preprocess_image(frame, self.upscale)[0] for frame in frames])
        with torch.inference_mode():
            outputs = [output.cpu().numpy() for output in self.network(torch.from_numpy(scaled).to(self.device))]
        return [
            decode([output[i : i + 1] for output in outputs], frame, self.score_threshold, self.upscale)
            for i, frame in enumerate(frames)
        ]


def decode(outputs: list[Array], frame: NDArray[np.uint8], score_threshold: float, upscale: bool) -> list[Face]:
    """The package's post-processing of what the network says of one frame.

    Args:
        outputs: Nine [1, height, width, channels]: scores, boxes and landmarks at the strides 32, 16 and 8.
        frame: [height, width, 3], for its size.
        score_threshold, upscale: As of the detector.
    """
    faces = detect_faces(frame, score_threshold, lambda _: outputs, upscale)
    return [
        Face((x1, y1, x2 - x1, y2 - y1), np.array(list(face["landmarks"].values()), np.float64), float(face["score"]))
        for face in faces.values()
        for x1, y1, x2, y2 in [map(float, face["facial_area"])]
    ]
