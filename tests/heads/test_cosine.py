import pytest
import torch
from torch import Tensor

from avbalance.heads.cosine import Cosine, scale_lower_bound, scale_lower_bound_derived


def test_lengths_of_features_and_weights_do_not_matter() -> None:
    torch.manual_seed(0)
    head = Cosine({"visual": 3, "audio": 2}, 4)
    streams = {"visual": torch.randn(5, 3), "audio": torch.randn(5, 2)}
    before = head(streams)
    with torch.no_grad():
        head.linear.weight.mul_(7)
    torch.testing.assert_close(head({"visual": 100 * streams["visual"], "audio": streams["audio"] / 9}), before)


def test_bounds_are_those_worked_by_hand() -> None:
    # C = 6, p = 0.9: ln(5 * 0.9 / 0.1) = ln 45 = 3.806662; times 5 / 14 = 1.359522, times 5 / 12 = 1.586109.
    assert scale_lower_bound(6, 0.9) == pytest.approx(1.359522, abs=1e-6)
    assert scale_lower_bound_derived(6, 0.9) == pytest.approx(1.586109, abs=1e-6)


@pytest.mark.parametrize("probability", [0.6, 0.99])
def test_the_derived_bound_reaches_the_expected_probability_exactly(probability: float) -> None:
    # Weights are the corners of a regular simplex: cos = -1 / (C - 1) between any two.
    C = 5
    corners = torch.eye(C, dtype=torch.float64) - 1 / C

    def probability_of_the_class(scale: float) -> Tensor:
        head = Cosine({"visual": C, "audio": C}, C, scale=scale).double()
        head.linear.weight.data = torch.cat([corners, corners], dim=1)
        return head({"visual": corners, "audio": corners}).softmax(dim=1).diagonal()

    reached = probability_of_the_class(scale_lower_bound_derived(C, probability))
    torch.testing.assert_close(reached, torch.full((C,), probability, dtype=torch.float64))
    assert (probability_of_the_class(scale_lower_bound(C, probability)) < probability).all()
