"""The generated AV-MNIST: right formats, reproducible, and learnable by ear."""

import gzip
import hashlib
import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import stft
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from avbalance.data.miniatures.avmnist import AVMNISTMiniature
from avbalance.data.mnist import read_mnist
from avbalance.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    AVMNISTMiniature().generate(folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        AVMNISTMiniature(num_speakers=8, num_takes=2, seed=seed).generate(tmp_path / name)
    first, again, other = (digests(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) == 4 + 10 * 8 * 2
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_the_files_have_the_formats_of_the_real_ones(folder: Path) -> None:
    header = gzip.decompress((folder / "mnist/train-images-idx3-ubyte.gz").read_bytes())[:16]
    # 2051, 1797 - 360 = 1437, 28, 28, big endian
    assert header == bytes([0, 0, 8, 3, 0, 0, 5, 157, 0, 0, 0, 28, 0, 0, 0, 28])
    paths = sorted((folder / "fsdd/recordings").glob("*.wav"))
    assert len(paths) == 10 * 4 * 15
    for path in paths:
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
            assert 0.1 < file.getnframes() / 8000 < 1


def test_images_are_the_scanned_digits_each_once(folder: Path) -> None:
    train, test = read_mnist(folder, "train"), read_mnist(folder, "t10k")
    images, labels = np.concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
    assert np.array_equal(np.bincount(labels), np.bincount(load_digits().target))
    assert images[:, 4:24, 4:24].any(axis=(1, 2)).all()
    assert images[:, :4].max() == images[:, 24:].max() == images[:, :, :4].max() == images[:, :, 24:].max() == 0
    # Enlarging keeps what an image is: its four corners are those of the scan, 16 -> 255.
    corners = {tuple(row) for row in load_digits().images[:, [0, 0, 7, 7], [0, 7, 0, 7]]}
    enlarged = {tuple(row) for row in images[:, [4, 4, 23, 23], [4, 23, 4, 23]]}
    assert enlarged == {tuple(round(value * 255 / 16) for value in row) for row in corners}


def test_takes_of_a_word_differ(folder: Path) -> None:
    recordings = digests(folder / "fsdd/recordings")
    assert len(set(recordings.values())) == len(recordings)


def test_a_linear_classifier_hears_which_digit_is_said_in_takes_it_never_heard(folder: Path) -> None:
    features, digits, takes = [], [], []
    for path in sorted((folder / "fsdd/recordings").glob("*.wav")):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(8000), "<i2").astype(float)
        samples = np.pad(samples / np.abs(samples).max(), (0, 8000 - len(samples)))
        features.append(np.log(np.abs(stft(samples, 8000, nperseg=200, noverlap=0)[2]) ** 2 + 1e-6).ravel())
        digit, _, take = path.stem.split("_")
        digits.append(int(digit))
        takes.append(int(take))
    x, y, is_test = np.array(features), np.array(digits), np.array(takes) < 5
    accuracy = RidgeClassifier(100.0).fit(x[~is_test], y[~is_test]).score(x[is_test], y[is_test])
    assert accuracy > 0.8  # chance is 0.1


@pytest.mark.parametrize("options", [{"num_speakers": 0}, {"num_speakers": 9}, {"num_takes": 0}])
def test_an_impossible_number_says_what_is_allowed(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=rf"^avmnist_miniature\.{next(iter(options))} is "):
        AVMNISTMiniature(**options)
