"""Files of extracted features: npz, safetensors and parquet, read clip by clip.

A file holds one array for each clip, under the clip's key, or one array whose rows are the clips.
"""

import zipfile
from collections.abc import Callable, Collection
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from avbalance.errors import UserError


class FeatureFile:
    """Features of one modality.

    Attributes:
        keys: Keys of the clips' arrays; None if the file holds one array whose rows are the clips.
        num_rows: Number of these rows.
    """

    keys: Collection[str] | None = None
    num_rows = 0

    def read(self, entry: str | int) -> NDArray[Any]:
        """Return the array of a clip, given its key or row, [dim] or [steps, dim]."""
        raise NotImplementedError


class NpzFile(FeatureFile):
    """Arrays of `numpy.savez`. A single array is mapped into memory; one of `savez_compressed` is read as a whole."""

    def __init__(self, path: Path) -> None:
        if not zipfile.is_zipfile(path):
            raise ValueError("is not what numpy.savez writes")
        self._path = path
        self._arrays = np.load(path, allow_pickle=False)
        self.keys = self._arrays.files
        if len(self.keys) == 1:
            self._name, self.keys = str(self._arrays.files[0]), None
            self.num_rows = len(self._whole)

    @cached_property
    def _whole(self) -> NDArray[Any]:
        """The only array."""
        archive: zipfile.ZipFile = self._arrays.zip
        member = archive.infolist()[0]
        if member.compress_type != zipfile.ZIP_STORED:
            return np.asarray(self._arrays[self._name])
        with self._path.open("rb") as file:  # its bytes lie in the archive as they would in a .npy file
            file.seek(member.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")  # of the name and of extra fields behind a header of 30 bytes
            file.seek(member.header_offset + 30 + int(lengths.sum()))
            version = np.lib.format.read_magic(file)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, is_fortran, dtype = read_header(file)
            order = "F" if is_fortran else "C"
            return np.memmap(self._path, dtype, mode="r", offset=file.tell(), shape=shape, order=order)  # type: ignore[call-overload,no-any-return]

    def read(self, entry: str | int) -> NDArray[Any]:
        """As of `FeatureFile`."""
        return np.asarray(self._arrays[entry] if isinstance(entry, str) else self._whole[entry])


class SafetensorsFile(FeatureFile):
    """Tensors of a safetensors file, which is mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._tensors = safe_open(path, framework="np")
        self.keys = list(self._tensors.keys())
        if len(self.keys) == 1:
            (name,), self.keys = self.keys, None
            self._whole = self._tensors.get_slice(name)
            self.num_rows = self._whole.get_shape()[0]

    def read(self, entry: str | int) -> NDArray[Any]:
        """As of `FeatureFile`."""
        return np.asarray(self._tensors.get_tensor(entry) if isinstance(entry, str) else self._whole[entry])


class ParquetFile(FeatureFile):
    """A column `features` of lists, or of lists of lists; a column `clip`, if there is one, has the keys.

    One row group is in memory at a time, so an index in the order of the file is read fastest.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet  # an extra

        self._file = parquet.ParquetFile(path, memory_map=True)
        names = self._file.schema_arrow.names
        if "features" not in names:
            raise ValueError(f"has no column 'features', found {', '.join(names)}")
        self.num_rows = self._file.metadata.num_rows
        if "clip" in names:
            listed = [str(key) for key in self._file.read(["clip"])["clip"].to_pylist()]
            self._rows = {key: row for row, key in enumerate(listed)}
            if len(self._rows) < len(listed):
                twice = next(key for row, key in enumerate(listed) if self._rows[key] != row)
                raise ValueError(f"has two rows of clip {twice!r}")
            self.keys = self._rows
        groups = range(self._file.num_row_groups)
        self._ends = np.cumsum([self._file.metadata.row_group(group).num_rows for group in groups])
        self._group, self._column = -1, None

    def read(self, entry: str | int) -> NDArray[Any]:
        """As of `FeatureFile`."""
        row = self._rows[entry] if isinstance(entry, str) else entry
        group = int(np.searchsorted(self._ends, row, side="right"))
        if group != self._group:
            column = self._file.read_row_group(group, ["features"])["features"]
            self._group, self._column = group, column.combine_chunks()
        values = self._column[row - int(self._ends[group])].values  # type: ignore[index]  # counted from the group's end
        if hasattr(values, "flatten"):  # a list of steps
            steps = values.value_lengths().to_numpy(zero_copy_only=False)
            if len(set(steps.tolist())) > 1:
                raise ValueError(f"{entry!r} has steps of different lengths")
            return np.asarray(values.flatten().to_numpy(zero_copy_only=False)).reshape(len(steps), -1)
        return np.asarray(values.to_numpy(zero_copy_only=False))


FORMATS: dict[str, Callable[[Path], FeatureFile]] = {
    ".npz": NpzFile,
    ".safetensors": SafetensorsFile,
    ".parquet": ParquetFile,
}
READ_ERRORS = (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, SafetensorError)
"""Errors of these formats' libraries at a damaged file, or at numbers that NumPy does not have, such as bfloat16."""


def check_package(path: Path) -> None:
    """Refuse a parquet file without the package that reads it."""
    if path.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UserError(f"{path}: parquet needs the package pyarrow: pip install -e '.[pyarrow]'")


def open_features(path: Path) -> FeatureFile:
    """Open a file of features by its suffix.

    Raises:
        UserError: The file is absent, damaged or of another format.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: is no file of features; allowed: {', '.join(FORMATS)}")
    if not path.is_file():
        raise UserError(f"{path}: this file does not exist; put it there, or fetch the raw files again")
    check_package(path)
    try:
        return FORMATS[path.suffix](path)
    except READ_ERRORS as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
