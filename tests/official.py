"""Small copies of datasets in their official layouts: official names and archives, with clips of GRID in them.

`cremad(mirror, folder, 9, 3)` makes a partial CREMA-D of 54 clips for training and 18 for test. The class of a clip is
the digit that its talking face says, so there is something to learn.
"""

import csv
import shutil
import tarfile
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from avbalance.data.miniatures.synthetic import write_media

Recording = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Pictures [n, height, width, 3] at 25 a second, and sound [samples] at 16 kHz."""
FPS, SAMPLE_RATE = 25, 16000


def recordings(mirror: Path, digit: int, num_clips: int, size: tuple[int, int] = (360, 480)) -> Iterator[Recording]:
    """Yield clips of GRID whose face says a digit, resized to a height and width."""
    with (mirror / "grid_s1" / "metadata.csv").open(encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file) if row["digit"] == str(digit)]
    with tarfile.open(mirror / "grid_s1" / "clips.tar") as archive:
        for path in islice(paths, num_clips):
            member = archive.extractfile(path)
            assert member is not None
            with av.open(BytesIO(member.read())) as container:
                frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
                container.seek(0)
                pieces = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
            yield np.stack([cv2.resize(frame, size[::-1]) for frame in frames]), np.concatenate(pieces)


def cremad(mirror: Path, folder: Path, num_train: int, num_test: int, extracted: bool = False) -> list[str]:
    """Make a partial CREMA-D; return the names of its clips.

    Args:
        mirror: Holds GRID, and the lists of CREMA-D.
        folder: Mirror to be.
        num_train, num_test: Clips of each emotion.
        extracted: True for folders of frames, `VideoFlash/<clip>/000001.jpg`, in place of videos.
    """
    lists = folder / "cremad" / "splits_ogm_ge"
    shutil.copytree(mirror / "cremad" / "splits_ogm_ge", lists)
    shutil.copy(mirror / "cremad" / "VideoDemographics.csv", folder)
    emotions = [line[0].strip() for line in _rows(lists / "stat.csv")]
    names: list[str] = []
    for number, emotion in enumerate(emotions):
        chosen = [
            line[0]
            for split, count in (("train", num_train), ("test", num_test))
            for line in [line for line in _rows(lists / f"{split}.csv") if line[1] == emotion][:count]
        ]
        for name, (frames, wave) in zip(chosen, recordings(mirror, number, len(chosen)), strict=True):
            write_media(folder / "AudioWAV" / f"{name}.wav", wave=wave, sample_rate=SAMPLE_RATE)
            if extracted:
                for index, frame in enumerate(frames, start=1):
                    write_media(folder / "VideoFlash" / name / f"{index:06d}.jpg", frame[None])
            else:
                write_media(folder / "VideoFlash" / f"{name}.flv", frames, FPS, wave, SAMPLE_RATE)
            names.append(name)
    if extracted:
        (folder / "VideoFlash" / "fps.txt").write_text(f"{FPS}\n", encoding="utf-8")
    return names


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [line for line in csv.reader(file) if line]
