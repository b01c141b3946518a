import hashlib
import io

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from avbalance.encoders.resnet import ResNet, ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from avbalance.errors import UserError

TORCHVISIONS = {
    ResNet18: models.resnet18,
    ResNet34: models.resnet34,
    ResNet50: models.resnet50,
    ResNet101: models.resnet101,
    ResNet152: models.resnet152,
}


def reference(kind: type[ResNet]) -> nn.Module:
    """Torchvision's network with random weights and statistics, without its last layer."""
    network = TORCHVISIONS[kind](weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    network.fc = nn.Identity()
    return network


def public_state(kind: type[ResNet]) -> dict[str, Tensor]:
    """A state as torchvision publishes it, classifier included, written to a file and read back."""
    network = reference(kind)
    network.fc = nn.Linear(512 * kind.block.expansion, 1000)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    state: dict[str, Tensor] = torch.load(file, weights_only=True)
    return state


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", TORCHVISIONS)
def test_width_64_is_torchvisions_network_without_its_last_layer(kind: type[ResNet], training: bool) -> None:
    torch.manual_seed(0)
    network = reference(kind)
    encoder = kind((3, 64, 64))
    encoder.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder.train(training)(images), network.train(training)(images))


@pytest.mark.parametrize("kind", [ResNet18, ResNet50])
def test_first_weights_have_torchvisions_distribution(kind: type[ResNet]) -> None:
    torch.manual_seed(0)
    ours, theirs = kind((3, 64, 64)).state_dict(), TORCHVISIONS[kind](weights=None).state_dict()
    for name in ("conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight", "layer4.1.bn2.weight"):
        assert ours[name].std().item() == pytest.approx(theirs[name].std().item(), rel=0.05), name


def test_the_seed_gives_resnet18_the_weights_that_committed_runs_started_from() -> None:
    torch.manual_seed(0)
    state = ResNet18((40, 50), width=8).state_dict()
    # Names, and every 1000th weight in 1/1000, as the first version of this encoder drew them.
    drawn = torch.cat([value.flatten() for value in state.values() if value.is_floating_point()])[::1000]
    said = f"{list(state)} {[round(1000 * value) for value in drawn.tolist()]}"
    assert hashlib.sha256(said.encode()).hexdigest()[:12] == "c3927634e18f"


def test_width_scales_every_layer() -> None:
    encoder = ResNet18((1, 40, 50), width=16)
    assert encoder.feature_dim == 128
    assert encoder.conv1.weight.shape == (16, 1, 7, 7)
    assert [p.shape[0] for p in (encoder.layer1[0].conv1.weight, encoder.layer3[0].conv1.weight)] == [16, 64]
    bottlenecks = ResNet50((1, 40, 50), width=4)
    assert bottlenecks.feature_dim == 128
    assert [p.shape[0] for p in (bottlenecks.layer3[0].conv2.weight, bottlenecks.layer3[0].conv3.weight)] == [16, 64]


def test_a_spectrogram_is_an_image_of_one_channel() -> None:
    encoder = ResNet18((40, 50), width=8).eval()
    spectrogram = torch.randn(2, 40, 50)
    image = ResNet18((1, 40, 50), width=8).eval()
    image.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(spectrogram), image(spectrogram.unsqueeze(1)))


@pytest.mark.parametrize("kind", [ResNet18, ResNet50])
def test_a_video_is_the_mean_of_its_frames_features(kind: type[ResNet]) -> None:
    torch.manual_seed(0)
    video, image = kind((3, 2, 40, 40), width=8).eval(), kind((3, 40, 40), width=8).eval()
    image.load_state_dict(video.state_dict())
    frames = torch.randn(4, 3, 2, 40, 40)
    expected = (image(frames[:, :, 0]) + image(frames[:, :, 1])) / 2
    torch.testing.assert_close(video(frames), expected)


def test_stacked_frames_are_the_channels_of_one_image() -> None:
    torch.manual_seed(0)
    stacked = ResNet18((3, 2, 40, 40), width=8, frames="stacked").eval()
    image = ResNet18((6, 40, 40), width=8).eval()
    image.load_state_dict(stacked.state_dict())
    frames = torch.randn(4, 3, 2, 40, 40)
    channels = torch.stack([frames[:, c, t] for c in range(3) for t in range(2)], dim=1)
    assert torch.equal(stacked(frames), image(channels))


def test_a_feature_length_is_reached_by_one_linear_layer() -> None:
    torch.manual_seed(0)
    encoder, plain = ResNet50((3, 2, 32, 32), width=8, feature_dim=24).eval(), ResNet50((3, 2, 32, 32), width=8).eval()
    plain.load_state_dict({n: value for n, value in encoder.state_dict().items() if not n.startswith("linear.")})
    frames = torch.randn(4, 3, 2, 32, 32)
    assert encoder.feature_dim == 24
    assert encoder.linear.weight.shape == (24, 256)  # 32 * 8
    torch.testing.assert_close(encoder(frames), plain(frames) @ encoder.linear.weight.T + encoder.linear.bias)


@pytest.mark.parametrize("kind", [ResNet18, ResNet50])
def test_public_weights_give_the_same_features_of_images(kind: type[ResNet]) -> None:
    torch.manual_seed(0)
    state = public_state(kind)
    encoder, network = kind((3, 64, 64)).eval(), reference(kind).eval()
    encoder.load_state(state)
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder(images), network(images))


@pytest.mark.parametrize("shape", [(48, 40), (2, 48, 40), (3, 3, 48, 40)])
def test_public_weights_see_gray_in_any_number_of_channels(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    state = public_state(ResNet18)
    colour, encoder = ResNet18((3, 48, 40)).eval(), ResNet18(shape, frames="stacked").eval()
    colour.load_state(state)
    encoder.load_state(state)
    gray = torch.randn(2, 1, 48, 40)
    inputs = gray.expand(2, encoder.num_channels, 48, 40).reshape(2, *shape)
    torch.testing.assert_close(encoder(inputs), colour(gray.expand(2, 3, 48, 40)))


def test_every_new_channel_gets_the_mean_of_the_three_colours() -> None:
    torch.manual_seed(0)
    state = public_state(ResNet18)
    encoder = ResNet18((2, 48, 40))
    encoder.load_state(state)
    r, g, b = state["conv1.weight"].unbind(dim=1)
    for channel in (0, 1):
        # (r + g + b) / 3, times 3 / 2
        torch.testing.assert_close(encoder.conv1.weight[:, channel], (r + g + b) / 2)


def test_public_weights_leave_the_linear_layer_and_what_was_cut_alone() -> None:
    torch.manual_seed(0)
    state = public_state(ResNet50)
    encoder = ResNet50((3, 64, 64), feature_dim=16)
    before = encoder.linear.weight.clone()
    encoder.load_state(state)
    assert torch.equal(encoder.linear.weight, before)
    encoder.cut()
    encoder.load_state(state)
    assert torch.equal(encoder.layer3[0].conv2.weight, state["layer3.0.conv2.weight"])


def test_an_encoders_own_state_is_taken_whole() -> None:
    torch.manual_seed(0)
    one, other = (ResNet50((40, 50), width=4, feature_dim=8) for _ in range(2))
    other.load_state(one.state_dict())
    assert all(torch.equal(value, one.state_dict()[name]) for name, value in other.state_dict().items())
    with pytest.raises(UserError, match=r"'linear.weight' is \[8, 128\] there and missing in the encoder"):
        ResNet50((40, 50), width=4).load_state(one.state_dict())


def test_old_public_weights_without_counts_of_batches_fit() -> None:
    old = {n: v for n, v in public_state(ResNet18).items() if not n.endswith("num_batches_tracked")}
    encoder = ResNet18((3, 64, 64))
    encoder.load_state(old)
    assert all(torch.equal(value, old[name]) for name, value in encoder.state_dict().items() if name in old)
    assert "layer4.1.conv2.weight" in old


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        (lambda: ResNet18((3, 64, 64), width=16), r"'conv1.weight' is \[64, 3, 7, 7\] there and \[16, 3, 7, 7\]"),
        (lambda: ResNet34((3, 64, 64)), r"'layer1.2.conv1.weight' is missing there and \[64, 64, 3, 3\]"),
        (lambda: ResNet50((3, 64, 64)), r"'layer1.0.conv1.weight' is \[64, 64, 3, 3\] there and \[64, 64, 1, 1\]"),
    ],
)
def test_weights_of_another_width_or_network_are_the_users_error(encoder: type[ResNet], said: str) -> None:
    state = public_state(ResNet18)
    with pytest.raises(UserError, match=f"{said}.*width 64") as error:
        encoder().load_state(state)
    assert "\n" not in str(error.value)


def test_weights_of_something_else_are_the_users_error() -> None:
    with pytest.raises(UserError, match=r"'conv1.weight' is missing there"):
        ResNet18((40, 50), width=8).load_state({"bias": torch.zeros(3)})


def test_the_16_residual_additions_of_resnet50_are_layers_of_the_shapes_that_the_probes_paper_prints() -> None:
    # Alain & Bengio, 2016, Table 4a; it prints 28 x 28 for the first three, which are 56 x 56 (He et al., table 1).
    shapes: list[tuple[int, ...]] = []
    names = [f"layer{stage}.{block}" for stage, num in ((1, 3), (2, 4), (3, 6), (4, 3)) for block in range(num)]
    with torch.device("meta"):
        encoder = ResNet50((3, 224, 224)).eval()
        for name in names:
            encoder.get_submodule(name).register_forward_hook(lambda _, __, maps: shapes.append(tuple(maps.shape[1:])))
        encoder(torch.empty(1, 3, 224, 224))
    expected = [(256, 56, 56)] * 3 + [(512, 28, 28)] * 4 + [(1024, 14, 14)] * 6 + [(2048, 7, 7)] * 3
    assert shapes == expected
