"""Interface of views, which turn one modality of a clip into an array."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.data.clips import ClipError
from avbalance.errors import UserError
from avbalance.prepare.pictures import Pictures

TOLERANCE_SECONDS = 0.1
"""Largest difference between the length of a sound and the configured one that is not reported."""
SILENCE = 2.0**-15
"""One step of 16 bits: what stays below it is silent, what varies by less is constant."""
CLIPPED_SHARE = 0.01
"""Share of samples beyond [-1, 1] that resampling may leave before clipping them is a repair."""
SHORTER = {"tile": "repeated", "pad": "filled with silence", "centre": "filled with silence"}
NORMALISE = ("clip", "band", "dataset", "none")


@dataclass
class Rendered:
    """Array of one clip.

    Attributes:
        array: [*shape] of the view's dtype.
        repairs: Repairs, one short sentence each, for the report.
    """

    array: NDArray[np.uint8]
    repairs: list[str] = field(default_factory=list)


class VisualView:
    """A view of a clip's pictures; options are the constructor's keywords.

    Attributes:
        medium: What the view shows.
        shape: (channels, frames, height, width) as an encoder sees a clip; without `frames` where there is one.
        stored: Height and width of the stored array, uint8; larger than `shape` if training cuts from it.
        whole: Whether evaluation uses the whole stored picture, resized, instead of its middle.
        vectors: Whether the channels are x and y of motions instead of colours.
        mean, std: Mean and deviation of each channel; a batch is standardised on the device as (x - mean) / std.
    """

    medium: ClassVar[str] = "visual"
    shape: tuple[int, ...]
    stored: tuple[int, int]
    whole: bool = False
    vectors: ClassVar[bool] = False
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of a clip's stored array."""
        return (*self.shape[:-2], *self.stored)

    def choose(self, seconds: NDArray[np.float64], start: float, end: float) -> NDArray[np.float64]:
        """Return the presentation times of the frames that the view needs.

        Args:
            seconds: [n], ascending, presentation times of the file's frames; n >= 1.
            start, end: The clip, in seconds.

        Returns:
            [k], entries of `seconds` in the order in which `render` takes them; repeats are allowed.
        """
        raise NotImplementedError

    def render(self, pictures: Pictures) -> Rendered:
        """Return the clip's array, given exactly the chosen frames in that order.

        Raises:
            ClipError: The clip cannot be used, such as a clip without a face in any frame.
        """
        raise NotImplementedError


class AudioView:
    """A view of a clip's sound; options are the constructor's keywords.

    Samples lie in [-1, 1], louder ones are clipped as published recipes do. So every value of every view is finite and
    well within float16: a sample at most 1, a logarithm (see `LogPower`) a few tens, and a value of a clip of n values
    that has mean 0 and deviation 1 is at most sqrt(n - 1). float16 keeps 11 binary digits: it moves a logarithm
    between 8 and 16 by at most 0.004, one between 16 and 32 by 0.008.

    Args:
        sample_rate: Sample rate of the waves that `render` takes, Hz.
        seconds: Length of these waves.
        fit: Treatment of a wave of another length. `tile`: a shorter one is repeated; `pad`: silence follows it.
            Of a longer one both keep the start. `centre`: silence before and after, and the middle of a longer one.
        normalise: `clip`: each clip has mean 0 and deviation 1; `band`: each frequency of a clip has; `dataset`: the
            training split's mean and deviation are applied when a batch is made; `none`. A constant becomes 0.

    Attributes:
        medium: What the view shows.
        name: Name in the registry, for messages.
        num_samples: Length of the waves that `render` takes.
        shape: Shape of a clip, float16.
    """

    medium: ClassVar[str] = "audio"
    name: ClassVar[str]
    shape: tuple[int, ...]

    def __init__(self, sample_rate: int, seconds: float, fit: str, normalise: str) -> None:
        self.require("sample_rate", sample_rate >= 1, "at least 1 Hz")
        self.require("seconds", 1 / sample_rate <= seconds <= 3600, "long enough for a sample and at most 3600")
        self.require("fit", fit in SHORTER, " or ".join(SHORTER))
        self.require("normalise", normalise in NORMALISE, " or ".join(NORMALISE))
        self.sample_rate, self.seconds, self.normalise, self._fit = sample_rate, seconds, normalise, fit
        self.num_samples = round(seconds * sample_rate)

    def require(self, option: str, holds: bool, allowed: str) -> None:
        """Raise UserError, in one line, unless the condition holds."""
        if not holds:
            raise UserError(f"{self.name}.{option} must be {allowed}")

    def fit(self, wave: NDArray[np.float32]) -> tuple[NDArray[np.float32], list[str]]:
        """A wave [samples], at least one, brought to [num_samples] and [-1, 1], and the repairs that this took.

        Repairs are a length that is wrong by more than 0.1 s, silence (no sample reaches one step of 16 bits), and
        more than 1 % of the samples clipped.

        Raises:
            ClipError: A sample is not finite.
        """
        if not np.isfinite(wave).all():
            raise ClipError("the sound has samples that are not finite")
        repairs = []
        excess = len(wave) - self.num_samples
        if abs(excess) > TOLERANCE_SECONDS * self.sample_rate:
            how = "cut" if excess > 0 else SHORTER[self._fit]
            repairs.append(f"{len(wave) / self.sample_rate:.2f} s of sound {how} to {self.seconds:.2f} s")
        if self._fit == "tile":
            fitted = np.resize(wave, self.num_samples)
        else:
            start, before = (max(excess, 0) // 2, max(-excess, 0) // 2) if self._fit == "centre" else (0, 0)
            kept = wave[start : start + self.num_samples]
            fitted = np.pad(kept, (before, self.num_samples - len(kept) - before))
        if np.abs(fitted).max() < SILENCE:
            repairs.append("silent")
        if (share := float(np.mean(np.abs(fitted) > 1))) > CLIPPED_SHARE:
            repairs.append(f"{share:.0%} of the samples clipped")
        return fitted.clip(-1, 1), repairs

    def render(self, waves: Tensor) -> Tensor:
        """[clips, num_samples], float32 -> [clips, *shape], float32.

        Computed in float64: in float32 the last bits differ from machine to machine, and after them one in some
        hundred values as float16.
        """
        shown = waves.new_empty(len(waves), *self.shape)
        for part, place in zip(
            waves.split(1), shown.split(1), strict=True
        ):  # clip by clip, for the cache: twice as fast
            place.copy_(self._normalised(self.transform(part.double())).float())
        return shown

    def transform(self, waves: Tensor) -> Tensor:
        """Return the values of `render` before `normalise`; float64 to float64."""
        raise NotImplementedError

    def _normalised(self, values: Tensor) -> Tensor:
        if self.normalise not in ("clip", "band"):
            return values
        axes = tuple(range(1, values.dim())) if self.normalise == "clip" else (-1,)
        mean = values.mean(dim=axes, keepdim=True)
        centred = values - mean
        deviation = torch.linalg.vector_norm(centred, dim=axes, keepdim=True) / (values.numel() / mean.numel()) ** 0.5
        # Rounding leaves a constant some deviation; dividing by that would make noise of it.
        return centred.mul_(torch.where(deviation > SILENCE, 1 / deviation, 0))
