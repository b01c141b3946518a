from math import exp, log

import pytest
import torch

from avbalance.heads.cosine import Cosine
from avbalance.losses.unimodal import Unimodal
from avbalance.types import Output


def test_cosine_heads_give_the_terms_worked_by_hand() -> None:
    loss = Unimodal({"visual": 2, "audio": 1}, 2, weight=0.5, head={"cosine": {"scale": 10.0}})
    weights = {"heads.visual.linear.weight": [[1.0, 0], [0, 2]], "heads.audio.linear.weight": [[5.0], [-1]]}
    loss.load_state_dict({key: torch.tensor(value) for key, value in weights.items()})
    features = {"visual": torch.tensor([[3.0, 4]]), "audio": torch.tensor([[-2.0]])}
    terms = loss(Output(features, features, torch.tensor([[0.0, 0]])), torch.tensor([1]))
    # [3, 4] has cosines 3/5 and 4/5: logits [6, 8]; [-2] has -1 and 1: [-10, 10]. CE = ln(1 + exp(other - own)).
    expected = {"joint": log(2), "visual": 0.5 * log(1 + exp(-2)), "audio": 0.5 * log(1 + exp(-20))}
    assert {term: value.item() for term, value in terms.items()} == pytest.approx(expected, abs=1e-7)


def test_every_modality_has_a_head_of_its_own() -> None:
    loss = Unimodal({"visual": 2, "audio": 1, "flow": 3}, 4, head="cosine")
    assert all(isinstance(head, Cosine) for head in loss.heads.values())
    assert {m: head.linear.weight.shape for m, head in loss.heads.items()} == {
        "visual": (4, 2),
        "audio": (4, 1),
        "flow": (4, 3),
    }
