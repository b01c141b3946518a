from pathlib import Path

import numpy as np
import pytest

from avbalance.data.array_writer import ArrayWriter


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "|u1"])
def test_chunks_make_the_bytes_that_numpy_saves(tmp_path: Path, dtype: str) -> None:
    rows = np.arange(7 * 6).reshape(7, 2, 3)
    writer = ArrayWriter(tmp_path / "chunks.npy", (2, 3), dtype)
    for chunk in (rows[:4], rows[4:4], rows[4:]):
        writer.append(chunk)
    writer.close()
    np.save(tmp_path / "whole.npy", rows.astype(dtype))
    assert (tmp_path / "chunks.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_a_file_without_rows_keeps_the_shape_of_a_row(tmp_path: Path) -> None:
    ArrayWriter(tmp_path / "none.npy", (5,), "<f2").close()
    assert np.load(tmp_path / "none.npy").shape == (0, 5)


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    writer = ArrayWriter(tmp_path / "a.npy", (5,), "<f2")
    with pytest.raises(AssertionError):
        writer.append(np.zeros((2, 4)))
    writer.close()
