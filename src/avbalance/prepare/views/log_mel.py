"""Logarithms of mel spectra."""

import warnings
from typing import Literal

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from avbalance.prepare.views.log_power import LogPower
from avbalance.ranges import Count, NotNegative, Positive, Share


class LogMel(LogPower):
    """log(M S + floor): `LogPower` with triangular filters M, evenly spaced on the mel scale.

    Published recipes, the latter as the code of MMCosine (Xu et al., ICASSP 2023) has it:

        G-Blend (Wang et al., CVPR 2020)    "100 temporal frames by 40 Mel filters", no further details; ours:
                                            16 kHz, 1.015 s, window 400, hop 160, fft 512     40 x 100
        MMCosine, VoxCeleb                  16 kHz, 2.015 s, window 400, hop 160, fft 512, hamming, pre_emphasis
                                            0.97, padding reflect, floor 1e-6, fit tile, normalise band
                                                                                              40 x 202

    Args:
        sample_rate, seconds, fit, normalise: See `AudioView`.
        num_mels: Filters.
        window_samples, hop_samples, fft_samples, window, spectrum, padding, floor: See `LogPower`.
        f_min, f_max: Start of the first filter and end of the last one, Hz; by default up to half the sample rate.
        mel_scale: `htk`: 2595 log10(1 + f / 700); `slaney`: linear up to 1 kHz, logarithmic above.
        filter_norm: `none`: filters have height 1; `slaney`: area 1.
        pre_emphasis: x_n becomes x_n - pre_emphasis x_(n-1), over the whole wave; the first sample is
            preceded by the second one.
    """

    name = "log_mel"

    def __init__(
        self,
        *,
        sample_rate: Count,
        seconds: Positive,
        num_mels: Count,
        window_samples: Count,
        hop_samples: Count,
        fft_samples: Count | None = None,
        window: Literal["hann", "hamming", "tukey"] = "hann",
        spectrum: Literal["power", "magnitude", "density"] = "power",
        padding: Literal["none", "zeros", "reflect"] = "none",
        floor: Positive = 1e-6,
        f_min: NotNegative = 0.0,
        f_max: Positive | None = None,
        mel_scale: Literal["htk", "slaney"] = "htk",
        filter_norm: Literal["none", "slaney"] = "none",
        pre_emphasis: Share = 0.0,
        fit: Literal["tile", "pad", "centre"] = "pad",
        normalise: Literal["clip", "band", "dataset", "none"] = "clip",
    ) -> None:
        super().__init__(
            sample_rate=sample_rate,
            seconds=seconds,
            window_samples=window_samples,
            hop_samples=hop_samples,
            fft_samples=fft_samples,
            window=window,
            spectrum=spectrum,
            padding=padding,
            floor=floor,
            fit=fit,
            normalise=normalise,
        )
        f_max = sample_rate / 2 if f_max is None else f_max
        self.require("num_mels", num_mels >= 1, "at least 1")
        self.require("f_max", 0 <= f_min < f_max <= sample_rate / 2, f"above f_min and at most {sample_rate / 2:g} Hz")
        self.require("mel_scale", mel_scale in ("htk", "slaney"), "htk or slaney")
        self.require("filter_norm", filter_norm in ("none", "slaney"), "none or slaney")
        self.require("pre_emphasis", 0 <= pre_emphasis <= 1, "0 to 1")
        self.pre_emphasis = pre_emphasis
        num_frequencies, num_windows = self.shape
        norm = None if filter_norm == "none" else filter_norm
        with warnings.catch_warnings(action="ignore"):  # of empty filters: an error here
            filters = melscale_fbanks(num_frequencies, f_min, f_max, num_mels, sample_rate, norm, mel_scale)
        empty = int((filters.amax(dim=0) == 0).sum())
        self.require(
            "num_mels",
            empty == 0,
            f"such that every filter holds a frequency; {empty} of {num_mels} hold none at fft_samples "
            f"{self.fft_samples}: fewer filters or a longer transform",
        )
        self._filters = filters.T.contiguous()
        self.shape = (num_mels, num_windows)

    def spectrum(self, waves: Tensor) -> Tensor:
        """M S of [clips, num_samples] -> [clips, num_mels, windows]."""
        if self.pre_emphasis:
            waves = waves - self.pre_emphasis * torch.cat([waves[:, 1:2], waves[:, :-1]], dim=1)
        return torch.matmul(self._filters.to(waves), super().spectrum(waves))
