"""Waveform without any transform."""

from typing import Literal

from torch import Tensor

from avbalance.prepare.views.base import AudioView
from avbalance.ranges import Count, Positive


class Waveform(AudioView):
    """The samples of a clip.

    float16 holds samples of 16 bits exactly up to 1/16 of full scale; louder ones are rounded to 11 binary digits.

    Args:
        sample_rate, seconds, fit, normalise: See `AudioView`.
    """

    name = "waveform"

    def __init__(
        self,
        *,
        sample_rate: Count,
        seconds: Positive,
        fit: Literal["tile", "pad", "centre"] = "pad",
        normalise: Literal["clip", "dataset", "none"] = "none",
    ) -> None:
        super().__init__(sample_rate, seconds, fit, normalise)
        self.require("normalise", normalise in ("clip", "dataset", "none"), "clip, dataset or none")
        self.shape = (self.num_samples,)

    def transform(self, waves: Tensor) -> Tensor:
        """Return the waves, [clips, num_samples], unchanged."""
        return waves
