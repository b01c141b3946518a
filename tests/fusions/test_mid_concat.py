import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avbalance.errors import UserError
from avbalance.fusions.mid_concat import MidConcat, bring_onto

VIDEO = torch.zeros(1, 1, 4, 2, 3)  # [batch, channels, frames, height, width]


def seen_by_the_trunk(features: dict[str, Tensor]) -> Tensor:
    """[batch, sum of channels, frames, height, width]."""
    fusion = MidConcat({modality: feature.shape[1] for modality, feature in features.items()}).eval()
    seen: list[Tensor] = []
    fusion.trunk.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    fusion(features)
    return seen[0]


def test_a_spectrogram_beside_a_video_is_averaged_over_frequency_resized_along_time_and_tiled() -> None:
    # Means over frequency [(1 + 3) / 2, (5 + 7) / 2] = [2, 6]. Four frames over two moments: centres of frames lie at
    # (i + .5) / 2 - .5 = -.25, .25, .75, 1.25 moments, and outside the moments the outermost holds: 2, 3, 5, 6.
    spectrogram = torch.tensor([[1.0, 5], [3, 7]]).view(1, 1, 2, 2)
    expected = torch.tensor([2.0, 3, 5, 6]).view(1, 1, 4, 1, 1).expand(1, 1, 4, 2, 3)
    torch.testing.assert_close(bring_onto(VIDEO, spectrogram), expected)


def test_a_video_beside_a_larger_video_is_resized_and_beside_one_of_its_grid_unchanged() -> None:
    # Two frames of one position, as above.
    flow = torch.tensor([2.0, 6]).view(1, 1, 2, 1, 1)
    expected = torch.tensor([2.0, 3, 5, 6]).view(1, 1, 4, 1, 1).expand(1, 1, 4, 2, 3)
    torch.testing.assert_close(bring_onto(VIDEO, flow), expected)
    same = torch.randn(1, 1, 4, 2, 3)
    assert torch.equal(bring_onto(VIDEO, same), same)


def test_a_map_beside_a_map_of_two_axes_is_averaged_and_tiled_even_if_their_grids_agree() -> None:
    spectrogram = torch.tensor([[1.0, 5], [3, 7]]).view(1, 1, 2, 2)  # mean 4
    assert torch.equal(bring_onto(torch.zeros(1, 1, 3, 2), spectrogram), torch.full((1, 1, 3, 2), 4.0))
    assert torch.equal(bring_onto(torch.zeros(1, 1, 2, 2), spectrogram), torch.full((1, 1, 2, 2), 4.0))


def test_a_video_is_the_reference_beside_a_spectrogram_of_more_positions() -> None:
    features = {"audio": torch.randn(2, 3, 20, 30), "visual": torch.randn(2, 4, 2, 3, 3)}
    seen = seen_by_the_trunk(features)
    assert seen.shape == (2, 3 + 4, 2, 3, 3)
    assert torch.equal(seen[:, 3:], features["visual"])


@pytest.mark.parametrize(("larger", "smaller"), [("audio", "visual"), ("visual", "audio")])
def test_of_maps_of_two_axes_the_larger_is_the_reference_and_its_image_a_single_frame(
    larger: str, smaller: str
) -> None:
    features = {larger: torch.randn(2, 3, 4, 6), smaller: torch.randn(2, 4, 4, 5)}
    for order in ([larger, smaller], [smaller, larger]):
        seen = seen_by_the_trunk({modality: features[modality] for modality in order})
        assert seen.shape == (2, 3 + 4, 1, 4, 6)
        start = 0 if order[0] == larger else 4
        assert torch.equal(seen[:, start : start + 3, 0], features[larger])


def test_of_equal_maps_the_first_is_the_reference() -> None:
    features = {"audio": torch.randn(2, 3, 4, 5), "visual": torch.randn(2, 4, 5, 4)}
    assert seen_by_the_trunk(features).shape[2:] == (1, 4, 5)
    assert seen_by_the_trunk(dict(reversed(features.items()))).shape[2:] == (1, 5, 4)


def test_three_modalities_stand_side_by_side_in_order() -> None:
    features = {
        "visual": torch.randn(2, 4, 2, 3, 3),
        "audio": torch.randn(2, 3, 7, 2),
        "flow": torch.randn(2, 5, 2, 3, 3),
    }
    seen = seen_by_the_trunk(features)
    sound = features["audio"].mean(dim=2)[..., None, None].expand(2, 3, 2, 3, 3)
    torch.testing.assert_close(seen, torch.cat([features["visual"], sound, features["flow"]], dim=1))


def test_the_trunk_is_two_convolutions_of_which_the_first_halves_the_grid() -> None:
    torch.manual_seed(0)
    fusion = MidConcat({"visual": 2, "audio": 3}, dim=4).eval()
    features = {"visual": torch.randn(2, 2, 4, 6, 5), "audio": torch.randn(2, 3, 8, 4)}
    h = seen = torch.cat([bring_onto(features["visual"], feature) for feature in features.values()], dim=1)
    for place, stride in ((0, 2), (3, 1)):
        h = F.conv3d(h, fusion.trunk[place].weight, stride=stride, padding=1)
        h = torch.relu(h / (1 + 1e-5) ** 0.5)  # the running statistics start at mean 0, variance 1
        assert h.shape == (2, 4, 2, 3, 3)
    assert seen.shape == (2, 5, 4, 6, 5)
    torch.testing.assert_close(fusion(features)["joint"], h.mean(dim=(2, 3, 4)))


def test_of_images_only_the_middle_slices_of_kernels_act() -> None:
    torch.manual_seed(0)
    fusion = MidConcat({"visual": 2, "audio": 3}, dim=4).eval()
    features = {"visual": torch.randn(2, 2, 6, 5), "audio": torch.randn(2, 3, 4, 4)}
    h = torch.cat([bring_onto(features["visual"], feature) for feature in features.values()], dim=1)
    for place, stride in ((0, 2), (3, 1)):
        h = F.conv2d(h, fusion.trunk[place].weight[:, :, 1], stride=stride, padding=1)
        h = torch.relu(h / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(fusion(features)["joint"], h.mean(dim=(2, 3)))


def test_the_trunk_is_twice_as_wide_as_the_widest_map_unless_told() -> None:
    assert MidConcat({"visual": 6, "audio": 4}).streams == {"joint": 12}
    assert MidConcat({"visual": 6, "audio": 4}, dim=5).streams == {"joint": 5}


def maps_of_one_position(num_clips: int) -> dict[str, Tensor]:
    return {
        "visual": torch.randn(num_clips, 6, 1, 1, 1).requires_grad_(),
        "audio": torch.randn(num_clips, 4, 1, 1).requires_grad_(),
    }


def test_one_clip_of_one_position_is_normalised_by_the_running_statistics() -> None:
    torch.manual_seed(0)
    fusion = MidConcat({"visual": 6, "audio": 4})
    fusion(maps_of_one_position(8))  # moves the running statistics
    state = {key: value.clone() for key, value in fusion.state_dict().items()}
    features = maps_of_one_position(1)
    trained = fusion.train()(features)["joint"]
    trained.sum().backward()
    assert all(torch.equal(value, state[key]) for key, value in fusion.state_dict().items())
    torch.testing.assert_close(trained, fusion.eval()(features)["joint"])
    for key, value in [*fusion.named_parameters(), *features.items()]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


def test_several_clips_of_one_position_are_normalised_by_their_own_statistics() -> None:
    torch.manual_seed(0)
    fusion, features = MidConcat({"visual": 6, "audio": 4}), maps_of_one_position(8)
    fusion.trunk[5] = torch.nn.Identity()  # what the last norm gives, before the ReLU
    joint = fusion(features)["joint"]
    torch.testing.assert_close(joint.mean(dim=0), torch.zeros(12), atol=1e-5, rtol=0)
    torch.testing.assert_close(joint.std(dim=0, correction=0), torch.ones(12), atol=1e-2, rtol=0)


@pytest.mark.parametrize("shape", [(1, 6), (1, 6, 9)])
def test_features_that_are_no_maps_are_the_users_error(shape: tuple[int, ...]) -> None:
    features = {"visual": torch.randn(1, 6, 4, 4), "audio": torch.randn(shape)}
    with pytest.raises(UserError, match=r"^fusion MidConcat reads maps .*'audio': \[6(, 9)?\]\}; choose encoders"):
        MidConcat({"visual": 6, "audio": 6})(features)


def test_a_trunk_without_channels_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"^fusion MidConcat has dim 0; allowed: 1 or more$"):
        MidConcat({"visual": 6, "audio": 6}, dim=0)
