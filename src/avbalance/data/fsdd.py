"""The Free Spoken Digit Dataset (FSDD): its recordings, one second each."""

import re
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError

SAMPLE_RATE = 8000
CLIP_SAMPLES = SAMPLE_RATE  # one second
NUM_TEST_TAKES = 5  # takes 0-4 of a speaker and digit are test
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.wav")


@dataclass
class Recordings:
    """The usable recordings, in the order of their names.

    Attributes:
        names: Path of each below the raw folder.
        digits: [n], spoken digit.
        voices: [n], digit and speaker as one string.
        is_test: [n], whether a recording is in FSDD's test part.
        waves: [n, 8000], one second each, root mean square 1.
        dropped, repaired: [{"file", "why"}].
    """

    names: list[str]
    digits: NDArray[np.int64]
    voices: NDArray[np.str_]
    is_test: NDArray[np.bool_]
    waves: NDArray[np.float32]
    dropped: list[dict[str, str]]
    repaired: list[dict[str, str]]


def read_recordings(folder: Path) -> Recordings:
    """Read the recordings of FSDD; unusable ones are dropped, long ones are cut, and both are reported."""
    names, digits, voices, is_test, waves = [], [], [], [], []
    dropped, repaired = [], []
    for path in sorted(folder.glob("*.wav")):
        name = f"fsdd/recordings/{path.name}"
        try:
            match = NAME.fullmatch(path.name)
            if match is None:
                raise ValueError("is not named digit_speaker_take.wav")
            samples = read_wav(path)
        except ValueError as error:
            dropped.append({"file": name, "why": str(error)})
            continue
        if len(samples) > CLIP_SAMPLES:
            repaired.append({"file": name, "why": f"cut from {len(samples) / SAMPLE_RATE:.2f} s to 1 s"})
        names.append(name)
        digits.append(int(match["digit"]))
        voices.append(f"{match['digit']}_{match['speaker']}")
        is_test.append(int(match["take"]) < NUM_TEST_TAKES)
        waves.append(one_second(samples))
    if not names and not dropped:
        raise UserError(f"{folder}: no recordings (*.wav) found; remove the folder and download it again")
    return Recordings(
        names,
        np.array(digits, dtype=np.int64),
        np.array(voices, dtype=np.str_),
        np.array(is_test, dtype=np.bool_),
        np.array(waves, dtype=np.float32).reshape(-1, CLIP_SAMPLES),
        dropped,
        repaired,
    )


def read_wav(path: Path) -> NDArray[np.int16]:
    """Return the samples [n] of an 8 kHz mono 16-bit wav with sound in its first second.

    Raises:
        ValueError: The file is not such a wav; the message gives the reason.
    """
    try:
        with wave.open(str(path)) as file:
            params = file.getparams()
            data = file.readframes(params.nframes)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last: a chunk that ends behind the file
        raise ValueError(f"is not a PCM wav: {str(error) or 'damaged header'}") from error
    if params.framerate != SAMPLE_RATE:
        raise ValueError(f"{params.framerate} Hz instead of {SAMPLE_RATE}")
    if params.nchannels != 1 or params.sampwidth != 2:
        raise ValueError(f"{params.nchannels} channels of {8 * params.sampwidth} bit instead of 1 of 16")
    if len(data) != 2 * params.nframes:
        raise ValueError(f"truncated: {len(data) // 2} of {params.nframes} samples")
    samples = np.frombuffer(data, dtype="<i2")
    if len(samples) == 0:
        raise ValueError("no samples")
    if np.ptp(samples[:CLIP_SAMPLES]) == 0:
        raise ValueError("silent")
    return samples


def one_second(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Cut or fill up with silence to [8000], root mean square 1."""
    wave = np.zeros(CLIP_SAMPLES, dtype=np.float64)
    wave[: len(samples)] = samples[:CLIP_SAMPLES]
    return np.asarray(wave / np.sqrt(np.mean(wave**2)), dtype=np.float32)
