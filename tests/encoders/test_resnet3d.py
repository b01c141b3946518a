from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision.models import video

from avbalance.encoders.ip_csn import IPCSN
from avbalance.encoders.r2plus1d import R2Plus1D
from avbalance.encoders.r3d import R3D
from avbalance.encoders.resnet3d import ResNet3D
from avbalance.errors import UserError

Builder = Callable[..., nn.Module]
KINDS = [R3D, R2Plus1D, IPCSN]


def reference(builder: Builder) -> nn.Module:
    """Torchvision's network with random weights and statistics, without its last layer."""
    network = builder(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    network.fc = nn.Identity()
    return network


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "builder"), [(R3D, video.r3d_18), (R2Plus1D, video.r2plus1d_18)])
def test_depth_18_and_width_64_are_torchvisions_network_without_its_last_layer(
    kind: type[ResNet3D],
    builder: Builder,
    training: bool,
) -> None:
    torch.manual_seed(0)
    network = reference(builder)
    encoder = kind((3, 8, 32, 32), depth=18)
    encoder.load_state(network.state_dict())
    clips = torch.randn(2, 3, 8, 32, 32)
    torch.testing.assert_close(encoder.train(training)(clips), network.train(training)(clips))


@pytest.mark.parametrize(("kind", "builder"), [(R3D, video.r3d_18), (R2Plus1D, video.r2plus1d_18)])
def test_first_weights_have_torchvisions_distribution(kind: type[ResNet3D], builder: Builder) -> None:
    torch.manual_seed(0)
    ours, theirs = kind((3, 8, 32, 32), depth=18).state_dict(), builder(weights=None).state_dict()
    assert list(ours) == [name for name in theirs if not name.startswith("fc.")]
    for name, value in ours.items():
        if value.dim() == 5:
            assert value.std().item() == pytest.approx(theirs[name].std().item(), rel=0.1), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("depth", "num_blocks", "expansion"),
    # He et al., table 1; 26 has the bottlenecks of 50 in the numbers of 18.
    [
        (18, [2, 2, 2, 2], 1),
        (26, [2, 2, 2, 2], 4),
        (34, [3, 4, 6, 3], 1),
        (50, [3, 4, 6, 3], 4),
        (101, [3, 4, 23, 3], 4),
        (152, [3, 8, 36, 3], 4),
    ],
)
def test_depth_sets_blocks_and_width_their_channels(
    kind: type[ResNet3D],
    depth: int,
    num_blocks: list[int],
    expansion: int,
) -> None:
    with torch.device("meta"):
        encoder = kind((2, 4, 16, 16), depth=depth, width=4)
    stages = [encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4]
    assert [len(stage) for stage in stages] == num_blocks
    outputs = [[module for module in stage.modules() if isinstance(module, nn.BatchNorm3d)][-1] for stage in stages]
    assert [norm.num_features for norm in outputs] == [expansion * channels for channels in (4, 8, 16, 32)]
    assert encoder.feature_dim == expansion * 32


@pytest.mark.parametrize("kind", KINDS)
def test_stages_halve_frames_height_and_width(kind: type[ResNet3D]) -> None:
    with torch.device("meta"):
        encoder = kind((3, 16, 64, 64), depth=26, width=4)
        maps = encoder.stem(torch.empty(1, 3, 16, 64, 64))
        sizes = [tuple(maps.shape[2:])]
        for stage in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
            maps = stage(maps)
            sizes.append(tuple(maps.shape[2:]))
    side = 16 if kind is IPCSN else 32  # ip-CSN pools after the stem
    assert sizes == [(16, side, side)] + [(16 >> k, side >> k, side >> k) for k in range(4)]


def test_a_separated_convolution_of_ip_csn_is_one_3d_convolution_of_rank_one_kernels() -> None:
    torch.manual_seed(0)
    separated = IPCSN((3, 4, 16, 16)).convolution(5, 6, stride=2, entering=5).double()
    mixing, norm, within = separated
    norm.eval()
    clips = torch.randn(2, 5, 4, 7, 7, dtype=torch.float64)
    # Without batch normalisation's shift, W[o, i, t, h, w] = within[o, t, h, w] * mixing[o, i] / sqrt(1 + eps).
    kernel = within.weight * mixing.weight / (1 + norm.eps) ** 0.5
    expected = nn.functional.conv3d(clips, kernel, stride=2, padding=1)
    torch.testing.assert_close(separated(clips), expected)


@pytest.mark.parametrize(
    ("in_channels", "channels", "expected"),
    # 27 * 64 * 64 / (9 * 64 + 3 * 64) = 110,592 / 768 = 144; 27 * 64 * 128 / (9 * 64 + 3 * 128) = 221,184 / 960 = 230.4
    [(64, 64, 144), (64, 128, 230)],
)
def test_a_factorised_convolution_of_r2plus1d_has_as_many_parameters_as_the_3d_one(
    in_channels: int, channels: int, expected: int
) -> None:
    convolution = R2Plus1D((3, 4, 16, 16), width=4).convolution(in_channels, channels, 1, in_channels)
    assert convolution[0].out_channels == expected
    num_weights = convolution[0].weight.numel() + convolution[3].weight.numel()
    assert num_weights == pytest.approx(27 * in_channels * channels, rel=0.005)


def test_r3d_of_one_frame_and_a_kernels_middle_is_an_image_network() -> None:
    torch.manual_seed(0)
    encoder = R3D((3, 1, 32, 32), depth=18, width=8).eval()
    flat = R3D((3, 3, 32, 32), depth=18, width=8).eval()
    flat.load_state_dict(encoder.state_dict())
    for module in flat.modules():
        if isinstance(module, nn.Conv3d) and module.kernel_size[0] == 3:
            module.weight.data[:, :, [0, 2]] = 0  # no convolution sees a frame's neighbours
            module.stride = (1, *module.stride[1:])
        elif isinstance(module, nn.Conv3d):
            module.stride = (1, *module.stride[1:])
    frames = torch.randn(2, 3, 3, 32, 32)
    apart = torch.stack([encoder(frames[:, :, [t]]) for t in range(3)]).mean(dim=0)
    torch.testing.assert_close(flat(frames), apart)


@pytest.mark.parametrize("kind", KINDS)
def test_public_weights_see_gray_in_flows_two_channels(kind: type[ResNet3D]) -> None:
    torch.manual_seed(0)
    colour, flow = kind((3, 4, 32, 32), depth=18, width=8).eval(), kind((2, 4, 32, 32), depth=18, width=8).eval()
    flow.load_state(colour.state_dict())
    gray = torch.randn(2, 1, 4, 32, 32)
    torch.testing.assert_close(flow(gray.expand(2, 2, 4, 32, 32)), colour(gray.expand(2, 3, 4, 32, 32)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_depth_is_the_users_error(kind: type[ResNet3D]) -> None:
    with pytest.raises(UserError, match=f"{kind.__name__}: depth 20 is not there; allowed: 18, 26, 34, 50, 101, 152"):
        kind((3, 4, 16, 16), depth=20)
