import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from avbalance.encoders.resnet18 import ResNet18


@pytest.mark.parametrize("training", [False, True])
def test_width_64_is_torchvisions_resnet18_without_its_last_layer(training: bool) -> None:
    torch.manual_seed(0)
    reference = resnet18()
    reference.fc = nn.Identity()
    encoder = ResNet18((3, 64, 64))
    encoder.load_state_dict(reference.state_dict())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(encoder.train(training)(images), reference.train(training)(images))


def test_first_weights_have_torchvisions_distribution() -> None:
    torch.manual_seed(0)
    ours, reference = ResNet18((3, 64, 64)).state_dict(), resnet18().state_dict()
    for name in ("conv1.weight", "layer2.0.downsample.0.weight", "layer4.1.conv2.weight", "layer4.1.bn2.weight"):
        assert ours[name].std().item() == pytest.approx(reference[name].std().item(), rel=0.05), name


def test_width_scales_every_layer() -> None:
    encoder = ResNet18((1, 40, 50), width=16)
    assert encoder.feature_dim == 128
    assert encoder.conv1.weight.shape == (16, 1, 7, 7)
    assert [p.shape[0] for p in (encoder.layer1[0].conv1.weight, encoder.layer3[0].conv1.weight)] == [16, 64]


def test_a_spectrogram_is_an_image_of_one_channel() -> None:
    encoder = ResNet18((40, 50), width=8).eval()
    spectrogram = torch.randn(2, 40, 50)
    image = ResNet18((1, 40, 50), width=8).eval()
    image.load_state_dict(encoder.state_dict())
    assert torch.equal(encoder(spectrogram), image(spectrogram.unsqueeze(1)))


def test_a_video_is_the_mean_of_its_frames_features() -> None:
    torch.manual_seed(0)
    video, image = ResNet18((3, 2, 40, 40), width=8).eval(), ResNet18((3, 40, 40), width=8).eval()
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
