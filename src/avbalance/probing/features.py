"""Features on disk, which are standardised as they are read, within a bound on memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avbalance.errors import UserError

CHUNK_BYTES = 2**20
"""Size of the features that are multiplied at once: they stay in the processor's cache between two products."""
ROUNDING = 1e-6
"""A feature that varies by less than this share of its largest value is constant within the rounding of float32."""


class Features:
    """A layer's features of one split: [clips, dim], float32, as (x - mean) / deviation.

    Args:
        path: A `.npy` file of float32.
        name: Name of the layer and the split, for errors.
        max_bytes: Bound on memory. Features within it are held in memory once they are standardised; others are read
            from the file in pieces each time.

    Attributes:
        shape: (clips, dim).
        nbytes: Bytes held in memory; 0 if the features are read in pieces.
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
        """Return mean and deviation of every feature, [dim], float64; the deviation of a constant feature is 1.

        Raises:
            UserError: A feature is not finite.
        """
        clips, dim = self.shape
        low, high = torch.full((dim,), torch.inf), torch.full((dim,), -torch.inf)
        total, square = torch.zeros(2, dim, dtype=torch.float64)
        for _, x in self.chunks():
            low, high = torch.minimum(low, x.amin(dim=0)), torch.maximum(high, x.amax(dim=0))
            total += x.sum(dim=0, dtype=torch.float64)
        if num_not_finite := int((~torch.isfinite(high - low)).sum()):
            raise UserError(
                f"{self._name}: {num_not_finite} of {dim} features are not finite; check the training loss of the run"
            )
        mean = total / clips
        for _, x in self.chunks():
            square += (x - mean).square().sum(dim=0)
        deviation = (square / clips).sqrt()
        constant = high - low <= ROUNDING * torch.maximum(high.abs(), low.abs())
        mean[constant], deviation[constant] = low[constant].double(), 1.0
        return mean, deviation

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Subtract `mean` and divide by `deviation`, [dim] each, from now on."""
        self._mean, self._deviation = mean.float(), deviation.float()
        if self.nbytes:
            resident = torch.empty(self.shape)
            for rows, x in self.chunks():
                resident[rows] = x
            self._resident = resident

    def rows(self, places: Tensor) -> Tensor:
        """Return the features of some clips, [len(places), dim]."""
        if self._resident is not None:
            return self._resident[places]
        return torch.cat([self._read(place, place + 1) for place in places.tolist()])

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield all clips in order, in pieces: their places and their features [rows, dim]."""
        for start in range(0, self.shape[0], self._num_rows):
            rows = slice(start, min(start + self._num_rows, self.shape[0]))
            yield rows, self._read(rows.start, rows.stop) if self._resident is None else self._resident[rows]

    def _read(self, start: int, stop: int) -> Tensor:
        """Read without a memory map, whose pages would stay in memory beyond the bound."""
        _, dim = self.shape
        x = np.fromfile(self._path, np.float32, (stop - start) * dim, offset=self._offset + 4 * start * dim)
        return torch.from_numpy(x.reshape(-1, dim)).sub_(self._mean).div_(self._deviation)

    def logits(self, weight: Tensor) -> NDArray[np.float32]:
        """Return the logits [clips, num_classes] of weights [num_classes, dim + 1], whose last column is the bias.

        Raises:
            UserError: A logit is not finite.
        """
        narrow = weight.float()
        logits = torch.cat([torch.addmm(narrow[:, -1], x, narrow[:, :-1].T) for _, x in self.chunks()])
        if not torch.isfinite(logits).all():
            raise UserError(f"{self._name}: features are not finite; check the training loss of the run")
        return logits.numpy()
