"""Logarithms of short-time Fourier spectra."""

from typing import Literal

import torch
from torch import Tensor

from avbalance.prepare.views.base import AudioView
from avbalance.ranges import Count, Positive

WINDOWS = ("hann", "hamming", "tukey")
SPECTRA = ("power", "magnitude", "density")
PADDING = ("none", "zeros", "reflect")


class LogPower(AudioView):
    """log(S + floor), where S is the spectrum of windows of the wave.

        X_tk = sum_n w_n x_(t hop + n) e^(-2 pi i k n / fft)      window t, frequency k sample_rate / fft
        S    = |X|^2      power
             = |X|        magnitude
             = |X|^2 of windows less their own mean, times 2 / (sample_rate sum_n w_n^2), without the 2 at the
               first and, if fft is even, the last frequency      density: what scipy.signal.spectrogram gives

    Published recipes, as their authors' code has them, of MMCosine (Xu et al., ICASSP 2023), OGM-GE (Peng et al., CVPR
    2022) and TBN (Kazakos et al., ICCV 2019):

        MMCosine, CREMA-D     16 kHz, 3 s, window 512, hop 159, tukey, density               257 x 299
        OGM-GE, CREMA-D       22.05 kHz, 3 s, window 512, hop 353, magnitude, padding (reflect; zeros since librosa
                              0.10), normalise none                                          257 x 188
        TBN, EPIC-Kitchens    24 kHz, 1.279 s, window 240, hop 120, fft 511, padding zeros, floor 1e-6, fit centre,
                              normalise none                                                 256 x 256

    Args:
        sample_rate, seconds, fit, normalise: See `AudioView`.
        window_samples, hop_samples: Length of a window, distance of neighbouring ones.
        fft_samples: Length of the Fourier transform, at least that of the window, which is padded with zeros; by
            default the same.
        window: `hann`, `hamming` or `tukey` (tapered over a quarter of its length), periodic.
        spectrum: `power`, `magnitude` or `density`.
        padding: `none`: windows lie within the wave, 1 + (samples - window) // hop of them. Else half a window of
            `zeros` or of the reflected wave on either side: window t is centred on sample t hop.
        floor: Added to S, so that digital silence has a logarithm.
    """

    name = "log_power"

    def __init__(
        self,
        *,
        sample_rate: Count,
        seconds: Positive,
        window_samples: Count,
        hop_samples: Count,
        fft_samples: Count | None = None,
        window: Literal["hann", "hamming", "tukey"] = "hann",
        spectrum: Literal["power", "magnitude", "density"] = "power",
        padding: Literal["none", "zeros", "reflect"] = "none",
        floor: Positive = 1e-7,
        fit: Literal["tile", "pad", "centre"] = "tile",
        normalise: Literal["clip", "band", "dataset", "none"] = "clip",
    ) -> None:
        super().__init__(sample_rate, seconds, fit, normalise)
        self.require("window_samples", 2 <= window_samples <= self.num_samples, f"2 to {self.num_samples}, the wave's")
        self.require("hop_samples", hop_samples >= 1, "at least 1")
        self.fft_samples = window_samples if fft_samples is None else fft_samples
        self.require("fft_samples", self.fft_samples >= window_samples, f"at least window_samples, {window_samples}")
        self.require("window", window in WINDOWS, " or ".join(WINDOWS))
        self.require("spectrum", spectrum in SPECTRA, " or ".join(SPECTRA))
        self.require("padding", padding in PADDING, " or ".join(PADDING))
        self.require("floor", 1e-30 <= floor <= 1, "1e-30 to 1")
        self.window_samples, self.hop_samples, self.floor = window_samples, hop_samples, floor
        self._spectrum, self._padding = spectrum, padding
        self._half = 0 if padding == "none" else window_samples // 2
        self._window = window_of(window, window_samples)
        if spectrum == "density":
            self._window *= (2 / (sample_rate * self._window.square().sum())) ** 0.5
        num_windows = 1 + (self.num_samples + 2 * self._half - window_samples) // hop_samples
        self.shape = (self.fft_samples // 2 + 1, num_windows)

    def spectrum(self, waves: Tensor) -> Tensor:
        """S of [clips, num_samples] -> [clips, fft_samples // 2 + 1, windows]."""
        if self._half:
            mode = "reflect" if self._padding == "reflect" else "constant"
            waves = torch.nn.functional.pad(waves, (self._half, self._half), mode)
        windows = waves.unfold(-1, self.window_samples, self.hop_samples)
        if self._spectrum == "density":
            windows = windows - windows.mean(dim=-1, keepdim=True)
        power = power_of(windows * self._window.to(waves), self.fft_samples)
        if self._spectrum == "magnitude":
            power = power.sqrt()
        elif self._spectrum == "density":
            power[..., 0] /= 2
            if self.fft_samples % 2 == 0:
                power[..., -1] /= 2
        return power.mT

    def transform(self, waves: Tensor) -> Tensor:
        """[clips, num_samples] -> [clips, frequencies, windows], both ascending, natural logarithm."""
        return self.spectrum(waves).add_(self.floor).log_()


def window_of(name: str, num_samples: int) -> Tensor:
    """A periodic window, [num_samples], float64."""
    if name == "tukey":
        # Tapered like a Hann window of a quarter of the length, symmetric over num_samples + 1.
        distance = torch.arange(num_samples, dtype=torch.float64)
        distance = torch.minimum(distance, num_samples - distance) / (num_samples / 8)
        return 0.5 - 0.5 * torch.cos(torch.pi * distance.clamp(max=1))
    make = torch.hann_window if name == "hann" else torch.hamming_window
    return make(num_samples, dtype=torch.float64)


def power_of(windows: Tensor, fft_samples: int) -> Tensor:
    """|X|^2 of windows [..., window], [..., fft_samples // 2 + 1]."""
    squares = torch.view_as_real(torch.fft.rfft(windows, n=fft_samples)).square_()
    return squares[..., 0] + squares[..., 1]  # summing over so short an axis is six times as slow
