"""RetinaFace with a MobileNet: decoding by hand, the real network against YuNet on the files of AVBALANCE_MIRROR."""

import json
import zipfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Face
from avbalance.prepare.detectors.retinaface_mobilenet import (
    MODULE,
    WHEEL,
    RetinaFaceMobileNet,
    decode,
    priors,
    read_weights,
)
from avbalance.prepare.pictures import Pictures

GRID = (
    "bbaf2n",
    "brbk7n",
    "lbax4n",
    "lbbc2a",
    "lrwp9a",
    "lwbsza",
    "pwij3p",
    "sbia1a",
    "sbwe5n",
    "swiz3n",
    "id2_swwp2s",
)


def detect(detector: RetinaFaceMobileNet, frames: NDArray[np.uint8]) -> list[list[Face]]:
    return detector.detect(Pictures(frames, np.arange(len(frames)) / 25))


def distance(face: Face, reference: dict[str, Any]) -> float:
    """Mean distance of the landmarks from the reference's, as a share of the width of its box."""
    landmarks = np.array(list(reference["landmarks"].values()))
    return float(np.linalg.norm(face.landmarks - landmarks, axis=1).mean()) / float(reference["box"][2])


def frames_of(path: Path, wanted: list[int]) -> NDArray[np.uint8]:
    with av.open(path) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([frames[i] for i in wanted])


def test_priors_lie_in_the_middle_of_cells_small_strides_first() -> None:
    # 40 x 20 pixels: cells of 8: 3 rows of 5, of 16: 2 rows of 3, of 32: 1 row of 2; two priors each
    found = priors(20, 40)
    assert len(found) == 2 * (15 + 6 + 2)
    assert found[:4].tolist() == [[4, 4, 16], [4, 4, 32], [12, 4, 16], [12, 4, 32]]
    assert found[10].tolist() == [4, 12, 16]  # second row
    assert found[30:32].tolist() == [[8, 8, 64], [8, 8, 128]]
    assert found[-1].tolist() == [48, 16, 512]


def test_boxes_and_landmarks_are_decoded_with_their_variances() -> None:
    around = np.array([[100, 60, 64], [300, 60, 64], [104, 60, 64], [500, 60, 64]], np.float32)
    boxes, landmarks = np.zeros((4, 4), np.float32), np.zeros((4, 10), np.float32)
    # centre: (100 + 0.1 * 64 * 5, 60 - 0.1 * 64 * 2.5) = (132, 44);
    # size: 64 * exp(0.2 * 5 ln 2) = 128 wide, 64 * exp(0) = 64 high; corner: (132 - 64, 44 - 32) = (68, 12)
    boxes[0] = [5, -2.5, 5 * np.log(2), 0]
    landmarks[0] = [-5, -5, 5, -5, 0, 0, -2.5, 5, 2.5, 5]  # 32 and 16 pixels from (100, 60)
    # The third is the first, 4 pixels to the right and with a lower score: overlap 124 / 132, left out.
    boxes[2] = boxes[0]
    scores = np.array([[0.02, 0.98], [0.05, 0.95], [0.06, 0.94], [0.2, 0.8]], np.float32)

    first, second = decode(boxes, scores, landmarks, around, 0.9)
    np.testing.assert_allclose(first.box, (68, 12, 128, 64), rtol=1e-6)
    expected = [[68, 28], [132, 28], [100, 60], [84, 92], [116, 92]]
    np.testing.assert_allclose(first.landmarks, expected, rtol=1e-6)
    assert first.score == pytest.approx(0.98)
    assert second.box == (268, 28, 64, 64)
    assert second.landmarks.tolist() == [[300, 60]] * 5


def test_faces_that_overlap_by_two_fifths_or_less_are_both_kept() -> None:
    # 100 x 100 and the same d to the right: overlap (100 - d) / (100 + d) is 0.389 at d = 44, 0.408 at d = 42
    def number(shift: float) -> int:
        around = np.array([[100, 100, 100], [100 + shift, 100, 100]], np.float32)
        scores = np.array([[0, 0.99], [0, 0.95]], np.float32)
        return len(decode(np.zeros((2, 4), np.float32), scores, np.zeros((2, 10), np.float32), around, 0.9))

    assert (number(44), number(42)) == (2, 1)


@pytest.mark.parametrize("name", ["astronaut.png", "obama.jpg", "two_people.jpg"])
def test_the_faces_of_photos_are_those_of_yunet(mobilenet: Path, mirror: Path, name: str) -> None:
    reference = json.loads((mirror / "images/landmarks.json").read_text(encoding="utf-8"))["images"][name][
        "faces_at_640"
    ]
    photo = cv2.cvtColor(cv2.imread(str(mirror / "images" / name)), cv2.COLOR_BGR2RGB)
    [found] = detect(RetinaFaceMobileNet(mobilenet), photo[None])
    assert len(found) == len(reference)
    for expected in reference:
        face = min(found, key=lambda face: distance(face, expected))
        assert face.score > 0.99
        assert distance(face, expected) < 0.06  # measured: 0.025 to 0.053
        width, height = expected["box"][2:]
        np.testing.assert_allclose(face.box[2:], (width, height), rtol=0.1)


@pytest.mark.parametrize("name", GRID)
def test_the_faces_of_talking_persons_are_those_of_yunet(mobilenet: Path, mirror: Path, name: str) -> None:
    clip = f"grid_{name}.mpg"
    reference = json.loads((mirror / "video/clips.json").read_text(encoding="utf-8"))["clips"][clip]["faces"]
    frames = frames_of(mirror / "video" / clip, [int(i) for i in reference])
    found = detect(RetinaFaceMobileNet(mobilenet), frames)
    for [face], [expected] in zip(found, reference.values(), strict=True):
        assert face.score > 0.99
        assert distance(face, expected) < 0.09  # measured: 0.021 to 0.084


def test_a_batch_gives_what_single_frames_give(mobilenet: Path, mirror: Path) -> None:
    frames = frames_of(mirror / "video/grid_bbaf2n.mpg", list(range(0, 75, 15)))
    single, batched = (detect(RetinaFaceMobileNet(mobilenet, batch_size=size), frames) for size in (1, 3))
    for [one], [other] in zip(single, batched, strict=True):
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=0.01)
        np.testing.assert_allclose(one.box, other.box, atol=0.01)


def test_faces_below_the_threshold_are_left_out(mobilenet: Path, mirror: Path) -> None:
    frames = frames_of(mirror / "video/kinetics_arm_wrestling_noaudio.mp4", [0])
    [[face]] = detect(RetinaFaceMobileNet(mobilenet), frames)
    assert 0.99 < face.score < 0.9999
    assert detect(RetinaFaceMobileNet(mobilenet, score_threshold=0.9999), frames) == [[]]


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (1500, 2)])
def test_odd_frames_have_no_faces(mobilenet: Path, shape: tuple[int, int]) -> None:
    assert detect(RetinaFaceMobileNet(mobilenet), np.full((2, *shape, 3), 128, np.uint8)) == [[], []]


def test_the_module_that_holds_the_weights_is_read_and_not_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as archive:
        archive.writestr(MODULE, f"open({str(tmp_path / 'run')!r}, 'w')\nWEIGHTS = b'other'\n")
    with pytest.raises(UserError, match=r"other\.whl: retinaface/weights\.py holds a network with sha256 d9298a10d1b0"):
        read_weights(tmp_path / "other.whl")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"score_threshold": 1.5}, "score_threshold is 1.5"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({}, f"{WHEEL}: .* not in"),
    ],
)
def test_wrong_options_and_absent_weights_are_named(tmp_path: Path, options: dict[str, float], why: str) -> None:
    with pytest.raises(UserError, match=why):
        RetinaFaceMobileNet(tmp_path, **options)
