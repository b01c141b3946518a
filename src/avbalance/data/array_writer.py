"""Writer of `.npy` files that grow row by row."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class ArrayWriter:
    """A `.npy` file, written from top to bottom; only the rows being appended are in memory.

    Args:
        path: Path of the file.
        row_shape: Shape of a row.
        dtype: Type of the stored numbers, such as `<f2`.

    Attributes:
        num_rows: Number of rows written so far.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: str) -> None:
        self.row_shape, self.dtype, self.num_rows = row_shape, dtype, 0
        self._file = path.open("wb")
        self._write_header()

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows [k, *row_shape]."""
        assert rows.shape[1:] == self.row_shape
        self._file.write(np.ascontiguousarray(rows, dtype=self.dtype).data)
        self.num_rows += len(rows)

    def close(self) -> None:
        """Write the final number of rows into the header and close the file."""
        try:
            self._file.seek(0)
            self._write_header()
        finally:
            self._file.close()

    def _write_header(self) -> None:
        # NumPy pads the header so that the first dimension can grow: a rewritten header has the same length.
        header = {"descr": self.dtype, "fortran_order": False, "shape": (self.num_rows, *self.row_shape)}
        np.lib.format.write_array_header_1_0(self._file, header)
