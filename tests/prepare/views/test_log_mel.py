from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchaudio.transforms import MelSpectrogram

from avbalance.errors import UserError
from avbalance.prepare.views.log_mel import LogMel

KINETICS = {
    "sample_rate": 16000,
    "seconds": 1.015,
    "num_mels": 40,
    "window_samples": 400,
    "hop_samples": 160,
    "fft_samples": 512,
}


def noise(num_clips: int, num_samples: int) -> Tensor:
    return 0.05 * torch.randn(num_clips, num_samples, generator=torch.Generator().manual_seed(0))


def triangles(edges: NDArray[np.float64], num_frequencies: int, sample_rate: int) -> NDArray[np.float64]:
    """Triangular filters between edges [num_mels + 2] in Hz, height 1, one by one: [num_mels, num_frequencies]."""
    frequencies = np.linspace(0, sample_rate / 2, num_frequencies)
    return np.stack(
        [np.interp(frequencies, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(len(edges) - 2)]
    )


def slaney(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's scale in Hz: 15 mel are 1 kHz, linear below, above a factor 6.4 for 27 mel."""
    return np.where(mel < 15, mel * 200 / 3, 1000 * 6.4 ** ((mel - 15) / 27))


def log_mel(waves: Tensor, filters: NDArray[np.float64], hop: int) -> NDArray[np.float64]:
    """log(M |X|^2 + 1e-6) under a Hann window of 1,024 in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(waves.double().numpy(), 1024, axis=1)[:, ::hop]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    power = np.abs(np.fft.rfft(windows * window)) ** 2
    return np.log(np.einsum("mf,btf->bmt", filters, power) + 1e-6)


def test_the_clips_of_gblend_are_40_by_100_and_equal_torchaudio() -> None:
    view = LogMel(**KINETICS, normalise="none")
    waves = noise(3, 16240)
    reference = MelSpectrogram(16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, center=False).double()
    # There windows are padded on either side to 512 samples within the wave; 56 zeros on either side make up for it.
    expected = torch.log(reference(nn.functional.pad(waves, (56, 56)).double()) + 1e-6).float()
    assert view.shape == tuple(expected.shape[1:]) == (40, 100)  # 1 + (16240 - 400) / 160
    torch.testing.assert_close(view.render(waves), expected, atol=1e-4, rtol=0)


def test_the_recipe_of_voxceleb_equals_the_layers_of_the_published_model() -> None:
    view = LogMel(
        **{**KINETICS, "seconds": 2.015},
        window="hamming",
        pre_emphasis=0.97,
        padding="reflect",
        fit="tile",
        normalise="band",
    )
    waves = noise(3, 32240)
    emphasised = nn.functional.conv1d(
        nn.functional.pad(waves[:, None].double(), (1, 0), "reflect"), torch.tensor([[[-0.97, 1.0]]]).double()
    )
    layers = MelSpectrogram(
        16000, n_fft=512, win_length=400, hop_length=160, window_fn=torch.hamming_window, n_mels=40
    ).double()
    # Their variance has 1e-5 added; without it, it is the same.
    expected = nn.InstanceNorm1d(40, eps=0.0).double()(torch.log(layers(emphasised[:, 0]) + 1e-6)).float()
    assert view.shape == tuple(expected.shape[1:]) == (40, 202)
    torch.testing.assert_close(view.render(waves), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("filter_norm", ["none", "slaney"])
@pytest.mark.parametrize("mel_scale", ["htk", "slaney"])
def test_128_filters_equal_the_formula_on_both_scales(mel_scale: Any, filter_norm: Any) -> None:  # noqa: ANN401
    if mel_scale == "htk":
        low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (50, 7000))
        edges = 700 * (10 ** (np.linspace(low, high, 130) / 2595) - 1)
    else:
        edges = slaney(np.linspace(50 / 200 * 3, 15 + 27 * np.log(7) / np.log(6.4), 130))
    filters = triangles(edges, 513, 16000)
    if filter_norm == "slaney":
        filters *= 2 / (edges[2:] - edges[:-2])[:, None]  # area 1, in Hz
    view = LogMel(
        sample_rate=16000,
        seconds=0.5,
        num_mels=128,
        window_samples=1024,
        hop_samples=300,
        f_min=50.0,
        f_max=7000.0,
        mel_scale=mel_scale,
        filter_norm=filter_norm,
        normalise="none",
    )
    waves = noise(2, 8000)
    assert view.shape == (128, 24)  # 1 + floor((8000 - 1024) / 300)
    np.testing.assert_allclose(view.render(waves).numpy(), log_mel(waves, filters, 300), atol=1e-4)


def test_a_tone_sounds_in_the_filter_around_it() -> None:
    # 1,000 Hz is 1000 mel (htk); 8 kHz is 2840 mel; 40 filters, centres 2840 / 41 = 69.3 mel apart: 14.4 of them.
    wave = 0.5 * torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(16240))
    assert (LogMel(**KINETICS).render(wave[None])[0].argmax(dim=0) == 13).all()  # the 14th


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_mels": 0}, "log_mel.num_mels must be at least 1"),
        ({"f_min": 9000.0}, "log_mel.f_max must be above f_min and at most 8000 Hz"),
        ({"f_max": 8001.0}, "log_mel.f_max must be above f_min and at most 8000 Hz"),
        ({"mel_scale": "bark"}, "log_mel.mel_scale must be htk or slaney"),
        ({"filter_norm": "max"}, "log_mel.filter_norm must be none or slaney"),
        ({"pre_emphasis": 1.5}, "log_mel.pre_emphasis must be 0 to 1"),
        ({"hop_samples": 0}, "log_mel.hop_samples must be at least 1"),
    ],
)
def test_an_impossible_option_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        LogMel(**{**KINETICS, **options})
    assert str(caught.value) == message


@pytest.mark.filterwarnings("error")
def test_filters_too_narrow_to_hold_a_frequency_are_an_error() -> None:
    with pytest.raises(
        UserError, match=r"log_mel.num_mels must be such that .*; \d+ of 128 hold none at fft_samples 512"
    ):
        LogMel(**{**KINETICS, "num_mels": 128})
