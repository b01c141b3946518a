"""Log filter-bank energies as Kaldi (Povey et al., ASRU 2011) computes them."""

from typing import Literal

import torch
from torch import Tensor
from torchaudio.compliance.kaldi import get_mel_banks

from avbalance.prepare.views.base import AudioView
from avbalance.prepare.views.log_power import power_of
from avbalance.ranges import Count, NotNegative, Positive, Share


class FilterBank(AudioView):
    """log(max(M |X|^2, 2^-23)): Kaldi's `fbank` without dither, of a whole batch.

        y_n = x_n - mean(x)                        of each window
        z_n = y_n - pre_emphasis y_(n-1)           the first sample is preceded by itself
        X   = DFT of w z, padded behind to the next power of two
        M   = triangles, evenly spaced on the mel scale 1127 ln(1 + f / 700)

    Models trained on AudioSet take 16 kHz, 128 filters, window 400 (25 ms), hop 160 (10 ms), the symmetric Hann
    window: AST (Gong et al., Interspeech 2021), 128 x 998 for 10 s. Their code fills up to 1,024 windows with zeros;
    here a clip has as many as its seconds give. Filters too narrow to hold a frequency, at these settings some of the
    lowest, give a constant, as there.

    Args:
        sample_rate, seconds, fit, normalise: See `AudioView`.
        num_mels: Filters, at least 4.
        window_samples, hop_samples: Length of a window, distance of neighbouring ones; windows lie within the wave.
        window: `hann`, or `povey`: its power 0.85, Kaldi's own.
        pre_emphasis: See above.
        f_min, f_max: Start of the first filter and end of the last one, Hz; by default up to half the sample rate.
    """

    name = "filter_bank"

    def __init__(
        self,
        *,
        sample_rate: Count,
        seconds: Positive,
        num_mels: Count = 128,
        window_samples: Count = 400,
        hop_samples: Count = 160,
        window: Literal["hann", "povey"] = "hann",
        pre_emphasis: Share = 0.97,
        f_min: NotNegative = 20.0,
        f_max: Positive | None = None,
        fit: Literal["tile", "pad", "centre"] = "pad",
        normalise: Literal["clip", "band", "dataset", "none"] = "dataset",
    ) -> None:
        super().__init__(sample_rate, seconds, fit, normalise)
        f_max = sample_rate / 2 if f_max is None else f_max
        self.require("num_mels", num_mels >= 4, "at least 4")
        self.require("window_samples", 2 <= window_samples <= self.num_samples, f"2 to {self.num_samples}, the wave's")
        self.require("hop_samples", hop_samples >= 1, "at least 1")
        self.require("window", window in ("hann", "povey"), "hann or povey")
        self.require("pre_emphasis", 0 <= pre_emphasis <= 1, "0 to 1")
        self.require("f_max", 0 <= f_min < f_max <= sample_rate / 2, f"above f_min and at most {sample_rate / 2:g} Hz")
        self.window_samples, self.hop_samples, self.pre_emphasis = window_samples, hop_samples, pre_emphasis
        self.fft_samples = 1 << (window_samples - 1).bit_length()
        hann = torch.hann_window(window_samples, periodic=False, dtype=torch.float64)
        self._window = hann if window == "hann" else hann**0.85
        # The last three: no warping of the vocal tract. The bank ends below half the sample rate.
        filters, _ = get_mel_banks(num_mels, self.fft_samples, float(sample_rate), f_min, f_max, 100.0, -500.0, 1.0)
        self._filters = torch.nn.functional.pad(filters, (0, 1))
        self.shape = (num_mels, 1 + (self.num_samples - window_samples) // hop_samples)

    def transform(self, waves: Tensor) -> Tensor:
        """[clips, num_samples] -> [clips, num_mels, windows], both ascending, natural logarithm."""
        x = waves.unfold(-1, self.window_samples, self.hop_samples)
        y = x - x.mean(dim=-1, keepdim=True)
        z = y - self.pre_emphasis * torch.cat([y[..., :1], y[..., :-1]], dim=-1)
        power = power_of(z * self._window.to(waves), self.fft_samples)
        energies = self._filters.to(waves) @ power.mT
        return torch.log(energies.clamp(min=torch.finfo(torch.float32).eps))
