"""The bare wave, and what all views of sound share: fitting a wave to its length, standardising."""

import numpy as np
import pytest
import torch

from avbalance.data.clips import ClipError
from avbalance.errors import UserError
from avbalance.prepare.views.waveform import Waveform


def view(fit: str = "pad", normalise: str = "none", seconds: float = 0.5) -> Waveform:
    """10 samples a second, so that 0.1 s, the tolerance of a repair, is one sample."""
    return Waveform(sample_rate=10, seconds=seconds, fit=fit, normalise=normalise)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fit", "samples", "fitted"),
    [
        ("tile", [1, 2], [1, 2, 1, 2, 1]),
        ("tile", [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5]),
        ("pad", [1, 2], [1, 2, 0, 0, 0]),
        ("pad", [1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4, 5]),
        ("centre", [1, 2], [0, 1, 2, 0, 0]),  # 3 zeros: 1 before, 2 behind
        ("centre", [1, 2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6]),  # 3 too many: 1 before, 2 behind
        ("centre", [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
    ],
)
def test_a_wave_of_another_length_is_fitted(fit: str, samples: list[int], fitted: list[int]) -> None:
    found, _ = view(fit).fit(np.float32(samples) / 10)
    np.testing.assert_array_equal(found, np.float32(fitted) / 10)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("fit", "num_samples", "repairs"),
    [
        ("tile", 5, []),
        ("tile", 4, []),  # 0.1 s too short
        ("tile", 3, ["0.30 s of sound repeated to 0.50 s"]),
        ("pad", 6, []),  # 0.1 s too long
        ("pad", 7, ["0.70 s of sound cut to 0.50 s"]),
        ("pad", 2, ["0.20 s of sound filled with silence to 0.50 s"]),
        ("centre", 1, ["0.10 s of sound filled with silence to 0.50 s"]),
    ],
)
def test_a_length_that_is_wrong_by_more_than_a_tenth_of_a_second_is_a_repair(
    fit: str, num_samples: int, repairs: list[str]
) -> None:
    assert view(fit).fit(np.full(num_samples, 0.5, np.float32))[1] == repairs


def test_silence_is_a_repair_and_the_quietest_sound_of_16_bits_is_none() -> None:
    assert view().fit(np.full(5, 0.9 / 32768, np.float32))[1] == ["silent"]
    assert view().fit(np.float32([0, 0, -1 / 32768, 0, 0]))[1] == []


def test_samples_beyond_full_scale_are_clipped_and_many_of_them_are_a_repair() -> None:
    wave = np.full(1000, 0.5, np.float32)
    wave[:10] = [2, -3] * 5  # 1 %
    clipped, repairs = view(seconds=100).fit(wave)
    np.testing.assert_array_equal(clipped, [1, -1] * 5 + [0.5] * 990)
    assert repairs == []
    wave[10:120] = -1.5  # 120 of 1,000
    assert view(seconds=100).fit(wave)[1] == ["12% of the samples clipped"]


@pytest.mark.parametrize("sample", [np.nan, np.inf])
def test_samples_that_are_no_numbers_make_the_clip_unusable(sample: float) -> None:
    with pytest.raises(ClipError, match="not finite"):
        view().fit(np.float32([0, sample, 0, 0, 0]))


def test_the_wave_of_the_caller_is_not_changed() -> None:
    wave = np.float32([2, 0, 0, 0, 0])
    view().fit(wave)
    assert wave[0] == 2


def test_clips_are_standardised_one_by_one_or_left_alone() -> None:
    waves = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5], [0.5, -0.5, 0.5, -0.5, 0.0]])
    assert torch.equal(view(normalise="none").render(waves), waves)
    assert torch.equal(view(normalise="dataset").render(waves), waves)
    # Clip 0: mean 0.3, variance (0.04 + 0.01 + 0 + 0.01 + 0.04) / 5 = 0.02. Clip 1: mean 0, variance 1 / 5.
    expected = [(waves[0] - 0.3) / 0.02**0.5, waves[1] / 0.2**0.5]
    torch.testing.assert_close(view(normalise="clip").render(waves), torch.stack(expected))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "waveform.sample_rate must be at least 1 Hz"),
        ({"seconds": 0.01}, "waveform.seconds must be long enough for a sample and at most 3600"),
        ({"seconds": float("nan")}, "waveform.seconds must be long enough for a sample and at most 3600"),
        ({"fit": "stretch"}, "waveform.fit must be tile or pad or centre"),
        ({"normalise": "band"}, "waveform.normalise must be clip, dataset or none"),
    ],
)
def test_an_impossible_option_is_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Waveform(**{"sample_rate": 10, "seconds": 0.5, **options})  # type: ignore[arg-type]
    assert str(caught.value) == message
