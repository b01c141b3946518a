"""How much faster are batched spectrograms than the usual loop over files?

The sound of GRID clips is decoded once; only spectrograms are timed, float32 waves to float16 arrays.

    CREMA-D     `log_power` as MMCosine's public code has it, 257 x 299, against that code: scipy.signal.spectrogram,
                logarithm and standardisation, clip by clip, on float64 samples (as read by soundfile) and on float32
    AudioSet    `filter_bank`, 128 x 298, against torchaudio's kaldi.fbank clip by clip

The views compute in float64. scipy uses one core; views and torchaudio are measured with one thread and with as many
as there are cores, and, where there is one, on a GPU (from the host's memory and back).
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from grid import sounds, unpack
from measure import alternate, print_conditions, print_table, ratio
from numpy.typing import DTypeLike, NDArray
from scipy import signal
from torchaudio.compliance.kaldi import fbank

from avbalance import cli
from avbalance.prepare.views.base import AudioView
from avbalance.prepare.views.filter_bank import FilterBank
from avbalance.prepare.views.log_power import LogPower

SAMPLE_RATE, SECONDS, CHUNK = 16000, 3.0, 32
Work = Callable[[], int]


def by_view(view: AudioView, waves: NDArray[np.float32], device: str, num_threads: int) -> Work:
    """The view, in chunks of clips."""

    def render() -> int:
        torch.set_num_threads(num_threads)
        for start in range(0, len(waves), CHUNK):
            view.render(torch.from_numpy(waves[start : start + CHUNK]).to(device)).half().cpu().numpy()
        return len(waves)

    return render


def by_scipy(waves: NDArray[np.float32], dtype: DTypeLike) -> Work:
    """Clip by clip, as in MMCosine's public code."""

    def render() -> int:
        for wave in waves:
            _, _, density = signal.spectrogram(wave.astype(dtype), SAMPLE_RATE, nperseg=512, noverlap=353)
            logarithm = np.log(density + 1e-7)
            ((logarithm - logarithm.mean()) / (logarithm.std() + 1e-9)).astype(np.float16)
        return len(waves)

    return render


def by_torchaudio(waves: NDArray[np.float32], num_threads: int) -> Work:
    """Clip by clip, as in the public code of models for AudioSet."""

    def render() -> int:
        torch.set_num_threads(num_threads)
        for wave in waves:
            fbank(torch.from_numpy(wave[None]), window_type="hanning", num_mel_bins=128, dither=0.0).half().numpy()
        return len(waves)

    return render


def threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def print_rates(title: str, rates: dict[str, list[float]], reference: str) -> None:
    print_table(
        [title, "clips/s", "lowest", "highest", f"this / {reference}"],
        [
            (way, f"{median(of):,.0f}", f"{min(of):,.0f}", f"{max(of):,.0f}", f"{ratio(of, rates[reference]):.2f}")
            for way, of in rates.items()
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    num_cores = os.cpu_count() or 1
    cremad = LogPower(
        sample_rate=SAMPLE_RATE,
        seconds=SECONDS,
        window_samples=512,
        hop_samples=159,
        window="tukey",
        spectrum="density",
    )
    audioset = FilterBank(sample_rate=SAMPLE_RATE, seconds=SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        paths = unpack(Path(folder), arguments.clips)
        waves = np.stack([cremad.fit(wave)[0] for wave in sounds(paths, SAMPLE_RATE)])
    print_conditions(clips=len(waves), seconds=SECONDS, repetitions=arguments.repetitions)
    devices = [("cpu", 1), ("cpu", num_cores)] + [("cuda", 1)] * torch.cuda.is_available()
    names = {device: "view, GPU" if device[0] == "cuda" else f"view, {threads(device[1])}" for device in devices}
    ways = {"scipy, float64": by_scipy(waves, np.float64), "scipy, float32": by_scipy(waves, np.float32)}
    ways |= {names[device]: by_view(cremad, waves, *device) for device in devices}
    print_rates("CREMA-D", alternate(ways, arguments.repetitions), "scipy, float64")
    ways = {f"torchaudio, {threads(number)}": by_torchaudio(waves, number) for number in (1, num_cores)}
    ways |= {names[device]: by_view(audioset, waves, *device) for device in devices}
    print_rates("AudioSet", alternate(ways, arguments.repetitions), "torchaudio, 1 thread")


if __name__ == "__main__":
    cli.run(main)
