"""Clips on disk: raw arrays, or JPEG pictures for large datasets."""

import math
import mmap
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.data.array_writer import ArrayWriter
from avbalance.errors import UserError

RELEASE_BYTES = 64 * 2**20
"""Number of bytes read after which the pages of mapped arrays are released."""
FAULT_BYTES = 64 * 2**10
"""Approximate number of bytes that a read maps besides its row: the kernel maps around an address."""
JPEGS = ".jpegs"
"""Ending of a file of JPEG pictures; the `.npy` file beside it says where each one begins and ends."""
QUALITY = 90
"""Quality of JPEG pictures; colours have half the resolution, as in videos."""


class Stored:
    """Clips of a modality in several files.

    Args:
        paths: At least one `.npy` file; all hold rows of one shape and type.
        chosen: Places of the rows that count, in their order; None for all.

    Attributes:
        shape: Shape of a clip.
        dtype: Type of its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, paths: list[Path], chosen: NDArray[np.int64] | None = None) -> None:
        self._maps: list[mmap.mmap] = []
        self._read_bytes = 0
        self.shards: list[NDArray[Any]] = []
        for path in paths:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                self.shards.append(np.ndarray(shape, dtype, self._map(file), file.tell()))
        self._chosen = chosen
        self._ends = np.cumsum([len(shard) for shard in self.shards])

    def locate(self, index: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the shard and the row in it of the clips at these places, [len(index)] each."""
        index = index if self._chosen is None else self._chosen[index]
        holders = np.searchsorted(self._ends, index, side="right")
        return holders, index - (self._ends - [len(shard) for shard in self.shards])[holders]

    def _map(self, file: BinaryIO) -> mmap.mmap:
        self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        return self._maps[-1]

    def _count(self, num_bytes: int, num_places: int) -> None:
        """Count what was read at some places, and release mapped pages from time to time."""
        self._read_bytes += num_bytes + num_places * 2 * FAULT_BYTES
        if self._read_bytes > RELEASE_BYTES:
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
            self._read_bytes = 0

    def tasks(self, index: NDArray[np.int64], out: NDArray[Any]) -> list[Callable[[], None]]:
        """Return functions that together fill `out`, [len(index), *shape], with the clips at these places."""
        raise NotImplementedError

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the clips at these places, [len(index), *shape]."""
        out = np.empty((len(index), *self.shape), self.dtype)
        for task in self.tasks(index, out):
            task()
        return out

    @property
    def nbytes(self) -> int:
        """Number of bytes of all rows, as arrays."""
        return int(self._ends[-1]) * math.prod(self.shape) * self.dtype.itemsize

    def all(self) -> NDArray[Any]:
        """Return all clips that count."""
        return self.rows(np.arange(self._ends[-1] if self._chosen is None else len(self._chosen)))


class MappedArray(Stored):
    """Memory-mapped arrays; reading them keeps little in memory, whatever their number."""

    def __init__(self, paths: list[Path], chosen: NDArray[np.int64] | None = None) -> None:
        super().__init__(paths, chosen)
        self.shape, self.dtype = self.shards[0].shape[1:], self.shards[0].dtype

    def tasks(self, index: NDArray[np.int64], out: NDArray[Any]) -> list[Callable[[], None]]:
        """Return one function."""
        return [partial(self._fill, index, out)]

    def _fill(self, index: NDArray[np.int64], out: NDArray[Any]) -> None:
        holders, rows = self.locate(index)
        if len(self.shards) == 1:
            np.take(self.shards[0], rows, axis=0, out=out, mode="clip")  # without a copy between; rows are in range
        else:
            for k in np.unique(holders):
                here = holders == k
                out[here] = self.shards[k][rows[here]]
        self._count(out.nbytes, len(index))


class JpegArray(Stored):
    """JPEG pictures, decoded when they are read; the arrays hold where those of a clip begin, and where they end.

    Raises:
        UserError: A picture cannot be decoded.
    """

    def __init__(self, paths: list[Path], chosen: NDArray[np.int64] | None = None) -> None:
        super().__init__(paths, chosen)
        self._paths, self._blobs = [path.with_suffix(JPEGS) for path in paths], []
        for path in self._paths:
            with path.open("rb") as file:
                self._blobs.append(self._map(file))
        pictures = self._decode(0, self.shards[0][0])
        height_width = pictures[0].shape[:2]
        self.shape = (*pictures[0].shape[2:], *([len(pictures)] if len(pictures) > 1 else []), *height_width)
        self.dtype = np.dtype(np.uint8)

    def tasks(self, index: NDArray[np.int64], out: NDArray[Any]) -> list[Callable[[], None]]:
        """Return a function for each clip."""
        return [partial(self._fill, *place) for place in zip(*self.locate(index), out, strict=True)]

    def _fill(self, shard: int, row: int, out: NDArray[np.uint8]) -> None:
        pictures = np.stack(self._decode(shard, self.shards[shard][row]))
        out[...] = np.moveaxis(pictures, -1, 0).reshape(self.shape)

    def _decode(self, shard: int, places: NDArray[np.int64]) -> list[NDArray[Any]]:
        """Pictures of a clip, [height, width, channels]."""
        begin, end = int(places[0]), int(places[-1])
        content = np.frombuffer(self._blobs[shard], np.uint8, end - begin, begin)
        pictures = []
        for a, b in pairwise(places - begin):
            picture = cv2.imdecode(content[a:b], cv2.IMREAD_UNCHANGED)
            if picture is None:
                raise UserError(f"{self._paths[shard]}: holds a picture that is damaged; run 'avbalance verify'")
            pictures.append(picture[..., ::-1] if picture.ndim == 3 else picture[..., None])
        self._count(len(content), 1)
        return pictures


def open_stored(paths: list[Path], chosen: NDArray[np.int64] | None = None) -> MappedArray | JpegArray:
    """Open the clips of some `.npy` files; arguments are those of `Stored`."""
    kind = JpegArray if paths[0].with_suffix(JPEGS).exists() else MappedArray
    return kind(paths, chosen)


class JpegWriter:
    """Write clips as JPEG pictures; used as `ArrayWriter`.

    Args:
        path: Path of the `.npy` file; the pictures are written beside it.
        row_shape: Shape of a clip: (channels, frames, height, width), without `frames` where there is one; 1 or 3
            channels.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...]) -> None:
        self.row_shape = row_shape
        self._pictures_shape = (row_shape[0], -1, *row_shape[-2:])
        num_pictures = row_shape[1] if len(row_shape) == 4 else 1
        self._places = ArrayWriter(path, (num_pictures + 1,), "<i8")
        self._blob = path.with_suffix(JPEGS).open("wb")

    def append(self, rows: NDArray[np.uint8]) -> None:
        """Write clips [k, *row_shape]."""
        assert rows.shape[1:] == self.row_shape
        for row in rows:
            places = [self._blob.tell()]
            for picture in np.moveaxis(row.reshape(self._pictures_shape), 0, -1):
                self._blob.write(encode(picture))
                places.append(self._blob.tell())
            self._places.append(np.array([places]))

    def close(self) -> None:
        """Complete both files."""
        self._blob.close()
        self._places.close()


def encode(picture: NDArray[np.uint8]) -> bytes:
    """[height, width, channels], RGB or gray, -> JPEG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    _, content = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), options)
    return content.tobytes()


class Reading:
    """Clips that are being read.

    Args:
        stored: {modality: clips on disk}.
        index: [batch], places.
        workers: Threads that read; None to read at once.
        pinned: True for memory from which a GPU copies by itself.
    """

    def __init__(
        self, stored: Mapping[str, Stored], index: NDArray[np.int64], workers: Executor | None, pinned: bool
    ) -> None:
        self._arrays = {}
        tasks: list[Callable[[], None]] = []
        for name, each in stored.items():
            kind = torch.from_numpy(np.empty(0, each.dtype)).dtype
            self._arrays[name] = torch.empty((len(index), *each.shape), dtype=kind, pin_memory=pinned)
            tasks += each.tasks(index, self._arrays[name].numpy())
        if workers is None:
            for task in tasks:
                task()
        self._futures = [workers.submit(task) for task in tasks] if workers else []

    def wait(self) -> dict[str, Tensor]:
        """Return {modality: [batch, *shape]} once all is read."""
        for future in self._futures:
            future.result()
        return self._arrays
