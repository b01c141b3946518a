"""Every loss against values worked by hand, and what holds for every registered loss."""

from math import log
from typing import Any

import pytest
import torch

from avbalance.losses import REGISTRY
from avbalance.losses.base import objective
from avbalance.registry import load
from avbalance.types import Output

EXPECTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, float]]] = {
    # Label 1, joint logits [0, ln 3]: probability 3 / 4, cross-entropy ln(4 / 3).
    "joint": ({}, {}, {"joint": log(4 / 3)}),
    # visual head: [0, ln 7 * 1] + 0, probability 7 / 8; audio head: 0 * f + [0, 0], probability 1 / 2.
    "unimodal": (
        {"weight": 0.5},
        {
            "heads.visual.weight": [[0, 0], [log(7), 0]],
            "heads.visual.bias": [0, 0],
            "heads.audio.weight": [[0], [0]],
            "heads.audio.bias": [0, 0],
        },
        {"joint": log(4 / 3), "visual": 0.5 * log(8 / 7), "audio": 0.5 * log(2)},
    ),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_terms_are_those_worked_by_hand(name: str) -> None:
    options, weights, terms = EXPECTED[name]
    loss = load("loss", {name: options}, {"visual": 2, "audio": 1}, 2)
    loss.load_state_dict({key: torch.tensor(value).float() for key, value in weights.items()})
    features = {"visual": torch.tensor([[1.0, 5.0]]), "audio": torch.tensor([[3.0]])}
    found = loss(Output(features, features, torch.tensor([[0, log(3)]])), torch.tensor([1]))
    assert {term: value.item() for term, value in found.items()} == pytest.approx(terms)


@pytest.mark.parametrize("name", REGISTRY)
def test_terms_are_scalars_and_their_gradients_reach_every_parameter_and_the_logits(name: str) -> None:
    torch.manual_seed(0)
    loss = load("loss", name, {"visual": 6, "audio": 4}, 3)
    features = {"visual": torch.randn(5, 6), "audio": torch.randn(5, 4)}
    logits = torch.randn(5, 3, requires_grad=True)
    terms = loss(Output(features, features, logits), torch.tensor([0, 1, 2, 0, 1]))
    assert {value.shape for value in terms.values()} == {()}
    sum(terms.values()).backward()
    for key, value in [*loss.named_parameters(), ("logits", logits)]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


def test_the_objective_of_one_class_is_cross_entropy_and_of_several_binary_cross_entropy() -> None:
    # softmax(0, ln 3) = (1/4, 3/4). sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4, of a class that the clip has not: ln 4.
    logits = torch.tensor([[0, log(3)]])
    assert objective(logits, torch.tensor([1])).item() == pytest.approx(log(4 / 3))
    assert objective(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx((log(2) + log(4)) / 2)


@pytest.mark.parametrize("name", REGISTRY)
def test_terms_of_several_classes_are_binary_cross_entropies(name: str) -> None:
    torch.manual_seed(0)
    loss = load("loss", name, {"visual": 6, "audio": 4}, 3)
    features = {"visual": torch.randn(5, 6), "audio": torch.randn(5, 4)}
    logits, labels = torch.randn(5, 3), torch.randint(2, (5, 3)).float()
    said = {"joint": logits} | {name: head(features[name]) for name, head in getattr(loss, "heads", {}).items()}
    terms = loss(Output(features, features, logits), labels)
    assert terms.keys() == said.keys()
    for term, value in terms.items():
        p = said[term].double().sigmoid()
        expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
        assert value.item() == pytest.approx(expected.item(), rel=1e-5)
