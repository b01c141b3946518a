"""Packed clips: memory-mapped arrays, from which a batch is one index gather."""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.types import Batch

RELEASE_BYTES = 64 * 2**20
"""How much of a mapped array may become resident before its pages are handed back."""
FAULT_BYTES = 64 * 2**10
"""What the kernel maps around an address that is read; a row can touch two such windows more than it fills."""


def describe(folder: Path) -> dict[str, Any]:
    """`dataset.json`: {"num_classes", "classes", "modalities": {modality: {"shape"}}, "splits", ...}."""
    description: dict[str, Any] = json.loads((folder / "dataset.json").read_text())
    return description


class MappedArray:
    """A `.npy` file, mapped; reads rows and keeps the resident memory bounded."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.array: NDArray[Any] = np.ndarray(shape, dtype, self._map, file.tell())
        self._row_bytes = self.array[:1].nbytes + 2 * FAULT_BYTES
        self._resident_bytes = 0

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Copies of rows, [len(index), *shape]."""
        gathered: NDArray[Any] = self.array[index]
        self._resident_bytes += len(index) * self._row_bytes
        if self._resident_bytes > RELEASE_BYTES:
            self._map.madvise(mmap.MADV_DONTNEED)
            self._resident_bytes = 0
        return gathered


class Split:
    """The clips of one split, on disk or, where the device has room, on the device.

    Args:
        folder: A prepared data set.
        split: `train`, `val` or `test`.
        modalities: Which modalities batches hold.
        device: Where batches go.
    """

    def __init__(self, folder: Path, split: str, modalities: list[str], device: torch.device) -> None:
        self.device = device
        self.labels: NDArray[np.int64] = np.load(folder / f"{split}_label.npy")
        self._mapped = {name: MappedArray(folder / f"{split}_{name}.npy") for name in modalities}
        self._resident: dict[str, Tensor] | None = None
        num_bytes = sum(mapped.array.nbytes for mapped in self._mapped.values())
        if device.type == "cuda" and num_bytes < torch.cuda.mem_get_info(device)[0] // 4:
            self._resident = {
                name: torch.from_numpy(mapped.array.copy()).to(device) for name, mapped in self._mapped.items()
            }

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: NDArray[np.int64]) -> Batch:
        """The clips at these places."""
        places = torch.from_numpy(index).to(self.device)
        if self._resident is not None:
            inputs = {name: array[places].float() for name, array in self._resident.items()}
        else:
            inputs = {
                name: torch.from_numpy(mapped.rows(index)).to(self.device).float()
                for name, mapped in self._mapped.items()
            }
        return Batch(inputs, torch.from_numpy(self.labels[index]).to(self.device), places)


class Batches:
    """One pass over a split in batches of equal size, give or take one clip: none is dropped, none is tiny.

    Args:
        split: The clips.
        batch_size: The largest batch.
        seed: Shuffle by this seed; None for the order on disk.
    """

    def __init__(self, split: Split, batch_size: int, seed: tuple[int, ...] | None = None) -> None:
        self.split = split
        self.num_batches = -(-len(split) // batch_size)
        self.seed = seed

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[Batch]:
        order = np.arange(len(self.split))
        if self.seed is not None:
            np.random.default_rng(self.seed).shuffle(order)
        for index in np.array_split(order, self.num_batches):
            yield self.split.batch(index)
