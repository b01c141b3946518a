"""How much faster is an epoch of packed clips than one of JPEG pictures and wavs?

The same GRID clips, written both ways: uint8 frames and float16 spectrograms (257 x 299) in packed arrays, and, as is
usual in this field, a JPEG a frame (quality 95) and a wav a clip. An epoch in random order, files in the page cache:

    rows          packed: the arrays' rows as they are stored; files: the frames as uint8, the sound as int16
    batches       both as training wants them, float32, frames standardised, sound a spectrogram; packed: the project's
                  batches; files: a DataLoader, 0 workers or one a core, spectrograms by scipy

JPEGs are read with Pillow, as in the public code of the papers, and with OpenCV, which is faster. On a CPU batches of
packed clips cost what the conversion to float32 costs; on a GPU that happens there. The goal is that packed rows are
read 20 times as fast as files.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import torch
from grid import sound, unpack
from measure import alternate, print_conditions, print_table, ratio
from numpy.typing import NDArray
from PIL import Image
from scipy import signal
from scipy.io import wavfile
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from avbalance import cli
from avbalance.data.packed import Batches, Split
from avbalance.data.prepared import files_of
from avbalance.data.stored import MappedArray
from avbalance.prepare.decode import read_frames
from avbalance.prepare.inspection import inspect_media
from avbalance.prepare.views.log_power import LogPower

BATCH_SIZE, SAMPLE_RATE, SIZE = 64, 16000, 112
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def write(paths: list[Path], num_frames: int, folder: Path) -> None:
    """Both forms of the clips: a prepared data set, and `<clip>/<frame>.jpg`, `<clip>/sound.wav`."""
    view = LogPower(
        sample_rate=SAMPLE_RATE, seconds=3.0, window_samples=512, hop_samples=159, window="tukey", spectrum="density"
    )
    visual = np.empty((len(paths), 3, num_frames, SIZE, SIZE), np.uint8)
    waves = np.empty((len(paths), view.num_samples), np.float32)
    for clip, path in enumerate(paths):
        media = inspect_media(path)
        places = (np.arange(num_frames) + 0.5) * len(media.frame_seconds) / num_frames
        frames = read_frames(media, media.frame_seconds[places.astype(int)])
        assert frames.shape[1:] == (SIZE, SIZE, 3)
        visual[clip] = frames.transpose(3, 0, 1, 2)
        waves[clip], _ = view.fit(sound(media, SAMPLE_RATE))
        (folder / str(clip)).mkdir()
        for place, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"{clip}/{place}.jpg"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        wavfile.write(folder / f"{clip}/sound.wav", SAMPLE_RATE, (waves[clip] * 32767).astype(np.int16))
    np.save(folder / "train_visual.npy", visual)
    np.save(folder / "train_audio.npy", view.render(torch.from_numpy(waves)).half().numpy())
    np.save(folder / "train_label.npy", np.arange(len(paths)) % 10)
    np.save(folder / "train_clip.npy", np.arange(len(paths)))
    modalities = {"visual": {"shape": visual.shape[1:], "mean": MEAN, "std": STD}, "audio": {"shape": view.shape}}
    (folder / "dataset.json").write_text(json.dumps({"modalities": modalities}), encoding="utf-8")


class DecodedClips(Dataset[tuple[Tensor, Tensor, int]]):
    """Clips as files: pictures and sound are decoded each time they are wanted."""

    def __init__(self, folder: Path, num_clips: int, num_frames: int, read: Callable[[str], NDArray[np.uint8]]) -> None:
        self.folder, self.num_clips, self.num_frames, self.read = folder, num_clips, num_frames, read
        self.mean, self.std = (np.array(of, np.float32).reshape(3, 1, 1, 1) for of in (MEAN, STD))

    def __len__(self) -> int:
        return self.num_clips

    def decode(self, clip: int) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
        """Frames [n, height, width, 3] and samples."""
        paths = [str(self.folder / f"{clip}/{place}.jpg") for place in range(self.num_frames)]
        frames = np.stack([self.read(path) for path in paths])
        return frames, wavfile.read(self.folder / f"{clip}/sound.wav")[1]

    def __getitem__(self, clip: int) -> tuple[Tensor, Tensor, int]:
        frames, samples = self.decode(clip)
        visual = (frames.transpose(3, 0, 1, 2).astype(np.float32) - self.mean) / self.std
        return torch.from_numpy(visual), torch.from_numpy(spectrogram((samples / 32768).astype(np.float32))), clip % 10


def by_pillow(path: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(path).convert("RGB"))


def by_opencv(path: str) -> NDArray[np.uint8]:
    picture = cv2.imread(path)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def spectrogram(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """As in MMCosine's public code, but in float32."""
    _, _, density = signal.spectrogram(wave, SAMPLE_RATE, nperseg=512, noverlap=353)
    logarithm = np.log(density + 1e-7)
    standardised: NDArray[np.float32] = (logarithm - logarithm.mean()) / (logarithm.std() + 1e-9)
    return standardised


def packed_rows(folder: Path) -> Callable[[], int]:
    """One epoch of rows as they are stored."""
    arrays = [MappedArray(files_of(folder, "train", modality)) for modality in ("visual", "audio")]
    num_clips = len(np.load(folder / "train_label.npy"))

    def read() -> int:
        order = np.random.default_rng(0).permutation(num_clips)
        for start in range(0, num_clips, BATCH_SIZE):
            for array in arrays:
                array.rows(order[start : start + BATCH_SIZE])
        return num_clips

    return read


def decoded_rows(clips: DecodedClips) -> Callable[[], int]:
    """One epoch of decoded clips."""

    def read() -> int:
        for clip in np.random.default_rng(0).permutation(len(clips)).tolist():
            clips.decode(clip)
        return len(clips)

    return read


def packed_batches(folder: Path) -> Callable[[], int]:
    """One epoch of the project's batches."""
    split = Split(dict.fromkeys(("visual", "audio"), folder), "train", torch.device("cpu"))

    def read() -> int:
        return sum(len(batch.labels) for batch in Batches(split, BATCH_SIZE, (0, 0)))

    return read


def decoded_batches(clips: DecodedClips, num_workers: int) -> Callable[[], int]:
    """One epoch of a DataLoader; its workers live on from epoch to epoch."""
    loader = DataLoader(clips, BATCH_SIZE, shuffle=True, num_workers=num_workers, persistent_workers=num_workers > 0)

    def read() -> int:
        return sum(len(labels) for _, _, labels in loader)

    return read


def measure(num_clips: int, num_frames: int, repetitions: int) -> list[list[str]]:
    """The rows of a table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(unpack(folder / "media", num_clips), num_frames, folder)
        pillow, opencv = (DecodedClips(folder, num_clips, num_frames, read) for read in (by_pillow, by_opencv))
        rates = alternate(
            {
                "rows: packed": packed_rows(folder),
                "rows: files, Pillow": decoded_rows(pillow),
                "rows: files, OpenCV": decoded_rows(opencv),
                "batches: packed": packed_batches(folder),
                "batches: files, 0 workers": decoded_batches(pillow, 0),
                f"batches: files, {os.cpu_count()} workers": decoded_batches(pillow, os.cpu_count() or 1),
            },
            repetitions,
        )
    return [
        [
            f"{num_frames} frames, {way}",
            *(f"{rate(of):,.0f}" for rate in (median, min, max)),
            f"{ratio(rates[way.split(':')[0] + ': packed'], of):.1f}",
        ]
        for way, of in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--frames", type=int, nargs="+", default=[3, 16], help="frames a clip")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(0)
    print_conditions(batch=BATCH_SIZE, clips=arguments.clips, size=SIZE, repetitions=arguments.repetitions)
    rows = [row for number in arguments.frames for row in measure(arguments.clips, number, arguments.repetitions)]
    print_table(["an epoch", "clips/s", "lowest", "highest", "packed / this"], rows)


if __name__ == "__main__":
    cli.run(main)
