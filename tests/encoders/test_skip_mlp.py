import pytest
import torch
from torch import nn

from avbalance.encoders.skip_mlp import SkipMLP
from avbalance.errors import UserError


def test_the_paper_has_128_layers_of_128_units() -> None:
    encoder = SkipMLP((1, 28, 28))
    layers = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    assert len(layers) == 128
    assert {layer.out_features for layer in layers} == {128}
    # 784 * 128 + 128 enter; 126 times 128 * 128 + 128; the skip enters at layer 65: (128 + 784) * 128 + 128.
    expected = 100_480 + 126 * 16_512 + 116_864
    assert sum(p.numel() for p in encoder.parameters()) == expected
    assert layers[64].in_features == 128 + 784
    assert layers[64] is encoder.second.get_submodule("0.0.0")


def test_without_the_skip_the_second_half_sees_the_first_alone() -> None:
    inputs, other = torch.randn(3, 10), torch.randn(3, 10)
    for skip in (True, False):
        torch.manual_seed(0)
        encoder = SkipMLP((10,), depth=16, width=8, skip=skip)
        encoder.first.register_forward_hook(lambda _, __, output: torch.ones_like(output))
        assert torch.equal(encoder(inputs), encoder(other)) != skip


def test_layers_are_those_of_the_equation() -> None:
    torch.manual_seed(0)
    encoder = SkipMLP((10,), depth=16, width=8)
    x = torch.randn(3, 10)
    layers = [module for module in encoder.modules() if isinstance(module, nn.Linear)]
    hidden = x
    for number, layer in enumerate(layers):
        hidden = torch.relu(layer(torch.cat([hidden, x], dim=1) if number == 8 else hidden))
    torch.testing.assert_close(encoder(x), hidden)


def test_first_weights_are_orthogonal_times_the_root_of_two() -> None:
    weight = SkipMLP((784,)).first.get_submodule("3.2.0").weight
    torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(128), atol=1e-4, rtol=0)


@pytest.mark.parametrize("depth", [0, 8, 100])
def test_a_depth_that_cannot_be_halved_and_grouped_is_the_users_error(depth: int) -> None:
    with pytest.raises(UserError, match="multiple of 16"):
        SkipMLP((10,), depth=depth)
