"""RetinaFace with a ResNet-50: network, batches, devices and post-processing.

The published weights cannot be shipped. Without them the network runs with random ones, so what these tests leave open
is whether it finds faces. Where the weights were downloaded,

    AVBALANCE_RETINAFACE=<folder with models/retinaface.pth> AVBALANCE_MIRROR=<folder> \
        pytest tests/prepare/detectors/test_retinaface_resnet50.py

checks that too, on real photos.
"""

import json
import os
import runpy
import sys
import warnings
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors import retinaface_resnet50
from avbalance.prepare.detectors.base import Face
from avbalance.prepare.detectors.retinaface_resnet50 import (
    RetinaFaceResNet50,
    decode,
    detect_faces,
    retinaface_pth_model,
)
from avbalance.prepare.pictures import Pictures

Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights."""
    folder = tmp_path_factory.mktemp("weights")
    (folder / "models").mkdir()
    torch.manual_seed(0)
    torch.save(retinaface_pth_model.RetinaFace().eval().state_dict(), folder / "models/retinaface.pth")
    return folder


@pytest.fixture(scope="module")
def official() -> Path:
    folder = os.environ.get("AVBALANCE_RETINAFACE")
    if not folder:
        pytest.skip("AVBALANCE_RETINAFACE is not set: no weights of RetinaFace here")
    return Path(folder).resolve()


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def detect(detector: RetinaFaceResNet50, frames: NDArray[np.uint8]) -> list[list[Face]]:
    return detector.detect(Pictures(frames, np.arange(len(frames)) / 25))


def assert_same(left: list[list[Face]], right: list[list[Face]], tolerance: float) -> None:
    assert [len(faces) for faces in left] == [len(faces) for faces in right]
    for one, other in zip(chain(*left), chain(*right), strict=True):
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=tolerance)
        np.testing.assert_allclose(one.box, other.box, atol=1)  # the package cuts off what follows the point
        assert one.score == pytest.approx(other.score, abs=1e-3)


def test_a_batch_gives_what_single_frames_give(weights: Path) -> None:
    frames = noise(5, 64, 96)
    single, batched = (
        detect(RetinaFaceResNet50(weights, score_threshold=0.5, upscale=False, batch_size=size), frames)
        for size in (1, 3)
    )
    assert all(len(faces) > 1 for faces in single)
    assert_same(single, batched, tolerance=1e-3)


def test_the_network_runs_on_the_device_that_it_is_given(weights: Path) -> None:
    # 'meta' tells without a GPU: a network there computes no values, which the detector then cannot read
    detector = RetinaFaceResNet50(weights, "meta", upscale=False)
    assert {parameter.device.type for parameter in detector.network.parameters()} == {"meta"}
    with pytest.raises(NotImplementedError, match="meta tensor"):
        detect(detector, noise(1, 40, 40))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same_faces(weights: Path) -> None:
    frames = noise(3, 64, 96)
    ours, on_gpu = (
        detect(RetinaFaceResNet50(weights, device, score_threshold=0.5, upscale=False), frames)
        for device in ("cpu", "cuda:0")
    )
    assert_same(ours, on_gpu, tolerance=0.1)


def test_the_packages_own_call_gives_the_same_faces(weights: Path) -> None:
    detector = RetinaFaceResNet50(weights, score_threshold=0.5, upscale=False)
    frame = noise(1, 40, 120)

    def network(frames: Array) -> list[Array]:
        with torch.inference_mode():
            return [output.numpy() for output in detector.network(torch.from_numpy(frames))]

    reference = detect_faces(frame[0, :, :, ::-1], 0.5, network, False)
    [found] = detect(detector, frame)
    assert len(found) == len(reference) > 1
    for face, other in zip(found, reference.values(), strict=True):
        names = ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left")
        np.testing.assert_allclose(face.landmarks, [other["landmarks"][name] for name in names], rtol=1e-6)
        x1, y1, x2, y2 = other["facial_area"]
        assert face.box == (x1, y1, x2 - x1, y2 - y1)


def test_no_score_reaches_a_threshold_of_one(weights: Path) -> None:
    assert detect(RetinaFaceResNet50(weights, score_threshold=1.0, upscale=False), noise(2, 40, 40)) == [[], []]


def blank_outputs(height: int, width: int) -> dict[int, list[Array]]:
    """{stride: scores, boxes, landmarks}: nothing anywhere."""
    return {
        stride: [np.zeros((1, -(-height // stride), -(-width // stride), c), np.float32) for c in (4, 8, 20)]
        for stride in (32, 16, 8)
    }


def put(
    outputs: list[Array], cell: tuple[int, int], anchor: int, score: float, box: list[float], points: list[float]
) -> None:
    """Let an anchor see a face. Channels: scores of no face and face by anchor; 4 of a box; 10 of landmarks."""
    scores, boxes, landmarks = (output[0, cell[0], cell[1]] for output in outputs)
    scores[2 + anchor] = score
    boxes[4 * anchor : 4 * anchor + 4] = box
    landmarks[10 * anchor : 10 * anchor + 10] = points


POINTS = [-0.25, -0.25, 0.25, -0.25, 0, 0, -0.125, 0.25, 0.125, 0.25]


def test_anchors_boxes_and_landmarks_are_decoded() -> None:
    outputs = blank_outputs(64, 96)
    # Stride 16, second anchor: x and y from -24 to 39, so 64 wide about 7.5; in column 3 about 55.5, in row 1 about
    # 23.5. A shift of (1/8, 1/16) is 8 and 4 pixels: about (63.5, 27.5); half as wide and as high: 32.
    put(outputs[16], (1, 3), 1, 0.95, [0.125, 0.0625, np.log(0.5), np.log(0.5)], POINTS)
    # The same place, seen by the anchor of the next column with a lower score: suppressed.
    put(outputs[16], (1, 4), 1, 0.92, [-0.125, 0.0625, np.log(0.5), np.log(0.5)], POINTS)
    # Stride 8, first anchor: x and y from -8 to 23, 32 wide about 7.5; column 1, row 6: about (15.5, 55.5), so from
    # (0, 40) to (31, 71), of which the frame has 63.
    put(outputs[8], (6, 1), 0, 0.91, [0, 0, 0, 0], POINTS)
    # Below the threshold.
    put(outputs[8], (0, 11), 1, 0.89, [0, 0, 0, 0], POINTS)

    first, second = decode(list(chain(*outputs.values())), np.zeros((64, 96, 3), np.uint8), 0.9, upscale=False)
    assert first.score == pytest.approx(0.95)
    np.testing.assert_allclose(first.box, (48, 12, 31, 31), atol=1)  # 63.5 - 15.5 to 63.5 + 15.5
    # landmarks are shares of the anchor, 64 wide about (55.5, 23.5)
    assert first.landmarks.tolist() == [[39.5, 7.5], [71.5, 7.5], [55.5, 23.5], [47.5, 39.5], [63.5, 39.5]]
    assert second.box == (0, 40, 31, 23)
    assert second.landmarks.tolist() == [[7.5, 47.5], [23.5, 47.5], [15.5, 55.5], [11.5, 63.5], [19.5, 63.5]]


def test_faces_of_a_scaled_frame_are_given_in_its_own_pixels() -> None:
    outputs = blank_outputs(1024, 1536)  # of 32 x 48 pixels, scaled by 32
    # Stride 32, first anchor: from -248 to 263, 512 wide about 7.5; column 16, row 8: about (519.5, 263.5)
    put(outputs[32], (8, 16), 0, 0.99, [0, 0, 0, 0], POINTS)
    [face] = decode(list(chain(*outputs.values())), np.zeros((32, 48, 3), np.uint8), 0.9, upscale=True)
    np.testing.assert_allclose(face.landmarks[2], [519.5 / 32, 263.5 / 32])
    np.testing.assert_allclose(face.landmarks[1] - face.landmarks[0], [256 / 32, 0], atol=1e-5)
    assert face.box == (8, 0, 16, 16)  # (519.5 - 255.5) / 32 = 8.25 to 24.2, and 0.25 to 16.2


def test_importing_the_package_leaves_warnings_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "retinaface.RetinaFace")  # so that it is imported again
    before = list(warnings.filters)
    runpy.run_path(retinaface_resnet50.__file__)
    assert "retinaface.RetinaFace" in sys.modules
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"score_threshold": -0.1}, "score_threshold is -0.1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({}, r"models/retinaface\.pth: .* not in"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: dict[str, float], why: str) -> None:
    with pytest.raises(UserError, match=why):
        RetinaFaceResNet50(tmp_path, **options)


@pytest.mark.parametrize("name", ["astronaut.png", "obama.jpg", "two_people.jpg"])
def test_official_weights_find_the_faces_of_photos(official: Path, mirror: Path, name: str) -> None:
    reference = json.loads((mirror / "images/landmarks.json").read_text(encoding="utf-8"))["images"][name][
        "faces_at_640"
    ]
    photo = cv2.cvtColor(cv2.imread(str(mirror / "images" / name)), cv2.COLOR_BGR2RGB)
    frames = np.stack([photo, photo[:, ::-1], photo])
    found = detect(RetinaFaceResNet50(official, batch_size=3), frames)
    assert_same(found, detect(RetinaFaceResNet50(official, batch_size=1), frames), tolerance=0.1)
    assert len(found[0]) == len(reference)
    for expected in reference:
        landmarks = np.array(list(expected["landmarks"].values()))
        eyes = np.linalg.norm(landmarks[1] - landmarks[0])
        error = min(np.abs(face.landmarks - landmarks).max() for face in found[0])
        assert error < 0.12 * eyes  # two detectors, trained on different marks: 5 to 13 pixels here
