import pytest
import torch
from torch import Tensor

from avbalance.encoders.base import Encoder
from avbalance.model import Model
from avbalance.registry import load

INPUTS = {"visual": torch.tensor([[1.0, 2.0]]), "audio": torch.tensor([[3.0, -1.0]])}


class Identity(Encoder):
    """The input is the feature."""

    feature_dim = 2

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs


def build(fusion: str, head: str) -> Model:
    torch.manual_seed(0)
    fused = load("fusion", fusion, {"visual": 2, "audio": 2})
    return Model({"visual": Identity(), "audio": Identity()}, fused, load("head", head, fused.streams, 2))


def test_masked_logits_are_the_exact_shares_under_concatenation_and_a_linear_head() -> None:
    model = build("concat", "linear")
    model.head.load_state_dict(
        {"linear.weight": torch.tensor([[1.0, 0, 2, 0], [0, 1, 0, -1]]), "linear.bias": torch.tensor([4.0, 0])}
    )
    output = model(INPUTS)
    # [1 + 2 * 3 + 4, 2 + 1 + 0]; W_visual f + b / 2 = [1 + 2, 2]; W_audio f + b / 2 = [6 + 2, 1]
    torch.testing.assert_close(output.logits, torch.tensor([[11.0, 3.0]]))
    expected = {"visual": torch.tensor([[3.0, 2.0]]), "audio": torch.tensor([[8.0, 1.0]])}
    torch.testing.assert_close(model.masked(output), expected)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_masked_logits_sum_to_the_logits_where_modalities_stay_apart(head: str) -> None:
    model = build("concat", head)
    output = model(INPUTS)
    torch.testing.assert_close(sum(model.masked(output).values()), output.logits)


@pytest.mark.parametrize(("fusion", "head"), [("concat", "mlp"), ("addition", "linear"), ("film", "cosine")])
def test_masked_logits_are_those_of_the_other_features_at_zero_where_modalities_meet(fusion: str, head: str) -> None:
    model = build(fusion, head)
    masked = model.masked(model(INPUTS))
    assert list(masked) == ["visual", "audio"]
    blank = torch.zeros(1, 2)
    torch.testing.assert_close(masked["visual"], model({"visual": INPUTS["visual"], "audio": blank}).logits)
    torch.testing.assert_close(masked["audio"], model({"visual": blank, "audio": INPUTS["audio"]}).logits)


@pytest.mark.parametrize(("fusion", "head"), [("concat", "linear"), ("concat", "mlp")])
def test_two_of_three_modalities_together_are_the_logits_without_the_third(fusion: str, head: str) -> None:
    torch.manual_seed(0)
    fused = load("fusion", fusion, dict.fromkeys("abc", 2))
    model = Model({name: Identity() for name in "abc"}, fused, load("head", head, fused.streams, 2))
    inputs = {name: torch.randn(4, 2) for name in "abc"}
    together = model.masked(model(inputs), size=2)
    assert list(together) == ["a+b", "a+c", "b+c"]
    expected = model({**inputs, "c": torch.zeros(4, 2)}).logits
    if head == "linear":  # the bias belongs to the modalities in equal parts
        expected = expected - model.head(fused({name: torch.zeros(1, 2) for name in "abc"})) / 3
    torch.testing.assert_close(together["a+b"], expected)


def test_the_order_of_the_inputs_does_not_matter() -> None:
    model = build("concat", "linear")
    assert torch.equal(model(dict(reversed(INPUTS.items()))).logits, model(INPUTS).logits)


@pytest.mark.parametrize("head", ["linear", "cosine", "mlp"])
def test_fusion_and_head_compute_in_float32_under_autocast(head: str) -> None:
    model = build("film", head)
    features = {modality: value.bfloat16() for modality, value in INPUTS.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model.decide(features)
    assert output.logits.dtype == torch.float32
    # The inputs are exact in bfloat16, so nothing may have been rounded.
    assert torch.equal(output.logits, model(INPUTS).logits)
