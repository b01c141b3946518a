"""From stored arrays to what encoders see: standardised, and cut to the size that they read."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.augmentations.crops import Boxes, Size, cut, fixed

Draw = Callable[[NDArray[np.int64], Size, Size], Boxes]
"""Function that draws the boxes to cut from clips' pictures, given their places, the size stored and the size seen."""


class Seen:
    """Turn stored clips into input of encoders, on their device.

    Args:
        described: {modality: its entry in dataset.json}.
        device: Device of the clips.
    """

    def __init__(self, described: Mapping[str, Mapping[str, Any]], device: torch.device) -> None:
        self._standardise = {
            name: [torch.tensor(entry[what], device=device) for what in ("mean", "std")]
            for name, entry in described.items()
            if "mean" in entry
        }
        self._pictures = {name: entry for name, entry in described.items() if "pictures" in entry}

    def __call__(
        self, inputs: dict[str, Tensor], index: NDArray[np.int64], draw: Draw | None = None
    ) -> dict[str, Tensor]:
        """{modality: [batch, *stored shape]}, float32, which may be changed in place -> {modality: [batch, *shape]}.

        Args:
            inputs: The clips.
            index: [batch], their places.
            draw: Function that draws boxes; None for the boxes of evaluation.
        """
        seen = dict(inputs)
        for name, (mean, std) in self._standardise.items():
            shape = (-1, *[1] * (seen[name].dim() - 2))  # one number for each channel
            seen[name] = seen[name].sub_(mean.view(shape)).div_(std.view(shape))
        for name, described in self._pictures.items():
            stored, size = (seen[name].shape[-2], seen[name].shape[-1]), tuple(described["shape"][-2:])
            if draw is not None:
                boxes = draw(index, stored, size)
            elif stored != size:
                boxes = fixed(len(index), stored, size, described["pictures"]["whole"])
            else:
                continue
            seen[name] = cut(seen[name], boxes, size, described["pictures"]["vectors"])
        return seen
