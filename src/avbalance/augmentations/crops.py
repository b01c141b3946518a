"""Boxes cut out of stored pictures and resized to what encoders see, on the device, a batch at a time."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Size = tuple[int, int]
"""Height and width, in pixels."""


@dataclass
class Boxes:
    """One box a clip.

    Attributes:
        places: [batch, 4], top, left, height and width in pixels of the stored picture.
        mirrored: [batch], true if left and right are exchanged.
    """

    places: NDArray[np.int64]
    mirrored: NDArray[np.bool_]


def fixed(num: int, stored: Size, seen: Size, whole: bool) -> Boxes:
    """Boxes of evaluation: the whole picture, or its middle at the size that is seen."""
    box = (0, 0, *stored) if whole else ((stored[0] - seen[0]) // 2, (stored[1] - seen[1]) // 2, *seen)
    return Boxes(np.tile(np.array(box), (num, 1)), np.zeros(num, dtype=bool))


def cut(pictures: Tensor, boxes: Boxes, seen: Size, vectors: bool) -> Tensor:
    """Cut a box out of every clip's pictures, mirror it and resize it; float32 also under autocast.

    Both axes are resized by one matrix product each, bilinear and smoothed where pixels become fewer, as
    torchvision's `resized_crop` with `antialias`; a box that has the size already is copied.

    Args:
        pictures: [batch, channels, *frames, height, width].
        boxes: In the pictures.
        seen: Height and width of the result.
        vectors: True if the channels are x and y of a motion in pixels, 0 where nothing moves. They are scaled as the
            box is, and mirroring changes the sign of x.

    Returns:
        [batch, channels, *frames, *seen].
    """
    places = torch.from_numpy(boxes.places).to(pictures.device)
    top, left, height, width = places.view(-1, 4, 1, 1).unbind(1)
    mirrored = torch.from_numpy(boxes.mirrored).to(pictures.device).view(-1, 1, 1)
    rows = _weights(top, height, pictures.shape[-2], seen[0])
    columns = _weights(left, width, pictures.shape[-1], seen[1])
    columns = torch.where(mirrored, columns.flip(1), columns)
    planes = pictures.flatten(1, -3)
    resized = planes.new_empty(*planes.shape[:2], *seen)
    # Clip by clip, what lies between stays in a CPU's cache: twice as fast.
    step = 1 if pictures.device.type == "cpu" else len(pictures)
    parts = (values.split(step) for values in (planes, rows.unsqueeze(1), columns, resized))
    with torch.autocast(pictures.device.type, enabled=False):
        for plane, row, column, part in zip(*parts, strict=True):
            narrow = plane.flatten(1, 2) @ column.mT
            part.copy_(row @ narrow.view(*plane.shape[:3], seen[1]))
    resized = resized.view(*pictures.shape[:-2], *seen)
    if vectors:
        scale = torch.cat([seen[1] / width * torch.where(mirrored, -1, 1), seen[0] / height], dim=1)
        resized *= scale.view(-1, 2, *[1] * (resized.dim() - 2))
    return resized


def _weights(start: Tensor, length: Tensor, num_inputs: int, num_outputs: int) -> Tensor:
    """Weights of the pixels of a line in each pixel of the result, [batch, num_outputs, num_inputs], float32."""
    scale = length.double() / num_outputs
    inputs = torch.arange(num_inputs, device=start.device) + 0.5 - start
    outputs = (torch.arange(num_outputs, device=start.device).unsqueeze(1) + 0.5) * scale
    triangle = (1 - (inputs - outputs).abs() / scale.clamp(min=1)).clamp(min=0)
    triangle = triangle * ((inputs > 0) & (inputs < length))
    return (triangle / triangle.sum(dim=2, keepdim=True)).float()
