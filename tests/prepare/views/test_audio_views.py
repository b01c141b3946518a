"""What every view of sound keeps, over the recipes that datasets use."""

from typing import Any

import pytest
import torch
from torch import Tensor

from avbalance import registry
from avbalance.configuration import signature
from avbalance.errors import UserError
from avbalance.prepare.views.base import AudioView

SPEECH = {"sample_rate": 16000, "seconds": 3.0, "window_samples": 512, "hop_samples": 159}
OLDER = {"sample_rate": 22050, "seconds": 3.0, "window_samples": 512, "hop_samples": 353}
CENTRED = {"sample_rate": 24000, "seconds": 1.279, "window_samples": 240, "hop_samples": 120, "fft_samples": 511}
MEL = {"sample_rate": 16000, "num_mels": 40, "window_samples": 400, "hop_samples": 160, "fft_samples": 512}
RECIPES: dict[str, tuple[dict[str, dict[str, Any]], tuple[int, ...]]] = {
    "waveform": ({"waveform": {"sample_rate": 8000, "seconds": 1.0}}, (8000,)),
    "waveform_clip": ({"waveform": {"sample_rate": 8000, "seconds": 1.0, "normalise": "clip"}}, (8000,)),
    "cremad": ({"log_power": SPEECH}, (257, 299)),
    "mmcosine": ({"log_power": {**SPEECH, "window": "tukey", "spectrum": "density"}}, (257, 299)),
    "ogm_ge": (
        {"log_power": {**OLDER, "spectrum": "magnitude", "padding": "reflect", "normalise": "none"}},
        (257, 188),
    ),
    "epic_kitchens": (
        {"log_power": {**CENTRED, "padding": "zeros", "floor": 1e-6, "fit": "centre", "normalise": "none"}},
        (256, 256),
    ),
    "kinetics": ({"log_mel": {**MEL, "seconds": 1.015}}, (40, 100)),
    "voxceleb": (
        {
            "log_mel": {
                **MEL,
                "seconds": 2.015,
                "window": "hamming",
                "pre_emphasis": 0.97,
                "padding": "reflect",
                "fit": "tile",
                "normalise": "band",
            }
        },
        (40, 202),
    ),
    "mel_128": (
        {
            "log_mel": {
                "sample_rate": 16000,
                "seconds": 2.0,
                "num_mels": 128,
                "window_samples": 1024,
                "hop_samples": 320,
            }
        },
        (128, 97),
    ),
    "audioset": ({"filter_bank": {"sample_rate": 16000, "seconds": 10.0}}, (128, 998)),
}


@pytest.fixture(params=RECIPES)
def recipe(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def view(recipe: str) -> AudioView:
    spec = signature.resolve("view", RECIPES[recipe][0])  # as the configuration check does
    loaded: AudioView = registry.load("view", spec)
    return loaded


def noise(view: AudioView, num_clips: int) -> Tensor:
    waves = torch.randn(num_clips, view.num_samples, generator=torch.Generator().manual_seed(0))
    return (waves * torch.logspace(-4, 0, num_clips)[:, None]).clamp(-1, 1)


def test_its_shape_is_as_stated(recipe: str, view: AudioView) -> None:
    shown = view.render(noise(view, 2))
    assert view.shape == RECIPES[recipe][1]
    assert shown.shape == (2, *view.shape)
    assert shown.dtype == torch.float32
    assert shown.is_contiguous()


def test_a_clip_has_the_same_bits_in_every_batch(view: AudioView) -> None:
    waves = noise(view, 4)
    together = view.render(waves)
    assert torch.equal(view.render(waves[1:3]), together[1:3])
    assert torch.equal(view.render(waves[3:]), together[3:])


@pytest.mark.parametrize("level", [0.0, 1e-9])
def test_silence_is_finite_and_zero_where_it_is_standardised(view: AudioView, level: float) -> None:
    shown = view.render(torch.full((1, view.num_samples), level))
    assert shown.isfinite().all()
    if view.normalise in ("clip", "band"):
        assert (shown == 0).all()


def test_the_loudest_and_quietest_sounds_fit_float16(view: AudioView) -> None:
    """Square waves and noise at full scale, a single click, noise of one step of 16 bits, silence."""
    square = torch.sign(torch.sin(torch.arange(view.num_samples) * 0.3))
    click = torch.zeros(view.num_samples)
    click[view.num_samples // 3] = 1.0
    waves = torch.stack([square, click, torch.zeros_like(click), *noise(view, 2), noise(view, 1)[0].sign() / 32768])
    shown = view.render(waves)
    assert shown.isfinite().all()
    assert shown.abs().max() <= max(32, shown[0].numel() ** 0.5)
    logarithms = shown.abs() < 32
    assert (shown.half().float() - shown)[logarithms].abs().max() <= 2**-7  # 0.008


def test_it_leaves_the_waves_as_they_are(view: AudioView) -> None:
    waves = noise(view, 2)
    before = waves.clone()
    view.render(waves)
    assert torch.equal(waves, before)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"log_power": {**SPEECH, "window": "hanning"}}, "log_power.window: found 'hanning'; input should be"),
        ({"log_power": {**SPEECH, "hop": 1}}, "'log_power' has no option 'hop'"),
        ({"log_mel": {"sample_rate": 16000}}, "'log_mel' needs the option 'seconds'"),
        (
            {"filter_bank": {"sample_rate": "16k", "seconds": 1.0}},
            "filter_bank.sample_rate: found '16k'; input",
        ),
    ],
)
def test_the_configuration_is_checked_without_making_the_view(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        signature.resolve("view", spec)
