"""Faces whose landmarks are known, as in generated data."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbalance.data.clips import ClipError
from avbalance.prepare.detectors.base import Detector, Face
from avbalance.prepare.pictures import Pictures

HEADER = ["seconds"] + [
    f"{point}_{axis}" for point in ("right_eye", "left_eye", "nose", "mouth_right", "mouth_left") for axis in "xy"
]
TOLERANCE_SECONDS = 0.01  # half the interval of frames at 50 a second
LIMIT = 1e6  # pixels or seconds


class Given(Detector):
    """Landmarks from a file beside the media.

    A CSV with the header

        seconds,right_eye_x,right_eye_y,left_eye_x,left_eye_y,nose_x,nose_y,mouth_right_x,mouth_right_y,mouth_left_x,
        mouth_left_y

    in one line, and a line for every frame with a face: when the frame is first shown, ascending, and x and y in
    pixels of the upright frame. A frame has the face of the line nearest in time, at most 10 ms away. The face's box
    is the landmarks' rectangle, twice as wide and as high, about what detectors give.
    """

    def __init__(self, weights: Path | None, device: str = "cpu") -> None:
        del weights, device

    def detect(self, pictures: Pictures) -> list[list[Face]]:
        """Return the face of every frame, if it has one.

        Raises:
            ClipError: The file of landmarks does not exist or is malformed.
        """
        if pictures.landmarks is None:
            raise ClipError("no file of landmarks")
        seconds, points = read_landmarks(pictures.landmarks)
        found = []
        for moment in pictures.seconds:
            distance = np.abs(seconds - moment)
            nearest = distance.argsort()[:1]
            found.append([_face(points[i]) for i in nearest if distance[i] <= TOLERANCE_SECONDS])
        return found


def read_landmarks(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return times [n] in seconds and landmarks [n, 5, 2] in pixels.

    Raises:
        ClipError: The file does not exist or is malformed; the message names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ClipError(f"{path.name}: cannot be read ({error})") from error
    if header != HEADER:
        raise ClipError(f"{path.name}: line 1 is {','.join(header)!r} instead of {','.join(HEADER)!r}")
    values = np.empty((len(lines), len(HEADER)))
    for i, line in enumerate(lines):
        try:
            values[i] = [float(value) for value in line]
        except ValueError as error:
            raise ClipError(f"{path.name}: line {i + 2}: {len(HEADER)} numbers are needed") from error
        if not (np.abs(values[i]) < LIMIT).all():
            raise ClipError(f"{path.name}: line {i + 2}: a number is not finite or far too large")
        if i > 0 and values[i, 0] <= values[i - 1, 0]:
            raise ClipError(f"{path.name}: line {i + 2}: the seconds do not ascend")
        if np.ptp(values[i, 1:].reshape(5, 2), axis=0).max() < 1:
            raise ClipError(f"{path.name}: line {i + 2}: the landmarks are less than a pixel apart")
    return values[:, 0], values[:, 1:].reshape(-1, 5, 2)


def _face(landmarks: NDArray[np.float64]) -> Face:
    corner, size = landmarks.min(axis=0), np.ptp(landmarks, axis=0)
    x, y = corner - size / 2
    return Face((x, y, 2 * size[0], 2 * size[1]), landmarks, 1.0)
