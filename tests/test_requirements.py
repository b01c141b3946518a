"""Requirements of methods; `configuration/test_pairing.py` has an unmet one of each for real methods."""

import pytest

from avbalance.balancers.base import Balancer
from avbalance.errors import UserError
from avbalance.fusions.base import Fusion
from avbalance.requirements import REQUIREMENTS, Combination, Encoder, check, declared_by

PAIR = Combination({"audio": Encoder("a", 4), "visual": Encoder("b", 6)})


def test_every_requirement_is_declared_by_an_attribute_of_a_base_class() -> None:
    known = {*Fusion.__annotations__, *Balancer.__annotations__}
    assert {requirement.attribute for requirement in REQUIREMENTS} <= known


def test_the_base_classes_require_nothing_but_any_task() -> None:
    assert [text for _, text in declared_by(vars(Fusion))] == []
    assert [text for _, text in declared_by(vars(Balancer))] == [
        "`single_label` or `multi_label` or `verification` data"
    ]


def test_the_first_unmet_requirement_is_reported_with_its_remedy() -> None:
    check("fusion", "mine", {"two_modalities": True}, PAIR)
    with pytest.raises(
        UserError, match=r"^fusion: 'mine' needs .*one feature length, found audio 4, visual 6; choose "
    ):
        check("fusion", "mine", {"two_modalities": True, "equal_dims": True}, PAIR)


def test_a_length_that_only_the_constructor_knows_may_be_any() -> None:
    check("fusion", "mine", {"equal_dims": True}, Combination({"a": Encoder("a", 4), "b": Encoder("b", None)}))
