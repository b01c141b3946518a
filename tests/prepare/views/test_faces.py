"""Aligned faces: with given landmarks everywhere, with YuNet on the official files of AVBALANCE_MIRROR."""

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Face
from avbalance.prepare.detectors.given import HEADER, Given
from avbalance.prepare.detectors.yunet import YuNet
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.shard import load_view
from avbalance.prepare.views.faces import TEMPLATE, Faces, align, follow, similarity

Landmarks = NDArray[np.float64]


def write_landmarks(path: Path, lines: dict[float, Landmarks]) -> Path:
    rows = [",".join(HEADER), *(",".join(map(str, [s, *points.ravel()])) for s, points in lines.items())]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def texture(height: int, width: int) -> NDArray[np.uint8]:
    """A picture with detail at several scales and no sharp edges."""
    rng = np.random.default_rng(0)
    picture = np.zeros((height, width, 3))
    for cells in (6, 14, 30):
        picture += cv2.resize(rng.normal(size=(cells, cells, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 30 * picture, 0, 255).astype(np.uint8)


def turned(frame: NDArray[np.uint8], degrees: float, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The picture turned about its middle and scaled, on a canvas that holds it, and the matrix [2, 3] that did it."""
    height, width = frame.shape[:2]
    side = int(np.ceil(scale * np.hypot(height, width)))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, scale)
    matrix[:, 2] += (side - width) / 2, (side - height) / 2
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(frame, matrix, (side, side), flags=flags), np.uint8), matrix


def assert_alike(one: NDArray[np.uint8], other: NDArray[np.uint8], difference: float) -> None:
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.99
    assert np.abs(one.astype(float) - other).mean() < difference


def face(x: float, y: float, width: float) -> Face:
    """A face whose box has its corner at (x, y)."""
    return Face((x, y, width, width), (TEMPLATE / 112) * width + [x, y], 1.0)


def test_a_known_similarity_is_recovered() -> None:
    angle, scale, shift = 0.3, 1.7, np.array([5.0, -2.0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.random.default_rng(0).normal(size=(5, 2))
    matrix = similarity(points, scale * points @ rotation.T + shift)
    np.testing.assert_allclose(matrix, np.column_stack([scale * rotation, shift]), atol=1e-12)


def test_a_similarity_is_the_least_squares_solution() -> None:
    points, target = np.random.default_rng(0).normal(size=(2, 5, 2))
    # x' = p x - q y + c, y' = q x + p y + d, linear in p, q, c, d
    x, y, one, zero = points[:, 0], points[:, 1], np.ones(5), np.zeros(5)
    system = np.vstack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])
    p, q, c, d = np.linalg.lstsq(system, target.T.ravel())[0]
    np.testing.assert_allclose(similarity(points, target), [[p, -q, c], [q, p, d]], atol=1e-12)


def test_a_face_at_the_template_is_left_as_it_is() -> None:
    frame = texture(112, 112)
    assert np.array_equal(align(frame, TEMPLATE, 112, margin=0), frame)


def test_a_margin_shows_more_on_every_side() -> None:
    frame = texture(112, 112)
    crop = align(frame, TEMPLATE, 224, margin=0.5)  # (1 + 2 x 0.5) x 112 = 224: nothing is scaled
    assert np.array_equal(crop[56:168, 56:168], frame)
    assert (crop[:56, 56:168] == frame[0]).all()  # beyond the border its pixels are repeated


def test_the_template_grows_with_the_size() -> None:
    frame = texture(112, 112)
    crop = align(frame, TEMPLATE, 168, margin=0)  # 1.5 times: pixel 3 i of the crop is pixel 2 i of the frame
    np.testing.assert_allclose(crop[::3, ::3], frame[::2, ::2], atol=1)


def test_a_face_much_larger_than_the_crop_is_smoothed() -> None:
    frame = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (224, 224))[:, :, None].repeat(3, axis=2)
    crop = align(frame, TEMPLATE * 4 + 0.25, 56, margin=0)  # 448 -> 56; taking every eighth pixel gives 0 or 255
    assert np.abs(crop[4:-4, 4:-4].astype(int) - 128).max() < 10


def test_the_largest_face_is_followed_though_another_comes_nearer() -> None:
    anna = [face(100 + 3 * t, 50, 40) for t in range(10)]
    bert = [face(10 + 9 * t, 40, 20 + 8 * t) for t in range(10)]  # ends twice as large, over Anna's last place
    detected = [[bert[t], anna[t]] if t % 2 else [anna[t], bert[t]] for t in range(10)]
    assert bert[9].box[2] > 2 * anna[9].box[2]
    assert [found is anna[t] for t, found in enumerate(follow(detected))] == [True] * 10


def test_another_person_is_not_taken_for_a_missing_one() -> None:
    anna, bert, nearer = face(100, 50, 40), face(200, 50, 38), face(195, 45, 60)
    assert follow([[], [anna, bert], [bert], [], [nearer, anna]]) == [None, anna, None, None, anna]


def test_a_face_may_move_by_its_own_size_between_frames() -> None:
    faces = [face(39 * t, 0, 40) for t in range(4)]
    assert follow([[one] for one in faces]) == faces
    assert follow([[face(0, 0, 40)], [face(41, 0, 40)]])[1] is None


def test_of_faces_equally_large_the_leftmost_then_the_topmost_is_taken() -> None:
    a, b, c = face(10, 30, 20), face(10, 20, 20), face(15, 0, 20)
    for order in ([a, b, c], [c, b, a], [b, c, a]):
        assert follow([order]) == [b]


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"num_frames": 3}, (3, 3, 48, 48)),
        ({"num_frames": 3, "gray": True}, (1, 3, 48, 48)),
        ({}, (3, 48, 48)),
        ({"gray": True}, (1, 48, 48)),
    ],
)
def test_the_array_has_the_shape_that_is_declared(
    tmp_path: Path, options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    view = Faces(detector=Given(None), size=48, **options)
    n = options.get("num_frames", 1)
    seconds = view.choose(np.arange(75) / 25, 0.0, 3.0)
    assert seconds.shape == (n,)
    landmarks = write_landmarks(tmp_path / "a.csv", dict.fromkeys(np.arange(75) / 25, TEMPLATE))
    frames = np.stack([texture(120, 130) // (i + 1) for i in range(n)])
    rendered = view.render(Pictures(frames, seconds, landmarks))
    assert rendered.array.dtype == np.uint8
    assert rendered.array.flags.c_contiguous
    assert rendered.array.shape == view.shape == shape
    assert len(view.mean) == len(view.std) == shape[0]
    assert rendered.repairs == []
    expected = np.stack([align(frame, TEMPLATE, 48, 0) for frame in frames])  # [n, height, width, colour]
    if options.get("gray"):
        expected = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None] for crop in expected])
    assert np.array_equal(rendered.array.reshape(shape[0], n, 48, 48), expected.transpose(3, 0, 1, 2))


def test_missing_landmarks_are_carried_over_and_counted(tmp_path: Path) -> None:
    seconds = np.arange(6) / 25
    early, late = TEMPLATE + 10, TEMPLATE + 20
    landmarks = write_landmarks(tmp_path / "a.csv", {seconds[1]: early, seconds[4]: late})
    frames = np.stack([texture(150, 150) + np.uint8(i) for i in range(6)])
    rendered = Faces(detector=Given(None), size=112, num_frames=6).render(Pictures(frames, seconds, landmarks))
    assert rendered.repairs == ["face not found in 4 of 6 frames, carried over"]
    used = [early, early, early, early, late, late]  # the first frame takes the next later face
    for i, points in enumerate(used):
        assert np.array_equal(rendered.array[:, i], align(frames[i], points, 112, 0).transpose(2, 0, 1))


def test_smoothed_landmarks_are_the_mean_of_those_around(tmp_path: Path) -> None:
    seconds = np.arange(5) / 25
    shifts = np.array([0.0, 6.0, 0.0, 3.0, 9.0])
    landmarks = write_landmarks(tmp_path / "a.csv", {s: TEMPLATE + x for s, x in zip(seconds, shifts, strict=True)})
    frames = texture(150, 150)[None].repeat(5, axis=0)
    array = (
        Faces(detector=Given(None), size=112, num_frames=5, smoothing=3)
        .render(Pictures(frames, seconds, landmarks))
        .array
    )
    # (0 + 0 + 6) / 3, (0 + 6 + 0) / 3, (6 + 0 + 3) / 3, (0 + 3 + 9) / 3, (3 + 9 + 9) / 3: the ends count twice
    for i, shift in enumerate([2, 2, 3, 4, 7]):
        assert np.array_equal(array[:, i], align(frames[i], TEMPLATE + shift, 112, 0).transpose(2, 0, 1))


def test_a_frame_that_stands_for_several_is_reported(tmp_path: Path) -> None:
    landmarks = write_landmarks(tmp_path / "a.csv", {0.0: TEMPLATE})
    view = Faces(detector=Given(None), size=48, num_frames=3, fps=1.0)
    seconds = view.choose(np.zeros(1), 0.0, 0.04)
    assert len(view.render(Pictures(texture(112, 112)[None].repeat(3, axis=0), seconds, landmarks)).repairs) == 1


def test_a_clip_without_a_face_cannot_be_used(tmp_path: Path) -> None:
    pictures = Pictures(texture(50, 50)[None].repeat(3, axis=0), np.arange(3) / 25, write_landmarks(tmp_path / "a", {}))
    with pytest.raises(ClipError, match=r"^no face in any of 3 frames$"):
        Faces(detector=Given(None), num_frames=3).render(pictures)


@pytest.mark.parametrize("degrees", [-30, 10, 90, 180])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_a_turned_and_scaled_picture_gives_the_same_crop(tmp_path: Path, degrees: float, scale: float) -> None:
    frame = texture(240, 320)
    landmarks = TEMPLATE * 1.2 + [80, 50] + np.random.default_rng(0).normal(size=(5, 2)) * 3
    other, matrix = turned(frame, degrees, scale)
    moved = landmarks @ matrix[:, :2].T + matrix[:, 2]
    crops = [
        Faces(detector=Given(None), size=96, margin=0.1)
        .render(Pictures(picture[None], np.zeros(1), write_landmarks(tmp_path / "a.csv", {0.0: points})))
        .array
        for picture, points in ((frame, landmarks), (other, moved))
    ]
    assert_alike(*crops, difference=1.5)


def photo(mirror: Path, name: str) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(cv2.imread(str(mirror / "images" / name)), cv2.COLOR_BGR2RGB), np.uint8)


@pytest.mark.parametrize("name", ["astronaut.png", "obama.jpg"])
def test_a_turned_photo_gives_the_same_crop(mirror: Path, name: str) -> None:
    frame = photo(mirror, name)
    faces = json.loads((mirror / "images/landmarks.json").read_text(encoding="utf-8"))["images"][name]["faces_at_640"]
    landmarks = np.array(list(faces[0]["landmarks"].values()))
    crop = align(frame, landmarks, 112, 0)
    for degrees, scale in ((25, 1.0), (-70, 1.5), (140, 0.8)):
        other, matrix = turned(frame, degrees, scale)
        assert_alike(crop, align(other, landmarks @ matrix[:, :2].T + matrix[:, 2], 112, 0), difference=2.5)


@pytest.mark.parametrize(("degrees", "scale"), [(5, 1.0), (8, 1.0), (-6, 0.9)])
def test_yunet_gives_a_slightly_turned_picture_nearly_the_same_crop(mirror: Path, degrees: float, scale: float) -> None:
    """Nearly, as moving a picture alone moves YuNet's landmarks by about 4 % of the distance of the eyes."""
    with av.open(mirror / "video/grid_lrwp9a.mpg") as container:
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    other, matrix = turned(frame, degrees, scale)
    view = Faces(detector=YuNet(mirror), size=112)
    one, two = (view.render(Pictures(picture[None], np.zeros(1))).array for picture in (frame, other))
    [[found]], [[moved]] = (view.detector.detect(Pictures(picture[None], np.zeros(1))) for picture in (frame, other))
    expected = found.landmarks @ matrix[:, :2].T + matrix[:, 2]
    eyes = np.linalg.norm(expected[1] - expected[0])
    assert np.linalg.norm(moved.landmarks - expected, axis=1).max() < 0.12 * eyes
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.92


def test_a_talking_face_stays_in_place(mirror: Path) -> None:
    with av.open(mirror / "video/grid_lrwp9a.mpg") as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])[::5]
    view = Faces(detector=YuNet(mirror), size=112, num_frames=len(frames))
    rendered = view.render(Pictures(frames, np.arange(len(frames)) / 5))
    assert rendered.repairs == []
    eyes = rendered.array[:, :, 40:64, 24:88].astype(float)  # about the template's eyes, at (38, 52) and (74, 52)
    for i in range(1, len(frames)):
        assert np.corrcoef(eyes[:, 0].ravel(), eyes[:, i].ravel())[0, 1] > 0.85


def test_strong_motion_and_a_missing_face_are_survived(mirror: Path) -> None:
    with av.open(mirror / "video/kinetics_arm_wrestling_noaudio.mp4") as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])[[0, 70, 140, 210]]
    view = Faces(detector=YuNet(mirror), size=64, num_frames=4)
    rendered = view.render(Pictures(frames, np.arange(4) * 2.5))
    assert rendered.repairs == ["face not found in 1 of 4 frames, carried over"]
    with pytest.raises(ClipError, match="no face in any of 1 frames"):
        Faces(detector=YuNet(mirror)).render(Pictures(frames[3:], np.zeros(1)))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"size": 0}, r"faces\.size is 0"),
        ({"num_frames": 0}, r"faces\.num_frames is 0"),
        ({"fps": 0.0}, r"faces\.fps is 0\.0"),
        ({"margin": -0.1}, r"faces\.margin is -0\.1"),
        ({"smoothing": 2}, r"faces\.smoothing is 2"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], why: str) -> None:
    with pytest.raises(UserError, match=why):
        Faces(**({"detector": Given(None)} | options))


def test_a_view_is_given_its_detector_with_the_folder_of_its_weights(mirror: Path) -> None:
    view = load_view({"faces": {"detector": {"yunet": {"longest_side": 64}}}}, {"yunet": mirror})
    assert isinstance(view, Faces)
    assert isinstance(view.detector, YuNet)
    assert view.detector.longest_side == 64


@pytest.mark.parametrize(
    ("detector", "why"),
    [("yunt", "did you mean 'yunet'"), ("yunet", r"face_detection_yunet_2023mar\.onnx")],
)
def test_an_unknown_detector_and_absent_weights_are_named(detector: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        load_view({"faces": {"detector": {detector: {}}}}, {})
