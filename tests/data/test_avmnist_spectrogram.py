import numpy as np
import pytest
import torch
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from avbalance.data.avmnist import log_spectrogram


@pytest.mark.parametrize(
    ("samples", "window", "hop", "shape"),
    [
        (8000, 222, 70, (112, 112)),  # AV-MNIST: 222 / 2 + 1; 1 + floor(7778 / 70)
        (48000, 512, 159, (257, 299)),  # CREMA-D: 512 / 2 + 1; 1 + floor(47488 / 159)
    ],
)
def test_equals_scipy(samples: int, window: int, hop: int, shape: tuple[int, int]) -> None:
    waves = np.random.default_rng(0).standard_normal((3, samples)) * np.linspace(0, 1, samples)
    reference = ShortTimeFFT(hann(window, sym=False), hop, fs=1.0, phase_shift=None)
    # k_offset: scipy centres window 0 on sample 0, here it starts there.
    power = reference.spectrogram(waves, p0=0, p1=shape[1], k_offset=window // 2)
    expected = np.log(power + 1e-7)
    expected -= expected.mean(axis=(1, 2), keepdims=True)
    expected /= expected.std(axis=(1, 2), keepdims=True)
    found = log_spectrogram(torch.from_numpy(waves).float(), window, hop)
    assert found.shape == (3, *shape)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-3)


def test_a_tone_is_loudest_in_its_own_frequency_and_where_it_sounds() -> None:
    # 1,000 Hz at 8 kHz is 1000 x 222 / 8000 = 27.75 bins: bin 28. It sounds in the second half of the second.
    time = torch.arange(8000) / 8000
    wave = torch.sin(2 * torch.pi * 1000 * time) * (time >= 0.5)
    spectrogram = log_spectrogram(wave[None], 222, 70)[0]
    assert (spectrogram[:, 60:].argmax(dim=0) == 28).all()
    assert spectrogram[28, 60:].min() > spectrogram[28, :50].max()


def test_clips_of_a_batch_do_not_influence_each_other() -> None:
    waves = torch.randn(4, 8000, generator=torch.Generator().manual_seed(0))
    together = log_spectrogram(waves, 222, 70)
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], log_spectrogram(waves[i : i + 1], 222, 70))


def test_digital_silence_stays_finite() -> None:
    wave = torch.zeros(1, 8000)
    wave[0, :4000] = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    assert log_spectrogram(wave, 222, 70).isfinite().all()
