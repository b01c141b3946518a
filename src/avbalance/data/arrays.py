"""Interface of readers that give arrays instead of media files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SplitArrays:
    """The clips of one split.

    Attributes:
        split: Name of the split.
        labels: [n], int64; in tasks with several labels, the classes of each clip.
        chunks: {modality: chunks [k, *shape]}, n rows altogether.
        sources: Origin of each clip, [n]; values of `Arrays.columns`.
    """

    split: str
    labels: NDArray[np.int64] | Sequence[int | tuple[int, ...]]
    chunks: dict[str, Iterable[NDArray[Any]]]
    sources: Sequence[tuple[object, ...]]


@dataclass(frozen=True)
class Arrays:
    """A dataset as arrays.

    Attributes:
        modalities: {modality: {"shape": shape of a clip, and further entries of dataset.json}}.
        dtype: Type of the stored numbers: `<f2` or `|u1`; `<f4` of extracted features.
        columns: Columns of clips.csv that name the origin of a clip.
        splits: The splits, made one after another as they are asked for.
        num_files: Number of files that were read.
        dropped, repaired: [{"file", "why"}].
        max_dropped: Share of the files that may be dropped.
        about: Further entries of dataset.json.
    """

    modalities: dict[str, dict[str, Any]]
    dtype: str
    columns: tuple[str, ...]
    splits: Iterator[SplitArrays]
    num_files: int
    dropped: list[dict[str, str]] = field(default_factory=list)
    repaired: list[dict[str, str]] = field(default_factory=list)
    max_dropped: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)


class ArrayReader:
    """Base of readers that turn the raw files of a dataset into arrays. Options are the constructor's keywords."""

    def read_arrays(self, raw: Path) -> Arrays:
        """Return the clips below a raw folder.

        Raises:
            UserError: A file is absent or damaged, or an option asks for more than the files hold. Errors of a split
                may be raised when the split is asked for.
        """
        raise NotImplementedError
