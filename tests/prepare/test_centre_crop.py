import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision.transforms.functional import center_crop, resize

from avbalance.cli import UserError
from avbalance.prepare.centre_crop import CentreCrop
from avbalance.prepare.view import Pictures


def render(picture: NDArray[np.uint8], resize: int, size: int) -> NDArray[np.uint8]:
    return CentreCrop({}, resize, size).render(Pictures(picture[None], np.zeros(1))).array


@pytest.mark.parametrize("shape", [(96, 128), (128, 96), (50, 50), (500, 333)])
def test_it_is_nearly_torchvisions_resize_and_crop(shape: tuple[int, int]) -> None:
    rows, columns = np.mgrid[: shape[0], : shape[1]] / 40
    waves = [np.sin(rows + columns), np.cos(rows), np.sin(columns)]
    picture = (127.5 * (1 + np.stack(waves, axis=2))).astype(np.uint8)
    image = torch.from_numpy(picture).permute(2, 0, 1)
    expected = center_crop(resize(image, [72], antialias=True), [64, 64]).numpy().astype(float)
    found = render(picture, 72, 64).astype(float)
    assert found.shape == (3, 64, 64)
    assert np.abs(found - expected).max() <= 12
    assert np.abs(found - expected).mean() <= 1.5


def test_without_resizing_it_is_the_middle() -> None:
    picture = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    np.testing.assert_array_equal(render(picture, 6, 4), picture[1:5, 2:6].transpose(2, 0, 1))


@pytest.mark.parametrize(("resize", "size"), [(64, 65), (64, 0)])
def test_a_crop_larger_than_the_picture_is_the_users_error(resize: int, size: int) -> None:
    with pytest.raises(UserError, match="1 <= size <= resize"):
        CentreCrop({}, resize, size)
