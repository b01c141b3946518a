"""Batches of packed clips."""

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.augmentations.base import Augmentation
from avbalance.data.prepared import Folders, files_of, numbers_of, read_description
from avbalance.data.seen import Draw, Seen
from avbalance.data.stored import JpegArray, Reading, open_stored
from avbalance.errors import UserError
from avbalance.types import Batch

RESIDENT_BYTES = 4 * 2**30
"""Size from which clips are not copied to the device as a whole, for that would delay the first step."""
NUM_AHEAD = 2
"""Number of batches that are read while one is trained on."""


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
        reads: False while batches are left without inputs.
        num_ahead: Number of batches to request beyond the next one.

    Raises:
        UserError: No clip has all modalities.
    """

    def __init__(
        self, folders: Folders, split: str, device: torch.device, modalities: Collection[str] | None = None
    ) -> None:
        self.device = device
        self.reads = True
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
        self.labels: NDArray[Any] = np.load(first / f"{split}_label.npy", mmap_mode="r")[kept]
        videos = first / f"{split}_video.npy"
        self.videos: NDArray[np.int64] | None = np.load(videos)[kept] if videos.exists() else None
        folders = {name: folders[name] for name in modalities or folders}
        described = read_description(folders)["modalities"]
        self._seen = Seen(described, device)
        self._stored = {
            name: open_stored(files_of(folder, split, name), places[folder]) for name, folder in folders.items()
        }
        self._resident: dict[str, Tensor] | None = None
        has_jpegs = any(isinstance(stored, JpegArray) for stored in self._stored.values())
        on_gpu = device.type == "cuda"
        if on_gpu and not has_jpegs:
            num_bytes = sum(stored.nbytes for stored in self._stored.values())
            if num_bytes < min(RESIDENT_BYTES, torch.cuda.mem_get_info(device)[0] // 4):
                self._resident = {
                    name: torch.from_numpy(stored.all()).to(device) for name, stored in self._stored.items()
                }
        self.num_ahead = NUM_AHEAD if has_jpegs or (on_gpu and self._resident is None) else 0
        self._workers: ThreadPoolExecutor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @contextmanager
    def unread(self) -> Iterator[None]:
        """Leave batches without inputs meanwhile, for passing over them."""
        self.reads = False
        try:
            yield
        finally:
            self.reads = True

    def stored(self, modality: str, index: NDArray[np.int64]) -> NDArray[Any]:
        """Return the clips at these places as they are stored, [len(index), *shape]."""
        return self._stored[modality].rows(index)

    def request(self, index: NDArray[np.int64]) -> Reading:
        """Begin to read the clips at these places, with as many workers as torch has threads, or read them at once."""
        if self.num_ahead and self._workers is None:
            self._workers = ThreadPoolExecutor(torch.get_num_threads())
        stored = self._stored if self._resident is None else {}
        return Reading(stored, index, self._workers, pinned=self.device.type == "cuda")

    def batch(
        self,
        index: NDArray[np.int64],
        draw: Draw | None = None,
        reading: Reading | None = None,
    ) -> Batch:
        """Return the clips at these places; in tasks with several labels, labels are float32 [batch, num_classes].

        Args:
            index: [batch].
            draw: Function that draws the boxes to cut from these clips' pictures; None for the boxes of evaluation.
            reading: What `request` has begun for these places.
        """
        places = torch.from_numpy(index).to(self.device)
        labels = torch.from_numpy(self.labels[index]).to(self.device)
        labels = labels if labels.dim() == 1 else labels.float()
        if not self.reads:
            return Batch({}, labels, places)
        if self._resident is not None:
            inputs = {name: array[places].float() for name, array in self._resident.items()}
        else:
            read = (reading or self.request(index)).wait()
            inputs = {name: array.to(self.device, non_blocking=True).float() for name, array in read.items()}
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
        indices = np.array_split(order, self.num_batches)
        ahead: deque[Reading] = deque()
        for place, index in enumerate(indices):
            if not self.split.reads:
                yield self.split.batch(index, draw)
                continue
            for coming in indices[place + len(ahead) : place + self.split.num_ahead + 1]:
                ahead.append(self.split.request(coming))
            yield self.split.batch(index, draw, ahead.popleft())
