"""What holds for every registered encoder."""

import pytest
import torch

from avbalance.cli import UserError
from avbalance.encoders import REGISTRY
from avbalance.registry import load

SHAPES = {
    "conv1net": [(320,)],
    "conv2net": [(1, 28, 28), (2, 13, 22)],
    "resnet18": [(3, 64, 48), (40, 50), (3, 2, 40, 40)],
}
CASES = [(name, shape) for name in REGISTRY for shape in SHAPES[name]]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_batch_becomes_one_float32_feature_vector_a_clip(name: str, shape: tuple[int, ...]) -> None:
    encoder = load("encoder", name, shape)
    features = encoder(torch.randn(3, *shape))
    assert features.shape == (3, encoder.feature_dim)
    assert features.dtype == torch.float32


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_finite_gradients_reach_every_parameter(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = load("encoder", name, shape)
    encoder(torch.randn(3, *shape)).square().sum().backward()
    for parameter_name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_in_evaluation_a_clip_does_not_depend_on_its_batch(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = load("encoder", name, shape).eval()
    inputs = torch.randn(3, *shape)
    torch.testing.assert_close(encoder(inputs[1:2]), encoder(inputs)[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_bfloat16_autocast_gives_nearly_the_same_features(name: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    encoder = load("encoder", name, shape).eval()
    inputs = torch.randn(3, *shape)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = encoder(inputs).float()
    exact = encoder(inputs)
    assert (rounded - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("name", ["conv1net", "conv2net"])
def test_dropout_drops_about_half_of_the_features_in_training_only(name: str) -> None:
    torch.manual_seed(0)
    shape = SHAPES[name][0]
    encoder = load("encoder", name, shape)
    inputs = torch.randn(64, *shape)
    alive = encoder.eval()(inputs) > 0
    dropped = alive & (encoder.train()(inputs) == 0)
    # 64 * 128 features of which some thousand are alive: the standard error is below 0.01.
    assert dropped.sum() / alive.sum() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("conv1net", (1, 320)), ("conv1net", (328,)), ("conv2net", (28, 28)), ("resnet18", (320,))],
)
def test_a_shape_it_cannot_read_is_the_users_error(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"reads \[.*found \["):
        load("encoder", name, shape)
