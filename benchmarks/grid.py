"""GRID clips from a mirror of the official files: what is measured on real media."""

import os
import tarfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.decode import read_audio
from avbalance.prepare.inspection import Media, inspect_media


def unpack(folder: Path, num_clips: int) -> list[Path]:
    """The first `num_clips` of speaker s1, written into `folder`.

    Raises:
        UserError: There is no mirror with them.
    """
    archive = Path(os.environ.get("AVBALANCE_MIRROR", ".")) / "grid_s1/clips.tar"
    if not archive.is_file():
        raise UserError(f"{archive} is not there; AVBALANCE_MIRROR must name the folder that holds grid_s1/clips.tar")
    with tarfile.open(archive) as tar:
        members = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)[:num_clips]
        tar.extractall(folder, members, filter="data")
    return [folder / member.name for member in members]


def sound(media: Media, sample_rate: int) -> NDArray[np.float32]:
    """All of a clip's sound."""
    return read_audio(media, sample_rate, media.start, media.end)


def sounds(paths: list[Path], sample_rate: int) -> list[NDArray[np.float32]]:
    """The sound of each file."""
    return [sound(inspect_media(path), sample_rate) for path in paths]
