"""Crops of one face per clip, upright and always in the same place."""

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from avbalance.data.clips import ClipError
from avbalance.errors import UserError
from avbalance.prepare.detectors.base import Detector, Face
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views import frames
from avbalance.prepare.views.base import Rendered, VisualView
from avbalance.ranges import Count, NotNegative, Odd, Positive

# Right eye, left eye, nose, right and left corner of the mouth in 112 x 112 pixels: the template of ArcFace (Deng et
# al., CVPR 2019) as insightface publishes it.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
TEMPLATE_SIDE = 112


class Faces(VisualView):
    """Aligned faces.

    The largest face of the first frame that has any is followed through the clip (`follow`); a frame without it takes
    the landmarks of the nearest earlier frame, at the start of the next one. Five landmarks are brought to the
    template of ArcFace (Deng et al., CVPR 2019) by a similarity transform, so that turning, scaling or shifting the
    picture changes nothing (`align`).

    Args:
        detector: Detector of faces; in a configuration {name: options}.
        size: Height and width of a crop.
        num_frames, fps: Choice of frames, as in `Frames`.
        gray: One channel instead of three.
        margin: Margin around the template on each side, as a share of the template's side.
        smoothing: Number of frames over which landmarks are averaged. Detections jitter: those of YuNet by 3 % of the
            distance between the eyes.
        store: As in `Frames`.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        size: Count = 224,
        num_frames: Count = 1,
        fps: Positive | None = None,
        gray: bool = False,
        margin: NotNegative = 0.0,
        smoothing: Odd = 1,
        store: Literal["array", "jpeg"] = "array",
    ) -> None:
        frames.check_counts("faces", size, num_frames)
        if fps is not None and fps <= 0:
            raise UserError(f"faces.fps is {fps}; allowed: more than 0")
        if margin < 0:
            raise UserError(f"faces.margin is {margin}; allowed: 0 or more")
        if smoothing < 1 or smoothing % 2 == 0:
            raise UserError(f"faces.smoothing is {smoothing}; allowed: odd numbers of frames")
        self.stored, self.num_frames, self.fps, self.gray = (size, size), num_frames, fps, gray
        self.margin, self.smoothing, self.store = margin, smoothing, store
        self.detector = detector
        self.mean, self.std = (frames.MEAN_GRAY, frames.STD_GRAY) if gray else (frames.MEAN_RGB, frames.STD_RGB)
        self.shape = (len(self.mean), *([num_frames] if num_frames > 1 else []), size, size)

    def choose(self, seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
        """Return the presentation times of the frames that the view needs."""
        return frames.choose_frames(seconds, start, end, self.num_frames, self.fps)

    def render(self, pictures: Pictures) -> Rendered:
        """Return the crops of the clip.

        Raises:
            ClipError: No frame has a face.
        """
        followed = follow(self.detector.detect(pictures))
        found = {i: face.landmarks for i, face in enumerate(followed) if face is not None}
        if not found:
            raise ClipError(f"no face in any of {len(followed)} frames")
        repairs = frames.describe_repeats(pictures.seconds)
        if len(found) < len(followed):
            missing = len(followed) - len(found)
            repairs.append(f"face not found in {missing} of {len(followed)} frames, carried over")
        last = next(iter(found.values()))
        landmarks = np.stack([last := found.get(i, last) for i in range(len(followed))])
        landmarks = uniform_filter1d(landmarks, self.smoothing, axis=0, mode="nearest")
        crops = []
        for frame, points in zip(pictures.frames, landmarks, strict=True):
            crop = align(frame, points, self.stored[0], self.margin)
            crops.append(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[:, :, None] if self.gray else crop)
        array = np.stack(crops).transpose(3, 0, 1, 2).reshape(self.shape)
        return Rendered(np.ascontiguousarray(array), repairs)


def follow(detected: list[list[Face]]) -> list[Face | None]:
    """Return one person's face in every frame, None for frames without it.

    It begins with the largest box of the first frame that has any; of equals, the leftmost, then the topmost. From
    then on it is the face whose landmarks lie nearest to those last found, on average, if they are no further than
    the longer side of the last box: another person in the picture does not take over.
    """
    followed: list[Face | None] = []
    last: Face | None = None
    for faces in detected:
        found = _largest(faces) if last is None else _nearest(faces, last)
        followed.append(found)
        last = found or last
    return followed


def _largest(faces: list[Face]) -> Face | None:
    return min(faces, key=lambda face: (-face.box[2] * face.box[3], *face.box[:2]), default=None)


def _nearest(faces: list[Face], last: Face) -> Face | None:
    def distance(face: Face) -> float:
        return float(np.linalg.norm(face.landmarks - last.landmarks, axis=1).mean())

    within_reach = [face for face in faces if distance(face) <= max(last.box[2:])]
    return min(within_reach, key=lambda face: (distance(face), *face.box[:2]), default=None)


def align(frame: NDArray[np.uint8], landmarks: NDArray[np.float64], size: int, margin: float) -> NDArray[np.uint8]:
    """Return the face [size, size, 3] with its landmarks at the template.

    Bilinear; a face that would shrink to less than half is first halved with a smoothing filter. Beyond the border
    of the frame its outermost pixels are repeated.
    """
    target = (TEMPLATE / TEMPLATE_SIDE + margin) / (1 + 2 * margin) * size
    matrix = similarity(landmarks, target)
    pixels: NDArray[Any] = frame
    while np.hypot(*matrix[:, 0]) < 0.5:
        pixels, matrix = cv2.pyrDown(pixels), matrix * (2, 2, 1)
    crop = cv2.warpAffine(pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def similarity(points: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation, scale and shift [2, 3] that bring points [n, 2] nearest to the target, in least squares.

    Closed form (Umeyama, PAMI 1991), which in the plane is one complex line: a z + b = w with
    a = sum conj(z - mean z) (w - mean w) / sum |z - mean z|^2. OpenCV's estimateAffinePartial2D draws samples and
    leaves points out.
    """
    z, w = (pair @ np.array([1, 1j]) for pair in (points, target))
    deviation = z - z.mean()
    a = np.vdot(deviation, w - w.mean()) / np.vdot(deviation, deviation).real
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
