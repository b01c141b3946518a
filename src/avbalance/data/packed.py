"""Packed clips: memory-mapped arrays, from which a batch is one index gather."""

import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial, reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.augmentations.base import Augmentation
from avbalance.data.prepared import Folders, files_of, numbers_of, read_description
from avbalance.data.seen import Draw, Seen
from avbalance.errors import UserError
from avbalance.types import Batch

RELEASE_BYTES = 64 * 2**20
"""Number of bytes read after which the pages of mapped arrays are released."""
FAULT_BYTES = 64 * 2**10
"""Approximate number of bytes that a read maps besides its row: the kernel maps around an address."""


class MappedArray:
    """Memory-mapped rows of several `.npy` files; reading them keeps little in memory, whatever their number.

    Args:
        paths: At least one file; all hold rows of one shape and type.
        chosen: Places of the rows that count, in their order; None for all.
    """

    def __init__(self, paths: list[Path], chosen: NDArray[np.int64] | None = None) -> None:
        self._maps: list[mmap.mmap] = []
        self.shards: list[NDArray[Any]] = []
        for path in paths:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
                self.shards.append(np.ndarray(shape, dtype, self._maps[-1], file.tell()))
        self._chosen = chosen
        self._ends = np.cumsum([len(shard) for shard in self.shards])
        self._row_bytes = self.shards[0][:1].nbytes + 2 * FAULT_BYTES
        self._read_bytes = 0

    @property
    def nbytes(self) -> int:
        """Number of bytes of all rows."""
        return sum(shard.nbytes for shard in self.shards)

    def on(self, device: torch.device) -> Tensor:
        """Return all rows that count, on a device."""
        rows = torch.cat([torch.from_numpy(shard.copy()).to(device) for shard in self.shards])
        return rows if self._chosen is None else rows[torch.from_numpy(self._chosen).to(device)]

    def rows(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return copies of rows, [len(index), *shape]."""
        if self._chosen is not None:
            index = self._chosen[index]
        if len(self.shards) == 1:
            gathered: NDArray[Any] = self.shards[0][index]
        else:
            gathered = np.empty((len(index), *self.shards[0].shape[1:]), self.shards[0].dtype)
            holders = np.searchsorted(self._ends, index, side="right")
            for k in np.unique(holders):
                here = holders == k
                gathered[here] = self.shards[k][index[here] - self._ends[k]]  # counted from the shard's end
        self._read_bytes += len(index) * self._row_bytes
        if self._read_bytes > RELEASE_BYTES:
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
            self._read_bytes = 0
        return gathered


class Split:
    """The clips of one split that all modalities have, on disk or, if the device has room, on the device.

    Args:
        folders: The prepared modalities.
        split: `train`, `val` or `test`.
        device: Device of the batches.
        modalities: Modalities of a batch; None for all.

    Attributes:
        clips: [n], int64, ascending, numbers of the clips, the same in all modalities of the dataset.
        labels: [n], int64; [n, num_classes], uint8, in tasks with several labels.
        videos: [n], int64, ascending, number of the video from which a clip is cut; None if clips are not cut from
            videos.

    Raises:
        UserError: No clip has all modalities.
    """

    def __init__(
        self, folders: Folders, split: str, device: torch.device, modalities: Collection[str] | None = None
    ) -> None:
        self.device = device
        self._reads = True
        numbers = {folder: numbers_of(folder, split) for folder in folders.values()}
        self.clips: NDArray[np.int64] = reduce(np.intersect1d, numbers.values())
        if len(self.clips) == 0:
            raise UserError(f"{', '.join(map(str, numbers))}: no clip of {split} has all of {', '.join(folders)}")
        places = {
            folder: None if len(own) == len(self.clips) else np.searchsorted(own, self.clips)
            for folder, own in numbers.items()
        }
        first = next(iter(folders.values()))
        kept = slice(None) if places[first] is None else places[first]
        self.labels: NDArray[Any] = np.load(first / f"{split}_label.npy")[kept]
        videos = first / f"{split}_video.npy"
        self.videos: NDArray[np.int64] | None = np.load(videos)[kept] if videos.exists() else None
        folders = {name: folders[name] for name in modalities or folders}
        described = read_description(folders)["modalities"]
        self._seen = Seen(described, device)
        self._mapped = {
            name: MappedArray(files_of(folder, split, name), places[folder]) for name, folder in folders.items()
        }
        self._resident: dict[str, Tensor] | None = None
        num_bytes = sum(mapped.nbytes for mapped in self._mapped.values())
        if device.type == "cuda" and num_bytes < torch.cuda.mem_get_info(device)[0] // 4:
            self._resident = {name: mapped.on(device) for name, mapped in self._mapped.items()}

    def __len__(self) -> int:
        return len(self.labels)

    def stored(self, modality: str, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the clips at these places as they are stored, [len(index), *shape]."""
        return self._mapped[modality].rows(index)

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Leave batches without inputs meanwhile, for passing over them."""
        self._reads = False
        try:
            yield
        finally:
            self._reads = True

    def batch(self, index: NDArray[np.int64], draw: Draw | None = None) -> Batch:
        """Return the clips at these places; in tasks with several labels, labels are float32 [batch, num_classes].

        Args:
            index: [batch].
            draw: Function that draws the boxes to cut from these clips' pictures; None for the boxes of evaluation.
        """
        places = torch.from_numpy(index).to(self.device)
        labels = torch.from_numpy(self.labels[index]).to(self.device)
        labels = labels if labels.dim() == 1 else labels.float()
        if not self._reads:
            return Batch({}, labels, places)
        if self._resident is not None:
            inputs = {name: array[places].float() for name, array in self._resident.items()}
        else:
            inputs = {
                name: torch.from_numpy(mapped.rows(index)).to(self.device).float()
                for name, mapped in self._mapped.items()
            }
        return Batch(self._seen(inputs, index, draw), labels, places)


class Batches:
    """Passes over a split in batches whose sizes differ by at most one clip; no clip is dropped.

    Args:
        split: The clips.
        batch_size: Size of the largest batch.
        seed: Seed of the shuffling, which differs in every pass; None for the order on disk.
        subset: Places of the clips; None for all.
        augmentation: Augmentation of pictures; its seed is that of the pass.
        in_order: Keep the order of `subset`, and use the seed for augmentation alone.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: tuple[int, ...] | None = None,
        subset: NDArray[np.int64] | None = None,
        augmentation: Augmentation | None = None,
        in_order: bool = False,
    ) -> None:
        self.split, self.augmentation = split, augmentation
        self.places = np.arange(len(split)) if subset is None else subset
        self.batch_size, self.num_batches = batch_size, -(-len(self.places) // batch_size)
        self.seed, self.in_order = seed, in_order
        self.num_passes = 0

    def __len__(self) -> int:
        return self.num_batches

    def of(self, places: Tensor) -> "Batches":
        """Batches of the clips at these places [n], in this order; a place may occur again."""
        return Batches(self.split, self.batch_size, self.seed, places.cpu().numpy(), self.augmentation, in_order=True)

    def __iter__(self) -> Iterator[Batch]:
        order = self.places.copy()
        draw = None
        if self.seed is not None:
            seed = (*self.seed, self.num_passes) if self.num_passes else self.seed
            if not self.in_order:
                np.random.default_rng(seed).shuffle(order)
            draw = partial(self.augmentation, seed) if self.augmentation else None
        self.num_passes += 1
        for index in np.array_split(order, self.num_batches):
            yield self.split.batch(index, draw)
