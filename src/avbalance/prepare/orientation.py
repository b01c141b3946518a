"""Rotate and mirror stored pictures so that they are upright, as viewers show them."""

from fractions import Fraction
from typing import Any

import av.filter
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

EXIF = 31  # AV_FRAME_DATA_EXIF


def display_matrix(frame: VideoFrame) -> NDArray[np.int32]:
    """Return the linear part of a frame's display matrix, from its container or its Exif tag.

    Returns:
        [2, 2]; maps (x, y) of a stored pixel to (x, y) of the upright picture, up to scale and shift.
    """
    try:
        side_data = frame.side_data
    except ValueError:  # PyAV names no Exif among the side data and refuses all of them
        side_data = _without_exif(frame).side_data
    found: Any = side_data.get("DISPLAYMATRIX")
    return np.eye(2, dtype=np.int32) if found is None else np.frombuffer(found, dtype=np.int32).reshape(3, 3)[:2, :2]


def _without_exif(frame: VideoFrame) -> VideoFrame:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1)
    )
    graph.link_nodes(source, graph.add("sidedata", f"mode=delete:type={EXIF}"), graph.add("buffersink")).configure()
    graph.push(frame)
    rest = graph.pull()
    assert isinstance(rest, VideoFrame)
    return rest


def upright(image: NDArray[np.uint8], matrix: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Transpose and mirror a stored picture [height, width, 3] according to the matrix."""
    (xx, xy), (yx, yy) = matrix.tolist()
    if abs(xy) > abs(xx):  # what lies to the right is shown below
        image, xx, yy = image.swapaxes(0, 1), yx, xy
    return image[:: -1 if yy < 0 else 1, :: -1 if xx < 0 else 1]
