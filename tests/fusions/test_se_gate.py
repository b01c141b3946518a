import pytest
import torch

from avbalance.errors import UserError
from avbalance.fusions.se_gate import SEGate


@pytest.mark.parametrize(
    ("reduction", "hidden"),
    [(16, 2), (33, 1), (100, 1)],  # 33 // 16, 33 // 33, never less than 1
)
def test_the_hidden_layer_is_shorter_by_the_reduction(reduction: int, hidden: int) -> None:
    assert SEGate({"visual": 20, "audio": 13}, reduction=reduction).W_1.weight.shape == (hidden, 33)


def test_a_gate_lets_a_share_of_each_feature_through() -> None:
    torch.manual_seed(0)
    features = {"visual": torch.randn(50, 8), "audio": torch.randn(50, 5)}
    for modality, stream in SEGate({"visual": 8, "audio": 5}, reduction=2)(features).items():
        share = stream / features[modality]
        assert ((share > 0) & (share < 1)).all()


def test_what_one_modality_shows_changes_the_gates_of_the_other() -> None:
    torch.manual_seed(0)
    fusion, audio = SEGate({"visual": 8, "audio": 5}, reduction=2), torch.randn(50, 5)
    before, after = (fusion({"visual": torch.randn(50, 8), "audio": audio})["audio"] for _ in range(2))
    assert (before != after).any()


def test_a_reduction_below_one_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"^fusion SEGate has reduction 0; allowed: 1 or more$"):
        SEGate({"visual": 2, "audio": 2}, reduction=0)
