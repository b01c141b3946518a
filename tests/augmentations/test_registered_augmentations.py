import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, kstest
from torchvision.transforms import RandomResizedCrop as Reference

from avbalance import registry
from avbalance.augmentations.base import Augmentation
from avbalance.augmentations.random_resized_crop import NUM_TRIES, RandomResizedCrop
from avbalance.augmentations.scale_jitter import ScaleJitter
from registered import names

SEEN = (224, 224)
MANY = np.arange(4000)
every_augmentation = pytest.mark.parametrize("name", names("augmentation"))


@every_augmentation
def test_a_clip_s_box_follows_from_seed_epoch_and_clip_alone(name: str) -> None:
    augmentation: Augmentation = registry.load("augmentation", name)
    clips = np.array([5, 0, 3_000_000, 17, 5])
    boxes = augmentation((0, 1), clips, (256, 256), SEEN)
    for place, clip in enumerate(clips):
        alone = registry.load("augmentation", name)((0, 1), np.array([clip]), (256, 256), SEEN)
        np.testing.assert_array_equal(alone.places[0], boxes.places[place])
        assert alone.mirrored[0] == boxes.mirrored[place]
    for other in ((0, 2), (1, 1), (0, 1, 1)):
        assert not np.array_equal(augmentation(other, clips, (256, 256), SEEN).places, boxes.places)


@every_augmentation
@pytest.mark.parametrize("stored", [(256, 256), (360, 480), (300, 224)])
def test_boxes_lie_within_the_picture_and_half_of_them_are_mirrored(name: str, stored: tuple[int, int]) -> None:
    boxes = registry.load("augmentation", name)((3, 0), MANY, stored, SEEN)
    top, left, height, width = boxes.places.T
    assert min(top.min(), left.min()) == 0
    assert min(height.min(), width.min()) >= 1
    assert (top + height).max() == stored[0]
    assert (left + width).max() == stored[1]
    assert abs(boxes.mirrored.mean() - 0.5) < 4 * 0.5 / len(MANY) ** 0.5  # four standard errors


@pytest.mark.parametrize("stored", [(256, 256), (360, 480)])
def test_area_shape_and_place_are_distributed_as_torchvision_s(stored: tuple[int, int]) -> None:
    torch.manual_seed(0)
    picture = torch.empty(3, *stored)
    theirs = np.array([Reference.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in MANY])
    ours = RandomResizedCrop()((0, 0), MANY, stored, SEEN).places
    for describe in (
        lambda top, left, height, width: height * width,
        lambda top, left, height, width: width / height,
        lambda top, left, height, width: top,
        lambda top, left, height, width: left,
        lambda top, left, height, width: left / (stored[1] - width + 1),
    ):
        assert ks_2samp(describe(*ours.T), describe(*theirs.T)).pvalue > 0.001


def test_the_first_box_that_fits_is_taken_and_the_largest_in_the_middle_if_none_does() -> None:
    numbers = np.full((2, 2 * NUM_TRIES + 2), 0.5)  # squares
    numbers[:, :NUM_TRIES] = 1 - 1e-9  # of 10 x 100 pixels' area: 32 x 32 does not fit
    numbers[1, 3] = 0  # but 8 % of it does: 80 pixels, 9 x 9
    boxes = RandomResizedCrop().boxes(numbers, (10, 100), SEEN)
    # The largest of at most 4 : 3 is 10 x 13, (100 - 13) // 2 from the left; 9 x 9 has 2 and 92 places.
    assert boxes.tolist() == [[0, 43, 10, 13], [1, 46, 9, 9]]


def test_scale_jitter_cuts_windows_of_224_from_pictures_of_256_to_320() -> None:
    top, _, height, width = ScaleJitter()((0, 0), MANY, (1024, 1365), SEEN).places.T
    np.testing.assert_array_equal(height, width)
    sizes = 1024 * 224 / height
    assert kstest((sizes - 256) / 64, "uniform").pvalue > 0.001
    assert kstest(top / (1024 - height), "uniform").pvalue > 0.001
