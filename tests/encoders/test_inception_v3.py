from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import Inception3

from avbalance.encoders.inception_v3 import InceptionV3
from avbalance.errors import UserError


@cache
def published() -> Inception3:
    """Torchvision's network with random weights and statistics, made as the public one is."""
    torch.manual_seed(0)
    network = Inception3(transform_input=True, init_weights=False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
    return network.eval()


def outputs_of(network: nn.Module, names: list[str]) -> list[list[Tensor]]:
    """What layers give from now on, a list each."""
    outputs: list[list[Tensor]] = [[] for _ in names]
    for name, found in zip(names, outputs, strict=True):
        network.get_submodule(name).register_forward_hook(lambda _, __, output, found=found: found.append(output))
    return outputs


def test_at_width_32_it_is_torchvisions_network_with_its_public_transformation_of_colours() -> None:
    encoder = InceptionV3((3, 299, 299), branch=True).eval()
    encoder.load_state(published().state_dict())
    images = torch.randn(1, 3, 299, 299)
    features: list[Tensor] = []
    taken = [
        published().get_submodule(name).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
        for name in ("fc", "AuxLogits.fc")
    ]
    with torch.no_grad():
        published()(images)
        maps, auxiliary = outputs_of(encoder, ["Mixed_6e", "AuxLogits"])
        torch.testing.assert_close(encoder(images), features[0])
        # In evaluation torchvision leaves its branch out, so it is asked for what ours saw.
        published().AuxLogits(maps[0])  # type: ignore[misc]
        torch.testing.assert_close(auxiliary[0], features[1])
    for hook in taken:
        hook.remove()


def test_layers_have_the_papers_shapes() -> None:
    # Szegedy et al., CVPR 2016, table 1; 73 * 73 * 80 = 426,320 is the number of features that Alain & Bengio name.
    names = ["Conv2d_3b_1x1", "maxpool2", "Mixed_5d", "Mixed_6e", "AuxLogits.conv0", "Mixed_7a", "Mixed_7c"]
    with torch.device("meta"):
        encoder = InceptionV3((3, 299, 299), branch=True).eval()
        outputs = outputs_of(encoder, names)
        encoder(torch.empty(1, 3, 299, 299))
    assert {name: tuple(found[0].shape[1:]) for name, found in zip(names, outputs, strict=True)} == {
        "Conv2d_3b_1x1": (80, 73, 73),
        "maxpool2": (192, 35, 35),
        "Mixed_5d": (288, 35, 35),
        "Mixed_6e": (768, 17, 17),
        "AuxLogits.conv0": (128, 5, 5),
        "Mixed_7a": (1280, 8, 8),
        "Mixed_7c": (2048, 8, 8),
    }


def test_an_encoder_without_the_branch_takes_public_weights_too() -> None:
    encoder = InceptionV3((3, 75, 75))
    encoder.load_state(published().state_dict())
    assert torch.equal(encoder.Mixed_7c.branch1x1.conv.weight, published().Mixed_7c.branch1x1.conv.weight)  # type: ignore[union-attr]


def test_weights_of_another_width_do_not_fit() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        InceptionV3((3, 75, 75), width=8).load_state(published().state_dict())


@pytest.mark.parametrize("size", [107, 139, 200])
def test_of_small_images_the_branch_spans_what_is_left(size: int) -> None:
    encoder = InceptionV3((1, size, size), width=4, branch=True)
    (auxiliary,) = outputs_of(encoder, ["AuxLogits"])
    encoder(torch.randn(2, 1, size, size))
    assert auxiliary[0].shape == (2, encoder.branch_dim) == (2, 96)


def test_the_branch_does_not_change_the_features() -> None:
    with_branch = InceptionV3((3, 107, 107), width=4, branch=True).eval()
    without = InceptionV3((3, 107, 107), width=4).eval()
    without.load_state(with_branch.state_dict())
    images = torch.randn(2, 3, 107, 107)
    assert torch.equal(with_branch(images), without(images))


def test_first_weights_have_torchvisions_distribution() -> None:
    torch.manual_seed(0)
    encoder = InceptionV3((3, 107, 107), branch=True)
    assert encoder.Mixed_6b.branch1x1.conv.weight.std().item() == pytest.approx(0.1, rel=0.02)  # type: ignore[union-attr, operator]
    assert encoder.AuxLogits.conv1.conv.weight.std().item() == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize(("shape", "options"), [((3, 90, 107), {"branch": True}), ((3, 107, 107), {"width": 3})])
def test_what_it_cannot_be_made_for_is_the_users_error(shape: tuple[int, ...], options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"found \[3, 90, 107\]|has width 3"):
        InceptionV3(shape, **options)
