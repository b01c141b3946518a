"""Dense optical flow from frames to the ones that follow."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.base import Rendered, VisualView
from avbalance.prepare.views.frames import check_counts, choose_frames, fit, gray, stored_size
from avbalance.ranges import Count, Positive

# Those of the authors' data layer for R(2+1)D: caffe2/video/optical_flow.cc in github.com/pytorch/pytorch.
FARNEBACK = {
    "pyr_scale": 0.5**0.5,
    "levels": 5,
    "winsize": 10,
    "iterations": 2,
    "poly_n": 7,
    "poly_sigma": 1.5,
    "flags": cv2.OPTFLOW_FARNEBACK_GAUSSIAN,
}
SMALLEST_FOR_DIS = 12  # pixels; OpenCV refuses less


class Flow(VisualView):
    """Motion of every pixel to the next frame.

    The flow of Farnebäck, SCIA 2003, as in R(2+1)D (Tran et al., CVPR 2018), or dense inverse search (Kroeger et al.,
    ECCV 2016), which is several times as fast. Both are found between gray squares as in `Frames`. A flow (x to the
    right, y down), in pixels of the square for one step of the file's frames, is stored as

        round(clip(flow, -bound, bound) * 127 / bound) + 128

    and `mean` and `std` bring it to [-1, 1], as in Carreira & Zisserman, CVPR 2017, whose bound is 20.

    Departs from R(2+1)D: for Farnebäck's flow the squares are continued beyond their borders. Otherwise OpenCV
    takes the borders for motion, of up to 68 pixels in still frames of 224.

    Args:
        size: Height and width that encoders see, in pixels, >= 1; >= 12 for `dis`.
        stored: Height and width of the squares between which flow is found, >= `size`; None for `size`.
        num_frames: Number of flows, >= 1, from the frames in the middle of equal parts of the clip.
        method: Algorithm.
        bound: Largest motion that can be stored, > 0, in pixels.
    """

    mean, std = (128.0, 128.0), (127.0, 127.0)
    vectors = True

    def __init__(
        self,
        *,
        size: Count,
        stored: Count | None = None,
        num_frames: Count = 1,
        method: Literal["farneback", "dis"] = "farneback",
        bound: Positive = 20.0,
    ) -> None:
        check_counts("flow", size, num_frames)
        if method == "dis" and size < SMALLEST_FOR_DIS:
            raise UserError(f"flow.size is {size}; allowed with method dis: {SMALLEST_FOR_DIS} or more")
        if not bound > 0:
            raise UserError(f"flow.bound is {bound}; allowed: more than 0")
        self.stored = stored_size("flow", size, stored)
        self.num_frames, self.bound = num_frames, bound
        self.dis = cv2.DISOpticalFlow.create(cv2.DISOpticalFlow_PRESET_MEDIUM) if method == "dis" else None
        self.shape = (2, *([num_frames] if num_frames > 1 else []), size, size)

    def choose(self, seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
        """Return pairs of a frame and the next one; for the last frame, the previous one and itself."""
        chosen = np.searchsorted(seconds, choose_frames(seconds, start, end, self.num_frames, None))
        first = np.minimum(chosen, max(len(seconds) - 2, 0))
        second = np.minimum(first + 1, len(seconds) - 1)
        pairs: NDArray[np.float64] = seconds[np.stack([first, second], axis=1).ravel()]
        return pairs

    def render(self, pictures: Pictures) -> Rendered:
        """Return the flow of each pair; zero, with a repair, if the file has only one frame."""
        squares = [gray(fit(frame, *self.stored)) for frame in pictures.frames]
        flows = [self._flow(*pair) for pair in zip(squares[::2], squares[1::2], strict=True)]
        scaled = np.clip(np.stack(flows), -self.bound, self.bound) * (127 / self.bound)
        array = (np.rint(scaled) + 128).astype(np.uint8).transpose(3, 0, 1, 2).reshape(self.stored_shape)
        still = int((pictures.seconds[::2] == pictures.seconds[1::2]).sum())
        repairs = [f"{still} of {self.num_frames} flows are zero: there is one frame only"] if still else []
        return Rendered(np.ascontiguousarray(array), repairs)

    def _flow(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
        """[*stored, 2], in pixels."""
        flow = np.zeros((*self.stored, 2), dtype=np.float32)
        if self.dis is not None:
            return np.asarray(self.dis.calc(before, after, flow), dtype=np.float32)
        rim = max(16, self.stored[0] // 4)
        wide = [cv2.copyMakeBorder(image, rim, rim, rim, rim, cv2.BORDER_REPLICATE) for image in (before, after)]
        flow = np.pad(flow, ((rim, rim), (rim, rim), (0, 0)))
        flow = np.asarray(cv2.calcOpticalFlowFarneback(wide[0], wide[1], flow, **FARNEBACK), dtype=np.float32)
        return flow[rim:-rim, rim:-rim]
