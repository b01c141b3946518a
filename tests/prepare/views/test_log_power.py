from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import signal
from scipy.io import wavfile
from scipy.signal.windows import hamming, hann
from torchaudio.transforms import Spectrogram

from avbalance.errors import UserError
from avbalance.prepare.views.log_power import LogPower

SCIPY = {"sample_rate": 16000, "seconds": 3.0, "window_samples": 512, "hop_samples": 159}


def sounds(num_clips: int, num_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Tones in noise that grow louder, with an offset, about as loud as speech."""
    rng = np.random.default_rng(seed)
    time = np.arange(num_samples)
    tones = np.sin(time * rng.uniform(0.05, 2, (num_clips, 1)))
    noise = rng.standard_normal((num_clips, num_samples))
    return ((0.1 * tones + 0.05 * noise + 0.02) * np.linspace(0.1, 1, num_samples)).astype(np.float32)


def standardised(array: NDArray[np.float64]) -> NDArray[np.float64]:
    mean = array.mean(axis=(-2, -1), keepdims=True)
    return (array - mean) / (array.std(axis=(-2, -1), keepdims=True) + 1e-9)


def published(waves: NDArray[Any]) -> NDArray[np.float64]:
    """The spectrogram of CREMA-D clips in the public code of MMCosine, in float64."""
    _, _, density = signal.spectrogram(waves.astype(np.float64), 16000, nperseg=512, noverlap=353)
    return standardised(np.log(density + 1e-7))


def test_the_recipe_of_mmcosine_is_scipys_spectrogram() -> None:
    view = LogPower(**SCIPY, window="tukey", spectrum="density")
    waves = sounds(3, 48000)
    assert view.shape == (257, 299)  # 512 / 2 + 1; 1 + floor((48000 - 512) / 159)
    np.testing.assert_allclose(view.render(torch.from_numpy(waves)).numpy(), published(waves), atol=1e-4)


def test_the_recipe_of_mmcosine_holds_for_recorded_sounds(mirror: Path) -> None:
    view = LogPower(**SCIPY, window="tukey", spectrum="density")
    paths = sorted(mirror.glob("noise/*.wav"))[::6]
    assert len(paths) >= 10
    waves = np.stack([view.fit(np.float32(wavfile.read(path)[1]) / 32768)[0] for path in paths])
    np.testing.assert_allclose(view.render(torch.from_numpy(waves)).numpy(), published(waves), atol=1e-4)


def test_a_short_clip_is_repeated_as_published() -> None:
    view = LogPower(**SCIPY)
    wave = sounds(1, 20000)[0]
    fitted, repairs = view.fit(wave)
    np.testing.assert_array_equal(fitted, np.tile(wave, 3)[:48000])
    assert repairs == ["1.25 s of sound repeated to 3.00 s"]


def test_by_default_it_is_the_power_under_a_hann_window() -> None:
    view = LogPower(**SCIPY)
    waves = sounds(3, 48000)
    reference = signal.ShortTimeFFT(hann(512, sym=False), 159, fs=1.0, phase_shift=None)
    # k_offset: scipy centres window 0 on sample 0, here it starts there.
    power = reference.spectrogram(waves.astype(np.float64), p0=0, p1=299, k_offset=256)
    assert view.shape == (257, 299)
    np.testing.assert_allclose(
        view.render(torch.from_numpy(waves)).numpy(), standardised(np.log(power + 1e-7)), atol=1e-4
    )


@pytest.mark.parametrize(("padding", "numpy_mode"), [("reflect", "reflect"), ("zeros", "constant")])
def test_the_older_recipe_is_the_magnitude_of_windows_centred_on_the_hops(padding: Any, numpy_mode: Any) -> None:  # noqa: ANN401
    """OGM-GE: librosa.stft(n_fft=512, hop_length=353) of 3 s at 22,050 Hz, log(|X| + 1e-7), not standardised."""
    view = LogPower(
        sample_rate=22050,
        seconds=3.0,
        window_samples=512,
        hop_samples=353,
        spectrum="magnitude",
        padding=padding,
        normalise="none",
    )
    assert view.shape == (257, 188)  # 1 + floor(66150 / 353)
    waves = sounds(2, 66150)
    padded = np.pad(waves.astype(np.float64), ((0, 0), (256, 256)), mode=numpy_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 512, axis=1)[:, ::353] * hann(512, sym=False)
    expected = np.log(np.abs(np.fft.rfft(windows)) + 1e-7).swapaxes(1, 2)
    np.testing.assert_allclose(view.render(torch.from_numpy(waves)).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("seconds", [1.279, 1.2832])
def test_the_recipe_of_epic_kitchens_has_256_frequencies(seconds: float) -> None:
    """Kazakos et al.: librosa.stft(n_fft=511, win_length=240, hop_length=120, pad_mode="constant") at 24 kHz."""
    view = LogPower(
        sample_rate=24000,
        seconds=seconds,
        window_samples=240,
        hop_samples=120,
        fft_samples=511,
        padding="zeros",
        floor=1e-6,
        fit="centre",
        normalise="none",
    )
    waves = torch.from_numpy(sounds(2, view.num_samples))
    reference = Spectrogram(n_fft=511, win_length=240, hop_length=120, power=2.0, pad_mode="constant").double()
    expected = torch.log(reference(waves.double()) + 1e-6).float()
    assert view.shape == tuple(expected.shape[1:]) == (256, {1.279: 256, 1.2832: 257}[seconds])
    torch.testing.assert_close(view.render(waves), expected, atol=1e-4, rtol=0)


def test_any_window_and_transform_equal_the_formula() -> None:
    """The sum over n of w_n x_n e^(-2 pi i k n / 80) in float64, for a window of 50 and an odd hop."""
    view = LogPower(
        sample_rate=1000,
        seconds=0.2,
        window_samples=50,
        hop_samples=7,
        fft_samples=80,
        window="hamming",
        floor=1e-5,
        normalise="none",
    )
    waves = sounds(2, 200)
    n, k = np.arange(50), np.arange(41)
    matrix = hamming(50, sym=False)[:, None] * np.exp(-2j * np.pi * np.outer(n, k) / 80)
    windows = np.stack([waves[:, start : start + 50] for start in range(0, 151, 7)], axis=1).astype(np.float64)
    expected = np.log(np.abs(windows @ matrix) ** 2 + 1e-5).swapaxes(1, 2)
    assert view.shape == (41, 22)  # 1 + floor(150 / 7)
    np.testing.assert_allclose(view.render(torch.from_numpy(waves)).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("fft_samples", [512, 601])
def test_a_density_sums_to_the_variance(fft_samples: int) -> None:
    """White noise of variance 0.01: its one-sided density, summed over 8 kHz, is its variance."""
    view = LogPower(
        sample_rate=16000,
        seconds=3.0,
        window_samples=512,
        hop_samples=256,
        fft_samples=fft_samples,
        spectrum="density",
        floor=1e-30,
        normalise="none",
    )
    wave = np.random.default_rng(0).standard_normal((1, 48000)).astype(np.float32) * 0.1
    density = view.render(torch.from_numpy(wave)).exp()
    variance = density.sum(dim=1).mean() * 16000 / fft_samples
    assert variance.item() == pytest.approx(0.01, rel=0.03)


def test_standardised_by_band_every_frequency_has_mean_0_and_deviation_1() -> None:
    shown = LogPower(sample_rate=1000, seconds=1.0, window_samples=64, hop_samples=16, normalise="band").render(
        torch.from_numpy(sounds(2, 1000))
    )
    torch.testing.assert_close(shown.mean(dim=-1), torch.zeros(2, 33), atol=1e-5, rtol=0)
    torch.testing.assert_close(shown.std(dim=-1, correction=0), torch.ones(2, 33))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_samples": 48001}, "log_power.window_samples must be 2 to 48000, the wave's"),
        ({"hop_samples": 0}, "log_power.hop_samples must be at least 1"),
        ({"fft_samples": 511}, "log_power.fft_samples must be at least window_samples, 512"),
        ({"window": "boxcar"}, "log_power.window must be hann or hamming or tukey"),
        ({"spectrum": "decibel"}, "log_power.spectrum must be power or magnitude or density"),
        ({"padding": "edge"}, "log_power.padding must be none or zeros or reflect"),
        ({"floor": 0.0}, "log_power.floor must be 1e-30 to 1"),
    ],
)
def test_an_impossible_option_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        LogPower(**{**SCIPY, **options})
    assert str(caught.value) == message
