"""YuNet against what OpenCV found in the official files of AVBALANCE_MIRROR."""

import json
import tarfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Face
from avbalance.prepare.detectors.yunet import YuNet
from avbalance.prepare.pictures import Pictures

MOST_FACES = {
    "grid_bbaf2n.mpg": 1,
    "grid_lrwp9a.mpg": 1,
    "grid_swiz3n.mpg": 1,
    "grid_bbal6n_h264_aac.mp4": 1,
    "ucf101_apply_eye_makeup.avi": 1,
    "kinetics_arm_wrestling_noaudio.mp4": 2,
    "nasa_13013_rotated_noaudio.mp4": 0,
}
GRID = ("bbaf2n", "lgbf8n", "swwv9a")


def decode(source: Path | Any, wanted: list[int] | None = None) -> NDArray[np.uint8]:  # noqa: ANN401
    with av.open(source) as container:
        return np.stack(
            [
                frame.to_ndarray(format="rgb24")
                for i, frame in enumerate(container.decode(video=0))
                if wanted is None or i in wanted
            ]
        )


def detect(detector: YuNet, frames: NDArray[np.uint8]) -> list[list[Face]]:
    return detector.detect(Pictures(frames, np.arange(len(frames)) / 25))


def assert_same(found: list[Face], expected: list[dict[str, Any]]) -> None:
    found = sorted(found, key=lambda face: -face.box[2] * face.box[3])
    assert len(found) == len(expected)
    for face, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(face.landmarks, list(reference["landmarks"].values()), rtol=0, atol=1)
        np.testing.assert_allclose(face.box, reference["box"], rtol=0, atol=1.5)
        assert face.score == pytest.approx(reference["score"], abs=0.005)


@pytest.mark.parametrize(("name", "most_faces"), MOST_FACES.items())
def test_faces_of_clips_are_those_of_the_reference(mirror: Path, name: str, most_faces: int) -> None:
    reference = json.loads((mirror / "video/clips.json").read_text(encoding="utf-8"))["clips"][name]["faces"]
    expected = {int(i): faces for i, faces in reference.items()}
    assert max(len(faces) for faces in expected.values()) == most_faces
    found = detect(YuNet(mirror), decode(mirror / "video" / name, list(expected)))
    for faces, wanted in zip(found, expected.values(), strict=True):
        assert_same(faces, wanted)


@pytest.mark.parametrize("name", ["astronaut.png", "obama.jpg", "two_people.jpg"])
def test_a_large_photo_is_shrunk_and_its_faces_given_in_its_own_pixels(mirror: Path, name: str) -> None:
    reference = json.loads((mirror / "images/landmarks.json").read_text(encoding="utf-8"))["images"][name]
    photo = cv2.cvtColor(cv2.imread(str(mirror / "images" / name)), cv2.COLOR_BGR2RGB)[None]
    assert_same(detect(YuNet(mirror), photo)[0], reference["faces_at_640"])
    assert_same(detect(YuNet(mirror, longest_side=2000), photo)[0], reference["faces_full"])


def test_a_face_that_fills_a_small_frame_is_found_in_every_frame(mirror: Path) -> None:
    with tarfile.open(mirror / "grid_s1/clips.tar") as archive:
        for name in GRID:
            frames = decode(archive.extractfile(f"clips/{name}.mp4"))
            frames = frames[np.array([frame.std() > 30 for frame in frames])]  # a damaged start of lgbf8n is grey
            assert len(frames) > 60
            assert [len(faces) for faces in detect(YuNet(mirror), frames[::5])] == [1] * len(frames[::5])


def test_faces_below_the_threshold_are_left_out(mirror: Path) -> None:
    frames = decode(mirror / "video/kinetics_arm_wrestling_noaudio.mp4", [0])
    assert sorted(round(face.score, 2) for face in detect(YuNet(mirror), frames)[0]) == [0.80, 0.86]
    assert [round(face.score, 2) for face in detect(YuNet(mirror, score_threshold=0.83), frames)[0]] == [0.86]


@pytest.mark.parametrize("shape", [(1, 1), (7, 300), (3000, 2)])
def test_odd_frames_have_no_faces(mirror: Path, shape: tuple[int, int]) -> None:
    assert detect(YuNet(mirror), np.full((2, *shape, 3), 128, np.uint8)) == [[], []]


def test_opencv_is_quiet_and_keeps_its_level(mirror: Path, capfd: pytest.CaptureFixture[str]) -> None:
    level = cv2.utils.logging.getLogLevel()
    YuNet(mirror)
    assert capfd.readouterr() == ("", "")
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"longest_side": 31}, "longest_side is 31"),
        ({"score_threshold": 1.1}, "score_threshold is 1.1"),
        ({}, "face_detection_yunet_2023mar.onnx: .* not in"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    for weights in (tmp_path, None):
        with pytest.raises(UserError, match=why):
            YuNet(weights, **options)
