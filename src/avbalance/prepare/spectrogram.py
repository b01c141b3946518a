"""Log power spectrograms of whole batches."""

import torch
from torch import Tensor
from torchaudio.transforms import Spectrogram

FLOOR = 1e-7
"""Added to the power, so that digital silence has a logarithm."""


def log_spectrogram(waves: Tensor, window_samples: int, hop_samples: int) -> Tensor:
    """log(|STFT|^2 + 1e-7) under a periodic Hann window without padding, standardised per clip.

    Args:
        waves: [clips, samples], float32.
        window_samples: Length of a window and of its Fourier transform.
        hop_samples: Distance of neighbouring windows.

    Returns:
        [clips, window_samples // 2 + 1, 1 + (samples - window_samples) // hop_samples], float32: frequency
        (ascending) by time, natural logarithm, mean 0 and standard deviation 1 over each clip.
    """
    transform = Spectrogram(n_fft=window_samples, hop_length=hop_samples, power=2.0, center=False)
    logarithm = torch.log(transform(waves) + FLOOR)
    mean = logarithm.mean(dim=(1, 2), keepdim=True)
    return (logarithm - mean) / logarithm.std(dim=(1, 2), correction=0, keepdim=True)
