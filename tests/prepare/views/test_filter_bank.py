from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import wavfile
from torch import Tensor
from torchaudio.compliance.kaldi import fbank

from avbalance.errors import UserError
from avbalance.prepare.views.filter_bank import FilterBank


def one_by_one(waves: Tensor, **options: Any) -> Tensor:  # noqa: ANN401
    """Kaldi's filter bank as torchaudio computes it, clip by clip: [clips, num_mels, windows].

    In float64; its float32 is up to 5e-4 off where a filter holds next to nothing.
    """
    return torch.stack([fbank(wave[None].double(), dither=0.0, **options).T for wave in waves]).float()


def noise(num_clips: int, num_samples: int) -> Tensor:
    return 0.05 * torch.randn(num_clips, num_samples, generator=torch.Generator().manual_seed(0)) + 0.1


@pytest.mark.parametrize(
    ("options", "reference", "shape"),
    [
        ({}, {"num_mel_bins": 128, "window_type": "hanning"}, (128, 198)),  # AST; 1 + floor((32000 - 400) / 160)
        ({"num_mels": 40, "window": "povey"}, {"num_mel_bins": 40, "window_type": "povey"}, (40, 198)),
        (
            {"num_mels": 23, "window_samples": 800, "hop_samples": 400, "f_min": 0.0, "f_max": 7600.0},
            {
                "num_mel_bins": 23,
                "window_type": "hanning",
                "frame_length": 50.0,
                "frame_shift": 25.0,
                "low_freq": 0.0,
                "high_freq": 7600.0,
            },
            (23, 79),
        ),
        (
            {"pre_emphasis": 0.0, "num_mels": 64},
            {"num_mel_bins": 64, "window_type": "hanning", "preemphasis_coefficient": 0.0},
            (64, 198),
        ),
    ],
)
def test_equals_kaldi_as_torchaudio_has_it(
    options: dict[str, Any], reference: dict[str, Any], shape: tuple[int, int]
) -> None:
    view = FilterBank(sample_rate=16000, seconds=2.0, **options)
    waves = noise(3, 32000)
    found = view.render(waves)
    assert view.shape == found.shape[1:] == shape
    torch.testing.assert_close(found, one_by_one(waves, **reference), atol=1e-4, rtol=0)


def test_equals_kaldi_for_recorded_sounds(mirror: Path) -> None:
    view = FilterBank(sample_rate=16000, seconds=4.0)
    paths = sorted(mirror.glob("noise/*.wav"))[::12]
    assert len(paths) >= 5
    waves = torch.from_numpy(np.stack([view.fit(np.float32(wavfile.read(path)[1]) / 32768)[0] for path in paths]))
    expected = one_by_one(waves, num_mel_bins=128, window_type="hanning")
    torch.testing.assert_close(view.render(waves), expected, atol=1e-4, rtol=0)


def test_another_sample_rate_equals_kaldi() -> None:
    view = FilterBank(sample_rate=8000, seconds=1.0, num_mels=40, window_samples=200, hop_samples=80)
    waves = noise(2, 8000)
    expected = one_by_one(waves, num_mel_bins=40, window_type="hanning", sample_frequency=8000.0)
    torch.testing.assert_close(view.render(waves), expected, atol=1e-4, rtol=0)


def test_silence_is_the_logarithm_of_the_floor() -> None:
    # log(2^-23) = -23 x 0.693147 = -15.9424
    shown = FilterBank(sample_rate=16000, seconds=1.0).render(torch.zeros(1, 16000))
    torch.testing.assert_close(shown, torch.full((1, 128, 98), -15.942385))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_mels": 3}, "filter_bank.num_mels must be at least 4"),
        ({"window_samples": 1}, "filter_bank.window_samples must be 2 to 16000, the wave's"),
        ({"hop_samples": 0}, "filter_bank.hop_samples must be at least 1"),
        ({"window": "hamming"}, "filter_bank.window must be hann or povey"),
        ({"pre_emphasis": -0.1}, "filter_bank.pre_emphasis must be 0 to 1"),
        ({"f_max": 10.0}, "filter_bank.f_max must be above f_min and at most 8000 Hz"),
    ],
)
def test_an_impossible_option_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        FilterBank(sample_rate=16000, seconds=1.0, **options)
    assert str(caught.value) == message
