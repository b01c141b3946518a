"""MNIST: its files, and the removal of energy by principal components."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError

CHUNK = 1000


def image_file(part: Literal["train", "t10k"]) -> str:
    """Return the path of a part's images, relative to the raw folder."""
    return f"mnist/{part}-images-idx3-ubyte.gz"


def read_mnist(raw: Path, part: Literal["train", "t10k"]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images [n, 28, 28] and labels [n] of a part.

    Raises:
        UserError: A file is absent or damaged, or the two do not belong together.
    """
    images = read_idx(raw / image_file(part), 3)
    labels = read_idx(raw / f"mnist/{part}-labels-idx1-ubyte.gz", 1)
    if images.shape != (len(labels), 28, 28):
        raise UserError(f"{raw / image_file(part)}: images of shape {images.shape} for {len(labels)} labels")
    return images, labels


def read_idx(path: Path, num_dims: int) -> NDArray[np.uint8]:
    """Return the array of a gzipped idx file of bytes with `num_dims` dimensions.

    Raises:
        UserError: The file is absent, truncated or of another kind.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: does not exist; download the dataset again") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: damaged ({error}); remove its folder and download it again") from error
    header = np.frombuffer(data[: 4 + 4 * num_dims], dtype=">u4")
    if len(header) != 1 + num_dims or header[0] != 0x0800 + num_dims:
        raise UserError(f"{path}: is not an idx file of bytes with {num_dims} dimensions; download it again")
    shape = tuple(int(size) for size in header[1:])
    content = np.frombuffer(data, dtype=np.uint8, offset=header.nbytes)
    if len(content) != np.prod(shape):
        raise UserError(f"{path}: {len(content)} bytes for shape {shape}; it is truncated, download it again")
    return content.reshape(shape)


@dataclass
class Components:
    """Leading principal components.

    Attributes:
        mean: [pixels].
        vectors: [pixels, components], orthonormal columns.
    """

    mean: NDArray[np.float32]
    vectors: NDArray[np.float32]

    def project(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project images [n, pixels] on the components; same shape."""
        kept = self.mean + (images - self.mean) @ self.vectors @ self.vectors.T
        return np.asarray(kept, dtype=np.float32)


def principal_components(images: NDArray[np.uint8], energy_removed: float) -> Components | None:
    """The most leading components whose share of the variance does not exceed 1 - `energy_removed`.

    Args:
        images: [n, height, width].
        energy_removed: In [0, 1); None is returned for 0.
    """
    if energy_removed == 0:
        return None
    num_pixels = images[0].size
    total, products = np.zeros(num_pixels), np.zeros((num_pixels, num_pixels))
    for start in range(0, len(images), CHUNK):
        pixels = images[start : start + CHUNK].reshape(-1, num_pixels) / 255
        total += pixels.sum(axis=0)
        products += pixels.T @ pixels
    mean = total / len(images)
    values, vectors = np.linalg.eigh(products / len(images) - np.outer(mean, mean))
    share = np.cumsum(values[::-1]) / values.sum()
    num_kept = int(np.searchsorted(share, 1 - energy_removed, side="right"))
    if num_kept == 0:
        raise UserError(
            f"avmnist.pca_energy_removed = {energy_removed} leaves nothing: the first component alone has "
            f"{share[0]:.2f} of the variance; set it below {1 - share[0]:.2f}"
        )
    return Components(mean.astype(np.float32), vectors[:, ::-1][:, :num_kept].astype(np.float32))
