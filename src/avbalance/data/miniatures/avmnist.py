"""A small AV-MNIST that needs no network: scanned digits and synthetic speech."""

import gzip
import wave
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from numpy.typing import NDArray
from scipy.ndimage import zoom
from scipy.signal import resample_poly
from sklearn.datasets import load_digits

from avbalance.data.miniatures.speech import speak
from avbalance.errors import UserError
from avbalance.ranges import Count, Whole

SAMPLE_RATE = 8000
NUM_TEST_IMAGES = 360  # of 1,797
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VOICES = {
    "andy": "en-us+Andy",
    "annie": "en-us+Annie",
    "belinda": "en+belinda",
    "david": "en-gb-scotland+david",
    "linda": "en-us+linda",
    "max": "en+max",
    "michael": "en-us+Michael",
    "steph": "en+steph",
}


class AVMNISTMiniature:
    """Miniature of the files of AV-MNIST: the layout, formats and names of MNIST's and FSDD's own.

    Images are the 1,797 scanned digits (8 x 8, UCI optdigits) that scikit-learn brings, enlarged to 20 x 20
    and centred in 28 x 28 as MNIST's are; 360 of them are the test part. Recordings are spoken by espeak-ng,
    one voice a speaker, each take with its own rate and pitch. The same seed gives the same bytes.

    Args:
        num_speakers: Voices, at most 8.
        num_takes: Recordings of each digit by each speaker; takes 0-4 are the test part.
        seed: Of the images' division and of the takes' rates and pitches.
    """

    def __init__(self, num_speakers: Count = 4, num_takes: Count = 15, seed: Whole = 0) -> None:
        if not 1 <= num_speakers <= len(VOICES):
            raise UserError(f"avmnist_miniature.num_speakers is {num_speakers}; allowed are 1 to {len(VOICES)}")
        if num_takes < 1:
            raise UserError(f"avmnist_miniature.num_takes is {num_takes}; at least 1 is needed")
        self.num_speakers = num_speakers
        self.num_takes = num_takes
        self.seed = seed

    def generate(self, folder: Path) -> None:
        """Write mnist/*.gz and fsdd/recordings/*.wav below `folder`."""
        random = default_rng(self.seed)
        (folder / "mnist").mkdir(parents=True)
        (folder / "fsdd/recordings").mkdir(parents=True)
        digits = load_digits()
        order = random.permutation(len(digits.target))
        for part, members in (("t10k", order[:NUM_TEST_IMAGES]), ("train", order[NUM_TEST_IMAGES:])):
            write_idx(folder / f"mnist/{part}-images-idx3-ubyte.gz", enlarge(digits.images[members]))
            write_idx(folder / f"mnist/{part}-labels-idx1-ubyte.gz", digits.target[members].astype(np.uint8))
        takes = [
            (f"{digit}_{speaker}_{take}.wav", VOICES[speaker], WORDS[digit], *random.integers((130, 10), (230, 90)))
            for digit in range(10)
            for speaker in list(VOICES)[: self.num_speakers]
            for take in range(self.num_takes)
        ]
        # espeak-ng remembers what it said before; only a fresh process always says the same.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
            waves = fresh.submit(speak, [take[1:] for take in takes]).result()
        for (name, *_), samples in zip(takes, waves, strict=True):
            write_wav(folder / "fsdd/recordings" / name, trim(resample(samples)))


def enlarge(images: NDArray[np.float64]) -> NDArray[np.uint8]:
    """[n, 8, 8] from 0 to 16 -> [n, 28, 28] from 0 to 255: 20 x 20 amid a border of 4."""
    large = zoom(images, (1, 2.5, 2.5), order=1) * (255 / 16)
    return np.pad(large.round().astype(np.uint8), ((0, 0), (4, 4), (4, 4)))


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write MNIST's format: 0x0800 + number of dimensions, sizes (big endian), bytes; gzipped, no time stamp."""
    header = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


def write_wav(path: Path, samples: NDArray[np.int16]) -> None:
    """Write 8 kHz mono 16-bit samples [n]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.astype("<i2").tobytes())


def resample(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """22,050 Hz -> 8 kHz: 8000 / 22050 = 160 / 441."""
    resampled = resample_poly(samples.astype(np.float64), 160, 441)
    return np.clip(resampled.round(), -32768, 32767).astype(np.int16)


def trim(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """Cut what is below a hundredth of the peak at both ends."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > np.abs(samples.astype(np.int32)).max() // 100)
    return samples[loud[0] : loud[-1] + 1]
