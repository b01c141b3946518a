"""Encoders of extracted features; the numbers are worked out by hand."""

import pytest
import torch

from avbalance.configuration import signature
from avbalance.errors import UserError
from avbalance.registry import load


@pytest.mark.parametrize("name", ["identity", "mlp"])
def test_steps_of_zeros_do_not_count_in_the_mean(name: str) -> None:
    encoder = load("encoder", {name: {"hidden": [2]} if name == "mlp" else {}}, (4, 2))
    if name == "mlp":  # relu(x)
        with torch.no_grad():
            encoder.layer1.linear.weight.copy_(torch.eye(2))
            encoder.layer1.linear.bias.zero_()
    whole = torch.tensor([[1.0, 2.0], [3.0, 6.0], [0.0, 0.0], [0.0, 0.0]])
    first = torch.tensor([[0.0, 0.0], [0.0, 4.0], [2.0, 0.0], [0.0, 0.0]])  # a zero in a step is a number
    features = encoder(torch.stack([whole, first, torch.zeros(4, 2)]))
    # (1 + 3) / 2, (2 + 6) / 2; (0 + 2) / 2, (4 + 0) / 2; nothing but padding
    assert features.tolist() == [[2.0, 4.0], [1.0, 2.0], [0.0, 0.0]]


def test_features_of_one_vector_stay_as_they_are() -> None:
    inputs = torch.tensor([[0.0, -1.0, 2.0], [0.0, 0.0, 0.0]])
    assert torch.equal(load("encoder", "identity", (3,))(inputs), inputs)


def test_a_perceptron_computes_as_its_docstring_says() -> None:
    torch.manual_seed(0)
    mlp = load("encoder", {"mlp": {"hidden": [5, 3], "dropout": 0.5}}, (4,)).eval()
    x = torch.randn(2, 4)
    layers = [layer.linear for layer in mlp.children()]
    expected = (x @ layers[0].weight.T + layers[0].bias).relu()
    expected = (expected @ layers[1].weight.T + layers[1].bias).relu()
    torch.testing.assert_close(mlp(x), expected)
    many = load("encoder", {"mlp": {"hidden": [4000], "dropout": 0.5}}, (4,)).train()
    torch.nn.init.ones_(many.layer1.linear.bias)
    torch.nn.init.zeros_(many.layer1.linear.weight)
    # 4,000 units: the standard error of the share is 0.008; those that are kept are doubled.
    dropped = many(x[:1])
    assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.04)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("hidden", [[], [0], [8] * 17, 8])
def test_impossible_widths_are_refused_before_anything_runs(hidden: object) -> None:
    with pytest.raises(UserError, match=r"^mlp\.hidden: found .*; "):
        signature.resolve("encoder", {"mlp": {"hidden": hidden}})  # type: ignore[dict-item]
