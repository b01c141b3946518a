"""Features on disk, standardised when they are read, and no more of them in memory than is allowed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.errors import UserError

CHUNK_BYTES = 2**20
"""Of the features that are multiplied at once: between two products they stay in the processor's cache."""
ROUNDING = 1e-6
"""A feature that varies by less than this share of its largest value is constant but for float32's rounding."""


class Features:
    """A layer's features of one split: [clips, dim], float32, as (x - mean) / deviation.

    Args:
        path: A `.npy` file of float32.
        name: Of layer and split, for errors.
        max_bytes: If all features are no more, they are held in memory once they are standardised; else they are read
            from the file in pieces, each time.

    Attributes:
        shape: (clips, dim).
        nbytes: Held in memory, 0 where they are read in pieces.
    """

    def __init__(self, path: Path, name: str, max_bytes: int) -> None:
        self._path, self._name = path, name
        mapped = np.load(path, mmap_mode="r")
        clips, dim = mapped.shape
        self.shape, self._offset = (clips, dim), mapped.offset
        self.nbytes = mapped.nbytes if mapped.nbytes <= max_bytes else 0
        self._mean, self._deviation = torch.zeros(dim), torch.ones(dim)
        self._num_rows = max(1, CHUNK_BYTES // (4 * dim))
        self._resident: Tensor | None = None

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of every feature, [dim], float64; 1 for the deviation of a constant one.

        Raises:
            UserError: A feature is no finite number.
        """
        clips, dim = self.shape
        low, high = torch.full((dim,), torch.inf), torch.full((dim,), -torch.inf)
        total, square = torch.zeros(2, dim, dtype=torch.float64)
        for _, x in self.chunks():
            low, high = torch.minimum(low, x.amin(dim=0)), torch.maximum(high, x.amax(dim=0))
            total += x.sum(dim=0, dtype=torch.float64)
        if strange := int((~torch.isfinite(high - low)).sum()):
            raise UserError(
                f"{self._name}: {strange} of {dim} features are no finite numbers; look at the run's training loss"
            )
        mean = total / clips
        for _, x in self.chunks():
            square += (x - mean).square().sum(dim=0)
        deviation = (square / clips).sqrt()
        constant = high - low <= ROUNDING * torch.maximum(high.abs(), low.abs())
        mean[constant], deviation[constant] = low[constant].double(), 1.0
        return mean, deviation

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Take off `mean` and divide by `deviation`, [dim] each, from now on."""
        self._mean, self._deviation = mean.float(), deviation.float()
        if self.nbytes:
            resident = torch.empty(self.shape)
            for rows, x in self.chunks():
                resident[rows] = x
            self._resident = resident

    def rows(self, places: Tensor) -> Tensor:
        """The features of some clips, [len(places), dim]."""
        if self._resident is not None:
            return self._resident[places]
        return torch.cat([self._read(place, place + 1) for place in places.tolist()])

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """All clips in order, in pieces: which, and their features [rows, dim]."""
        for start in range(0, self.shape[0], self._num_rows):
            rows = slice(start, min(start + self._num_rows, self.shape[0]))
            yield rows, self._read(rows.start, rows.stop) if self._resident is None else self._resident[rows]

    def _read(self, start: int, stop: int) -> Tensor:
        """Read, not mapped: the pages of a mapped file would stay in memory, whatever the bound."""
        _, dim = self.shape
        x = np.fromfile(self._path, np.float32, (stop - start) * dim, offset=self._offset + 4 * start * dim)
        return torch.from_numpy(x.reshape(-1, dim)).sub_(self._mean).div_(self._deviation)

    def logits(self, weight: Tensor) -> NDArray[np.float32]:
        """Of weights [num_classes, dim + 1], the last column being the bias: [clips, num_classes].

        Raises:
            UserError: A logit is no finite number.
        """
        narrow = weight.float()
        logits = torch.cat([torch.addmm(narrow[:, -1], x, narrow[:, :-1].T) for _, x in self.chunks()])
        if not torch.isfinite(logits).all():
            raise UserError(f"{self._name}: features are no finite numbers; look at the run's training loss")
        return logits.numpy()
