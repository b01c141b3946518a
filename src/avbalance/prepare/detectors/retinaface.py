"""RetinaFace: network and post-processing of the package retina-face, with weights of our own download."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Detector, Face, weights_file
from avbalance.prepare.pictures import Pictures
from avbalance.ranges import Count, Share

os.environ["DEEPFACE_BACKEND_ENGINE"] = "onnx"  # what the package calls a network of arrays; decided at its import
with warnings.catch_warnings():  # the package silences every warning of the process
    from retinaface.commons.preprocess import preprocess_image
    from retinaface.model import retinaface_onnx_model, retinaface_pth_model
    from retinaface.RetinaFace import detect_faces

WEIGHTS = {"onnx": "models/retinaface.onnx", "pytorch": "models/retinaface.pth"}
Array = NDArray[np.float32]
Network = Callable[[Array], list[Array]]


class RetinaFace(Detector):
    """RetinaFace: single-shot multi-level face localisation in the wild.

    Deng et al., CVPR 2020, with a ResNet-50, as the package retina-face has it: overlap of 0.4, frames scaled to a
    shorter side of 1024 and a longer one of at most 1980.

    Args:
        weights: The folder of its weights.
        backend: What runs the network. Both use a GPU where they find one: `onnx` through onnxruntime-gpu, `pytorch`
            through CUDA.
        score_threshold: Smallest score of a face, in [0, 1].
        upscale: Whether smaller frames are scaled up too, as the package does unasked; frames of 480 x 360 then take
            13 times as long.
        batch_size: How many frames go through the network at once; 0.3 GB each at 1365 x 1024.
    """

    model: ClassVar[str] = "retinaface"

    def __init__(
        self,
        weights: Path | None,
        backend: Literal["onnx", "pytorch"] = "onnx",
        score_threshold: Share = 0.9,
        upscale: bool = True,
        batch_size: Count = 4,
    ) -> None:
        if not 0 <= score_threshold <= 1:
            raise UserError(f"retinaface.score_threshold is {score_threshold}; allowed: 0 to 1")
        if batch_size < 1:
            raise UserError(f"retinaface.batch_size is {batch_size}; allowed: 1 or more")
        self.score_threshold, self.upscale, self.batch_size = score_threshold, upscale, batch_size
        path = weights_file(weights, WEIGHTS[backend])
        self.network = load_onnx(path) if backend == "onnx" else load_pytorch(path)

    def detect(self, pictures: Pictures) -> list[list[Face]]:
        """Return the faces of every frame, in any order."""
        found = []
        for start in range(0, len(pictures.frames), self.batch_size):
            frames = pictures.frames[start : start + self.batch_size, :, :, ::-1]  # the package takes BGR
            outputs = self.network(np.concatenate([preprocess_image(frame, self.upscale)[0] for frame in frames]))
            for i, frame in enumerate(frames):
                own = [output[i : i + 1] for output in outputs]
                found.append(decode(own, frame, self.score_threshold, self.upscale))
        return found


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


def load_onnx(path: Path) -> Network:
    """The network [n, height, width, 3] -> its nine outputs, run by onnxruntime in as many threads as torch uses."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    network: Network = retinaface_onnx_model.RetinaFace(onnxruntime.InferenceSession(path, options, providers))
    return network


def load_pytorch(path: Path) -> Network:
    """The network [n, height, width, 3] -> its nine outputs, run by torch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = retinaface_pth_model.RetinaFace()
    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    module.to(device).eval()

    @torch.inference_mode()
    def network(frames: Array) -> list[Array]:
        return [output.cpu().numpy() for output in module(torch.from_numpy(frames).to(device))]

    return network
