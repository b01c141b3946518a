import pytest

from avbalance.errors import UserError
from avbalance.heads.two_layer import TwoLayer


def test_both_layers_have_the_length_that_is_asked_for() -> None:
    head = TwoLayer({"visual": 6, "audio": 4}, 3, hidden=5)
    assert [layer.weight.shape for layer in (head.linear1, head.linear2, head.linear3)] == [(5, 10), (5, 5), (3, 5)]


def test_layers_without_units_are_the_users_error() -> None:
    with pytest.raises(UserError, match=r"^head TwoLayer has hidden 0; allowed: 1 or more$"):
        TwoLayer({"visual": 6}, 3, hidden=0)
