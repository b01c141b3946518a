import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import horizontal_flip, resize, resized_crop

from avbalance.augmentations.crops import Boxes, cut, fixed

PLACES = [(0, 0, 24, 32), (3, 5, 7, 9), (10, 1, 12, 12), (20, 28, 4, 3), (2, 2, 20, 6)]
MIRRORED = [False, True, True, False, True]


def boxes(places: list[tuple[int, int, int, int]], mirrored: list[bool]) -> Boxes:
    return Boxes(np.array(places), np.array(mirrored))


@pytest.mark.parametrize("frames", [(), (4,)])
def test_boxes_are_cut_and_resized_as_by_torchvision_all_frames_alike(frames: tuple[int, ...]) -> None:
    pictures = torch.randn(5, 3, *frames, 24, 32, generator=torch.Generator().manual_seed(0))
    result = cut(pictures, boxes(PLACES, MIRRORED), (12, 12), vectors=False)
    assert result.shape == (5, 3, *frames, 12, 12)
    for clip, place, mirrored, ours in zip(pictures, PLACES, MIRRORED, result, strict=True):
        theirs: Tensor = resized_crop(clip, *place, [12, 12], antialias=True)
        torch.testing.assert_close(ours, horizontal_flip(theirs) if mirrored else theirs, atol=1e-5, rtol=0)


def test_motions_are_scaled_with_the_picture_and_mirroring_turns_them_about() -> None:
    flow = torch.tensor([3.0, 2.0]).view(1, 2, 1, 1, 1).expand(2, 2, 5, 24, 32)
    result = cut(flow, boxes([(6, 8, 4, 6), (6, 8, 4, 6)], [False, True]), (12, 12), vectors=True)
    # 4 x 6 becomes 12 x 12: twice as wide, three times as high.
    expected = torch.tensor([[6.0, 6.0], [-6.0, 6.0]]).view(2, 2, 1, 1, 1).expand(2, 2, 5, 12, 12)
    torch.testing.assert_close(result, expected)


def test_evaluation_sees_the_middle_unchanged_or_the_whole_resized() -> None:
    pictures = torch.randn(2, 3, 24, 32)
    middle = cut(pictures, fixed(2, (24, 32), (16, 16), whole=False), (16, 16), vectors=False)
    assert torch.equal(middle, pictures[..., 4:20, 8:24])
    whole = cut(pictures, fixed(2, (24, 32), (16, 16), whole=True), (16, 16), vectors=False)
    torch.testing.assert_close(whole, resize(pictures, [16, 16], antialias=True), atol=1e-5, rtol=0)


def test_half_precision_of_encoders_does_not_reach_pictures() -> None:
    pictures, chosen = torch.randn(5, 3, 24, 32), boxes(PLACES, MIRRORED)
    plain = cut(pictures, chosen, (12, 12), vectors=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(cut(pictures, chosen, (12, 12), vectors=False), plain)
