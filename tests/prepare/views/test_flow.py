from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.prepare.decode import read_frames
from avbalance.prepare.inspection import inspect_media
from avbalance.prepare.pictures import Pictures
from avbalance.prepare.views.flow import Flow

Method = Literal["farneback", "dis"]
METHODS: list[Method] = ["farneback", "dis"]


def texture(size: int, right: float = 0.0, down: float = 0.0) -> NDArray[np.uint8]:
    """A cut [size, size, 3] of one large texture that has moved by so many pixels."""
    noise = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 20, 235, cv2.NORM_MINMAX)
    shift = np.array([[1, 0, right], [0, 1, down]], dtype=np.float32)
    moved = cv2.warpAffine(smooth, shift, (400, 400), flags=cv2.INTER_CUBIC)
    cut = moved[100 : 100 + size, 100 : 100 + size].round().clip(0, 255).astype(np.uint8)
    return np.repeat(cut[..., None], 3, axis=2)


def flow_of(view: Flow, *frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The flow that the stored bytes stand for, in pixels."""
    rendered = view.render(Pictures(np.stack(frames), np.arange(len(frames)) / 25))
    assert rendered.array.dtype == np.uint8
    assert rendered.array.shape == view.shape
    assert rendered.repairs == []
    mean = np.array(view.mean).reshape(-1, *[1] * (len(view.shape) - 1))
    std = np.array(view.std).reshape(mean.shape)
    return (rendered.array - mean) / std * view.bound


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shift", [(3.0, 0.0), (0.0, 3.0), (-2.0, 1.0), (0.5, -0.25), (6.0, 4.0)])
def test_a_shifted_texture_gives_its_shift(method: Method, shift: tuple[float, float]) -> None:
    flow = flow_of(Flow(size=112, method=method), texture(112), texture(112, *shift))
    interior = flow[:, 20:-20, 20:-20]
    # bytes tell steps of 20 / 127 = 0.16 pixels
    assert np.abs(interior - np.reshape(shift, (2, 1, 1))).max() <= 0.2 + 0.08
    np.testing.assert_allclose(interior.mean(axis=(1, 2)), shift, atol=0.1)


def test_flow_is_found_in_what_is_stored() -> None:
    whole, frames = Flow(size=48), np.stack([texture(48), texture(48, 3.0, 0.0)])
    larger = Flow(size=32, stored=48)
    assert larger.shape == (2, 32, 32)
    seen = Pictures(frames, np.array([0.0, 0.04]))
    np.testing.assert_array_equal(larger.render(seen).array, whole.render(seen).array)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [12, 48, 112, 224])
def test_a_still_clip_has_no_flow(method: Method, size: int) -> None:
    view = Flow(size=size, method=method)
    assert (view.render(Pictures(np.stack([texture(size)] * 2), np.array([0.0, 0.04]))).array == 128).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "name", ["grid_bbaf2n.mpg", "ucf101_apply_eye_makeup.avi", "kinetics_arm_wrestling_noaudio.mp4"]
)
def test_a_still_real_clip_has_no_flow(mirror: Path, name: str, method: Method) -> None:
    media = inspect_media(mirror / "video" / name)
    frame = read_frames(media, media.frame_seconds[:1])[0]
    view = Flow(size=112, method=method)
    assert (view.render(Pictures(np.stack([frame, frame]), np.array([0.0, 0.04]))).array == 128).all()


@pytest.mark.parametrize("method", METHODS)
def test_more_motion_makes_more_flow_in_real_clips(mirror: Path, method: Method) -> None:
    speeds = []
    for name in ("nasa_13013_rotated_noaudio.mp4", "grid_bbaf2n.mpg", "kinetics_arm_wrestling_noaudio.mp4"):
        media = inspect_media(mirror / "video" / name)
        view = Flow(size=64, num_frames=4, method=method)
        chosen = view.choose(media.frame_seconds, media.start, media.end)
        speeds.append(np.abs(flow_of(view, *read_frames(media, chosen))).mean())
    assert speeds[0] < speeds[1] < speeds[2]


def test_bytes_are_the_flow_within_its_bounds_and_the_bound_beyond() -> None:
    frames = texture(112), texture(112, 4.0, -4.0)
    interior = (slice(None), slice(30, -30), slice(30, -30))
    for bound, expected in ((8.0, (64, -64)), (4.0, (127, -127)), (2.0, (127, -127))):  # 4 * 127 / 8 = 63.5
        view = Flow(size=112, method="dis", bound=bound)
        array = view.render(Pictures(np.stack(frames), np.array([0.0, 0.04]))).array[interior].astype(int) - 128
        middle = np.median(array, axis=(1, 2))
        np.testing.assert_allclose(middle, expected, atol=1)
        assert array.min() >= -127
    assert (array == np.reshape(expected, (2, 1, 1))).all()


def test_flow_is_in_pixels_of_the_resized_square() -> None:
    large = [np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1) for frame in (texture(96), texture(96, 3.0))]
    flow = flow_of(Flow(size=96, method="dis"), *large)  # moves by 6 of 192 pixels
    np.testing.assert_allclose(flow[:, 20:-20, 20:-20].mean(axis=(1, 2)), [3.0, 0.0], atol=0.15)


def test_every_flow_is_from_a_frame_to_the_one_after_it() -> None:
    seconds = np.array([0.0, 0.1, 0.2, 0.5, 0.9])
    view = Flow(size=16, num_frames=2)
    np.testing.assert_array_equal(view.choose(seconds, 0.0, 1.0), [0.2, 0.5, 0.5, 0.9])  # of 0.25 s and 0.75 s
    np.testing.assert_array_equal(view.choose(seconds, 0.0, 4.0), [0.5, 0.9, 0.5, 0.9])  # the last frame has no next
    np.testing.assert_array_equal(view.choose(seconds[:1], 0.0, 1.0), [0.0, 0.0, 0.0, 0.0])


def test_flows_keep_the_order_of_their_pairs() -> None:
    frames = texture(64), texture(64, 2.0), texture(64), texture(64, -3.0)
    flow = flow_of(Flow(size=64, num_frames=2, method="dis"), *frames)
    np.testing.assert_allclose(flow[0, :, 20:-20, 20:-20].mean(axis=(1, 2)), [2.0, -3.0], atol=0.1)


def test_a_single_frame_gives_no_flow_as_a_repair() -> None:
    view = Flow(size=16, num_frames=2)
    chosen = view.choose(np.array([0.0]), 0.0, 0.04)
    rendered = view.render(Pictures(np.stack([texture(16)] * 4), chosen))
    assert (rendered.array == 128).all()
    assert rendered.repairs == ["2 of 2 flows are zero: there is one frame only"]


@pytest.mark.parametrize(
    "options",
    [{"size": 0}, {"size": 8, "num_frames": 0}, {"size": 8, "bound": 0.0}, {"size": 11, "method": "dis"}],
)
def test_options_out_of_range_are_one_line(options: dict[str, float]) -> None:
    with pytest.raises(UserError, match=r"^flow\.\w+ is \d\S*; allowed"):
        Flow(**options)  # type: ignore[arg-type]
