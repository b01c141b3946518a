from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.decode import read_frames
from avbalance.prepare.inspection import inspect_media
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.frames import Frames, choose_frames

EVERY_40_MS = np.arange(75) / 25  # three seconds


def pictures(*frames: NDArray[np.uint8]) -> Pictures:
    return Pictures(np.stack(frames), np.arange(len(frames)) / 25)


@pytest.mark.parametrize(
    ("num_frames", "indices"),
    [
        (1, [37]),  # 1.5 s is shown by the frame of 1.48 s
        (3, [12, 37, 62]),  # 0.5, 1.5 and 2.5 s
        (4, [9, 28, 46, 65]),  # 0.375, 1.125, 1.875 and 2.625 s
        (75, list(range(75))),
    ],
)
def test_without_a_rate_frames_are_in_the_middle_of_equal_parts(num_frames: int, indices: list[int]) -> None:
    chosen = choose_frames(EVERY_40_MS, 0.0, 3.0, num_frames, None)
    np.testing.assert_array_equal(chosen, EVERY_40_MS[indices])


@pytest.mark.parametrize(
    ("num_frames", "fps", "end", "indices"),
    [
        (3, 1.0, 3.0, [12, 37, 62]),  # the grid is 0.5, 1.5, 2.5 s
        (3, 1.0, 2.6, [12, 37, 62]),
        (3, 1.0, 2.5, [12, 37, 37]),  # 2.5 s is no longer in the clip
        (4, 1.0, 3.0, [12, 37, 62, 62]),
        (1, 1.0, 3.0, [37]),  # the middle of three
        (2, 2.0, 3.0, [18, 56]),  # the grid is 0.25, 0.75 ... 2.75 s; of its six points the 2nd and the 5th
        (2, 1.0, 0.3, [3, 3]),  # shorter than a step: its middle
        (75, 25.0, 3.0, list(range(75))),
        (6, 50.0, 0.08, [0, 0, 1, 1, 1, 1]),  # the grid is 0.01, 0.03, 0.05, 0.07 s
    ],
)
def test_with_a_rate_frames_are_from_its_grid(num_frames: int, fps: float, end: float, indices: list[int]) -> None:
    seconds = EVERY_40_MS[end - 1e-9 > EVERY_40_MS]
    chosen = choose_frames(seconds, 0.0, end, num_frames, fps)
    np.testing.assert_array_equal(chosen, EVERY_40_MS[indices])


def test_a_variable_rate_is_sampled_by_time_not_by_number() -> None:
    seconds = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 2.0])
    np.testing.assert_array_equal(choose_frames(seconds, 0.0, 4.0, 4, None), [0.4, 0.4, 2.0, 2.0])


def test_a_clip_within_a_file_is_sampled_in_its_own_time() -> None:
    np.testing.assert_array_equal(choose_frames(EVERY_40_MS, 1.0, 2.0, 2, None), [1.24, 1.72])
    np.testing.assert_array_equal(choose_frames(EVERY_40_MS, 1.0, 2.0, 1, 1.0), [1.48])


def test_before_the_first_frame_it_is_shown_already() -> None:
    np.testing.assert_array_equal(choose_frames(np.array([0.5, 0.6]), 0.0, 1.0, 4, None), [0.5, 0.5, 0.6, 0.6])


def test_repeated_frames_are_a_repair() -> None:
    view = Frames(size=8, num_frames=3)
    frame = np.zeros((8, 8, 3), dtype=np.uint8)
    chosen = view.choose(np.array([0.0]), 0.0, 0.04)
    np.testing.assert_array_equal(chosen, [0.0, 0.0, 0.0])
    rendered = view.render(Pictures(np.stack([frame] * 3), chosen))
    assert rendered.repairs == ["1 different frames instead of 3"]
    assert view.render(pictures(frame, frame, frame)).repairs == []


def test_the_square_in_the_middle_is_kept() -> None:
    frame = np.zeros((4, 8, 3), dtype=np.uint8)
    frame[:, 2:6] = np.arange(4 * 4 * 3).reshape(4, 4, 3)
    array = Frames(size=4).render(pictures(frame)).array
    np.testing.assert_array_equal(array, np.arange(48).reshape(4, 4, 3).transpose(2, 0, 1))
    array = Frames(size=4).render(pictures(frame.transpose(1, 0, 2))).array
    np.testing.assert_array_equal(array, np.arange(48).reshape(4, 4, 3).transpose(2, 1, 0))


def test_shrinking_averages_pixels() -> None:
    frame = np.random.default_rng(0).integers(256, size=(12, 12, 3), dtype=np.uint8)
    array = Frames(size=4).render(pictures(frame)).array
    blocks = frame.reshape(4, 3, 4, 3, 3).mean(axis=(1, 3))
    assert np.abs(array.transpose(1, 2, 0) - blocks).max() <= 0.5


def test_enlarging_interpolates() -> None:
    frame = np.zeros((2, 2, 3), dtype=np.uint8)
    frame[:, 1] = 100
    array = Frames(size=4).render(pictures(frame)).array
    np.testing.assert_array_equal(array[0, 0], [0, 25, 75, 100])


def test_gray_is_the_weighted_mean_of_colours() -> None:
    frame = np.zeros((4, 4, 3), dtype=np.uint8)
    frame[..., 0], frame[..., 1], frame[..., 2] = 200, 100, 50
    view = Frames(size=4, gray=True)
    array = view.render(pictures(frame)).array
    assert view.shape == array.shape == (1, 4, 4)
    assert (array == 124).all()  # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert len(view.mean) == len(view.std) == 1


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 5])
def test_the_array_has_the_stated_shape_and_frames_keep_their_order(num_frames: int, gray: bool) -> None:
    view = Frames(size=6, num_frames=num_frames, gray=gray)
    frames = [np.full((10, 14, 3), 10 * i, dtype=np.uint8) for i in range(num_frames)]
    array = view.render(pictures(*frames)).array
    assert array.dtype == np.uint8
    assert array.flags.c_contiguous
    assert array.shape == view.shape
    assert len(view.mean) == len(view.std) == view.shape[0]
    levels = array.reshape(view.shape[0], num_frames, -1)
    np.testing.assert_array_equal(levels, np.broadcast_to(10 * np.arange(num_frames)[:, None], levels.shape))


def test_frames_of_a_real_clip_are_what_opencv_makes_of_them(mirror: Path) -> None:
    media = inspect_media(mirror / "video/grid_bbaf2n.mpg")
    view = Frames(size=96, num_frames=3)
    chosen = view.choose(media.frame_seconds, media.start, media.end)
    np.testing.assert_allclose(chosen, [0.48, 1.48, 2.48])
    rendered = view.render(Pictures(read_frames(media, chosen), chosen))
    capture = cv2.VideoCapture(str(mirror / "video/grid_bbaf2n.mpg"))
    theirs = [cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB) for _ in range(75)]
    for mine, index in zip(rendered.array.transpose(1, 2, 3, 0), (12, 37, 62), strict=True):
        square = cv2.resize(theirs[index][:, 36:324], (96, 96), interpolation=cv2.INTER_AREA)
        assert np.abs(mine.astype(int) - square).mean() < 1.0
    assert rendered.repairs == []


@pytest.mark.parametrize(
    ("rows", "columns", "part"),
    [
        (36, 48, np.s_[:, :]),  # already 3 : 4
        (36, 60, np.s_[:, 6:54]),  # too wide
        (48, 48, np.s_[6:42, :]),  # too high
    ],
)
def test_a_larger_picture_of_any_shape_is_stored_and_the_size_is_what_is_seen(
    rows: int, columns: int, part: tuple[slice, slice]
) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    view = Frames(size=4, stored=[18, 24], num_frames=2)
    array = view.render(pictures(frame, frame)).array
    assert view.shape == (3, 2, 4, 4)
    assert array.shape == view.stored_shape == (3, 2, 18, 24)
    halved = frame[part].reshape(18, 2, 24, 2, 3).mean(axis=(1, 3))
    assert np.abs(array[:, 1].transpose(1, 2, 0) - halved).max() <= 0.5


@pytest.mark.parametrize("stored", [7, [9, 7], [9, 9, 9], []])
def test_what_is_stored_is_at_least_what_is_seen(stored: int | list[int]) -> None:
    with pytest.raises(UserError, match=r"^frames\.stored is .*; allowed: size \(8\) or more"):
        Frames(size=8, stored=stored)


@pytest.mark.parametrize("options", [{"size": 0}, {"size": 8, "num_frames": 0}, {"size": 8, "fps": 0.0}])
def test_options_out_of_range_are_one_line(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"^frames\.\w+ is 0\S*; allowed: "):
        Frames(**options)  # type: ignore[arg-type]
