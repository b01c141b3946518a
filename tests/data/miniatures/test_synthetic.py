import csv
import itertools
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from avbalance.data.miniatures.synthetic import (
    CODECS,
    FACE_LANDMARKS,
    best_accuracy,
    best_joint_accuracy,
    face_frames,
    scene_frames,
    shown,
    sound,
    write_landmarks,
    write_media,
)


def bayes_accuracy(informativeness: tuple[float, ...], num_classes: int) -> float:
    """sum over what the modalities show of max over labels of P(label, shown)."""
    total = 0.0
    for seen in itertools.product(range(num_classes), repeat=len(informativeness)):
        chances = [
            np.prod([p * (s == label) + (1 - p) / num_classes for p, s in zip(informativeness, seen, strict=True)])
            / num_classes
            for label in range(num_classes)
        ]
        total += max(chances)
    return total


@pytest.mark.parametrize("num_classes", [2, 3, 6])
@pytest.mark.parametrize("first", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("second", [0.0, 0.3, 0.9])
def test_best_accuracies_are_those_of_the_enumerated_bayes_classifier(
    num_classes: int, first: float, second: float
) -> None:
    assert best_accuracy(first, num_classes) == pytest.approx(bayes_accuracy((first,), num_classes))
    joint = bayes_accuracy((first, second), num_classes)
    assert best_joint_accuracy(first, second, num_classes) == pytest.approx(joint)


def test_a_modality_shows_the_label_as_often_as_stated() -> None:
    labels = np.arange(60_000) % 6
    for informativeness in (0.0, 0.7, 1.0):
        agreement = np.mean(shown(labels, 6, informativeness, default_rng(0)) == labels)
        # Deviation at most 0.5 / sqrt(60,000) = 0.002.
        assert agreement == pytest.approx(best_accuracy(informativeness, 6), abs=0.008)


def held_out_accuracy(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Of the nearest class mean, in standardised features; the means are those of the first half."""
    half = len(labels) // 2
    features = (features - features[:half].mean(axis=0)) / (features[:half].std(axis=0) + 1e-6)
    means = np.array([features[:half][labels[:half] == label].mean(axis=0) for label in np.unique(labels)])
    distances = ((features[half:, None] - means) ** 2).sum(axis=-1)
    return float(np.mean(distances.argmin(axis=1) == labels[half:]))


def face_features(label: int, num_classes: int, gray: bool, index: int) -> NDArray[np.float64]:
    """A face brought to 24 x 24 by its landmarks."""
    frames, landmarks = face_frames(label, num_classes, 1, 64, default_rng([7, index]))
    target = (12 + 9 * FACE_LANDMARKS).astype(np.float32)
    warp, _ = cv2.estimateAffinePartial2D(landmarks[0].astype(np.float32), target)
    face = cv2.warpAffine(frames[0], warp, (24, 24), flags=cv2.INTER_AREA)[:, 4:20]
    return (face.mean(axis=2) / face.mean() if gray else face).ravel().astype(np.float64)


def scene_features(label: int, num_classes: int, index: int) -> NDArray[np.float64]:
    """Mean colour of the tenth of the picture with the most of it."""
    pixels = scene_frames(label, num_classes, 2, 64, default_rng([7, index]))[1].reshape(-1, 3).astype(np.float64)
    return pixels[np.ptp(pixels, axis=1).argsort()[-400:]].mean(axis=0)


def mean_flow(label: int, num_classes: int, index: int) -> NDArray[np.float64]:
    """Mean flow where there is any, between the middle frames of 13."""
    frames = scene_frames(label, num_classes, 13, 64, default_rng([7, index]))
    grays = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames[6:8]]
    flow = cv2.calcOpticalFlowFarneback(*grays, None, 0.5, 3, 9, 3, 5, 1.1, 0)
    return np.median(flow[np.hypot(*np.moveaxis(flow, -1, 0)) > 0.7], axis=0)


def sound_features(label: int, num_classes: int, index: int) -> NDArray[np.float64]:
    """Log power spectrum, without the loudness."""
    wave = sound(label, num_classes, 8000, 16000, default_rng([7, index])).astype(np.float64)
    power = np.abs(np.fft.rfft(wave.reshape(-1, 500) * np.hanning(500))) ** 2
    spectrum = np.log(power.mean(axis=0) + 1e-9)
    return spectrum - spectrum.mean()


def test_a_simple_classifier_nears_the_best_accuracy_of_each_modality_and_chance_without_information() -> None:
    num_classes, labels = 4, default_rng(1).integers(4, size=400)
    for informativeness in (0.0, 0.7, 1.0):
        seen = shown(labels, num_classes, informativeness, default_rng(2)).tolist()
        # Of 200 test clips: one standard error is at most 0.035.
        expected = pytest.approx(best_accuracy(informativeness, num_classes), abs=0.09)
        face = [face_features(label, num_classes, False, i) for i, label in enumerate(seen)]
        assert held_out_accuracy(np.array(face), labels) == expected
        voice = [sound_features(label, num_classes, i) for i, label in enumerate(seen)]
        assert held_out_accuracy(np.array(voice), labels) == expected
        scene = [scene_features(label, num_classes, i) for i, label in enumerate(seen)]
        assert held_out_accuracy(np.array(scene), labels) == expected


def test_a_face_tells_its_class_without_colour_too() -> None:
    labels = np.arange(300) % 6
    features = np.array([face_features(int(label), 6, True, i) for i, label in enumerate(labels)])
    assert held_out_accuracy(features, labels) > 0.7  # chance is 0.17


def test_flow_points_where_the_class_says() -> None:
    for label in range(6):
        x, y = np.mean([mean_flow(label, 6, index) for index in range(5)], axis=0)
        turned = (np.arctan2(y, x) - 2 * np.pi * label / 6 + np.pi) % (2 * np.pi) - np.pi
        assert abs(turned) < 0.35
        assert np.hypot(x, y) == pytest.approx(0.03 * 64, rel=0.4)


def test_landmarks_are_where_the_drawing_has_them() -> None:
    frames, landmarks = face_frames(0, 6, 4, 256, default_rng(3))
    for frame, points in zip(frames, landmarks, strict=True):
        for x, y in points[:2].round().astype(int):  # pupils are the only near-black discs
            patch = frame[y - 2 : y + 3, x - 2 : x + 3]
            np.testing.assert_array_equal(patch, 20)
        ring = frame[int(points[0, 1]), int(points[0, 0]) - 9]
        np.testing.assert_array_equal(ring, 235)  # the white of the eye beside it
    assert np.ptp(landmarks[:, :, 0], axis=0).min() > 1  # the head moves
    right, left = landmarks[0, 0], landmarks[0, 1]
    assert right[0] < left[0]


def test_clips_of_a_class_differ() -> None:
    first, again, other = (default_rng(seed) for seed in (0, 0, 1))
    for draw in (
        lambda random: face_frames(2, 4, 3, 32, random)[0],
        lambda random: scene_frames(2, 4, 3, 32, random),
        lambda random: sound(2, 4, 2000, 8000, random),
    ):
        a, b, c = draw(first), draw(again), draw(other)
        np.testing.assert_array_equal(a, b)
        assert np.mean(a != c) > 0.3


def decoded(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.float64]]:
    """(frames, their seconds, samples in mono) by plain PyAV."""
    with av.open(str(path)) as container:
        frames = [(frame.to_ndarray(format="rgb24"), frame.time) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        samples = [frame.to_ndarray().astype(np.float64).ravel() for frame in container.decode(audio=0)]
    return np.array([f for f, _ in frames]), np.array([t for _, t in frames]), np.concatenate(samples)


@pytest.mark.parametrize("suffix", [".mp4", ".flv", ".avi", ".mpg"])
def test_what_was_encoded_is_what_was_drawn(tmp_path: Path, suffix: str) -> None:
    frames, _ = face_frames(1, 4, 25, 64, default_rng(0))
    tone = (0.3 * np.sin(2 * np.pi * 500 * np.arange(16000) / 16000)).astype(np.float32)
    write_media(tmp_path / f"deep/clip{suffix}", frames, 25, tone, 16000)
    got, seconds, samples = decoded(tmp_path / f"deep/clip{suffix}")
    assert got.shape == frames.shape
    assert np.abs(got.astype(int) - frames).mean() < 12
    np.testing.assert_allclose(np.diff(seconds), 0.04, atol=0.0011)  # .flv counts whole milliseconds
    sample_rate = 22050 if suffix == ".flv" else 16000
    assert len(samples) == pytest.approx(sample_rate, abs=0.1 * sample_rate)
    spectrum = np.abs(np.fft.rfft(samples[1000:-1000] * np.hanning(len(samples) - 2000)))
    assert np.argmax(spectrum) * sample_rate / (len(samples) - 2000) == pytest.approx(500, abs=3)


def test_a_wav_holds_the_wave_itself(tmp_path: Path) -> None:
    wave = sound(0, 3, 4000, 16000, default_rng(0))
    write_media(tmp_path / "a.wav", wave=wave, sample_rate=16000)
    with av.open(str(tmp_path / "a.wav")) as container:
        samples = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    np.testing.assert_allclose(samples / 32768, wave, atol=1 / 32768)


def test_an_image_is_one_frame(tmp_path: Path) -> None:
    frames = scene_frames(1, 4, 1, 64, default_rng(0))
    write_media(tmp_path / "a.png", frames)
    write_media(tmp_path / "a.jpg", frames)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], frames[0])
    assert np.abs(cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1].astype(int) - frames[0]).mean() < 8


@pytest.mark.parametrize("suffix", CODECS)
def test_the_same_clip_is_the_same_bytes_without_date_or_version(tmp_path: Path, suffix: str) -> None:
    frames, _ = face_frames(1, 4, 10, 64, default_rng(0))
    wave = sound(1, 4, 6400, 16000, default_rng(0))
    for name in "ab":
        write_media(tmp_path / f"{name}{suffix}", frames if CODECS[suffix][0] else None, 25, wave, 16000)
    first, second = ((tmp_path / f"{name}{suffix}").read_bytes() for name in "ab")
    assert first == second
    with av.open(str(tmp_path / f"a{suffix}")) as container:
        assert not {"creation_time", "date", "encoder"} & container.metadata.keys()


def test_the_sidecar_has_a_line_a_frame(tmp_path: Path) -> None:
    landmarks = np.arange(20.0).reshape(2, 5, 2)
    write_landmarks(tmp_path / "deep/a.csv", [0, 1 / 3], landmarks)
    rows = list(csv.reader((tmp_path / "deep/a.csv").open(encoding="utf-8")))
    assert ",".join(rows[0]) == (
        "seconds,right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,"
        "mouth_right_x,mouth_right_y,mouth_left_x,mouth_left_y"
    )
    assert [float(value) for value in rows[2]] == [0.333333, *range(10, 20)]
