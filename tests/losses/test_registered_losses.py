"""Every loss against values worked by hand, and what holds for every registered loss."""

from itertools import permutations
from math import atanh, log
from typing import Any

import pytest
import torch

from avbalance.losses.base import Loss, objective
from avbalance.registry import load
from avbalance.types import Output
from registered import names

EXPECTED: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, float]]] = {
    # Label 1, joint logits [0, ln 3]: probability 3 / 4, cross-entropy ln(4 / 3).
    "joint": ({}, {}, {"joint": log(4 / 3)}),
    # visual head: [0, ln 7 * 1] + 0, probability 7 / 8; audio head: 0 * f + [0, 0], probability 1 / 2.
    "unimodal": (
        {"weight": 0.5},
        {
            "heads.visual.linear.weight": [[0, 0], [log(7), 0]],
            "heads.visual.linear.bias": [0, 0],
            "heads.audio.linear.weight": [[0], [0]],
            "heads.audio.linear.bias": [0, 0],
        },
        {"joint": log(4 / 3), "visual": 0.5 * log(8 / 7), "audio": 0.5 * log(2)},
    ),
    # The same losses; s = 2 tanh(atanh(s / 2)) is ln 2, -ln 3 and 0: weights 1 / 2, 3 and 1; (ln 2 - ln 3 + 0) / 2.
    "uncertainty": (
        {"bound": 2.0},
        {
            "heads.visual.linear.weight": [[0, 0], [log(7), 0]],
            "heads.visual.linear.bias": [0, 0],
            "heads.audio.linear.weight": [[0], [0]],
            "heads.audio.linear.bias": [0, 0],
            "r.joint": 2 * atanh(log(2) / 2),
            "r.visual": 2 * atanh(-log(3) / 2),
            "r.audio": 0,
        },
        {
            "joint": 0.5 * log(4 / 3),
            "visual": 3 * log(8 / 7),
            "audio": log(2),
            "uncertainty": (log(2) - log(3)) / 2,
        },
    ),
}
DIMS = [{"visual": 6, "audio": 4}, {"visual": 6, "audio": 4, "flow": 5}]


@pytest.mark.parametrize("name", EXPECTED)
def test_terms_are_those_worked_by_hand(name: str) -> None:
    options, weights, terms = EXPECTED[name]
    loss = load("loss", {name: options}, {"visual": 2, "audio": 1}, 2)
    loss.load_state_dict({key: torch.tensor(value).float() for key, value in weights.items()})
    features = {"visual": torch.tensor([[1.0, 5.0]]), "audio": torch.tensor([[3.0]])}
    found = loss(Output(features, features, torch.tensor([[0, log(3)]])), torch.tensor([1]))
    assert {term: value.item() for term, value in found.items()} == pytest.approx(terms)


def build(name: str, dims: dict[str, int]) -> Loss:
    torch.manual_seed(0)
    loss: Loss = load("loss", name, dims, 3)
    return loss


def random_output(dims: dict[str, int], num_clips: int = 5) -> Output:
    generator = torch.Generator().manual_seed(1)
    features = {
        modality: torch.randn(num_clips, dim, generator=generator).requires_grad_() for modality, dim in dims.items()
    }
    return Output(features, features, torch.randn(num_clips, 3, generator=generator).requires_grad_())


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("name", names("loss"))
def test_terms_are_scalars_and_their_gradients_reach_every_parameter_and_the_logits(
    name: str, dims: dict[str, int]
) -> None:
    loss, output = build(name, dims), random_output(dims)
    terms = loss(output, torch.tensor([0, 1, 2, 0, 1]))
    assert {value.shape for value in terms.values()} == {()}
    assert {value.dtype for value in terms.values()} == {torch.float32}
    sum(terms.values()).backward()
    for key, value in [*loss.named_parameters(), ("logits", output.logits)]:
        assert value.grad is not None, key
        assert value.grad.isfinite().all(), key
        assert value.grad.any(), key


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("name", names("loss"))
def test_permuting_the_modalities_leaves_every_term(name: str, dims: dict[str, int]) -> None:
    loss, output, labels = build(name, dims), random_output(dims), torch.tensor([0, 1, 2, 0, 1])
    for order in permutations(dims):
        other = build(name, {modality: dims[modality] for modality in order})
        other.load_state_dict(loss.state_dict())
        permuted = Output({modality: output.features[modality] for modality in order}, {}, output.logits)
        torch.testing.assert_close(other(permuted, labels), loss(output, labels))


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("name", names("loss"))
def test_one_clip_and_a_modality_that_is_zero_give_finite_terms_and_gradients(name: str, dims: dict[str, int]) -> None:
    for constant in dims:
        loss, output = build(name, dims), random_output(dims, num_clips=1)
        output.features[constant] = torch.zeros(1, dims[constant], requires_grad=True)
        terms = loss(output, torch.tensor([2]))
        sum(terms.values()).backward()
        gradients = [value.grad for value in [*loss.parameters(), *output.features.values(), output.logits]]
        assert all(value.isfinite() for value in terms.values())
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", names("loss"))
def test_feature_maps_count_as_their_means_over_positions(name: str) -> None:
    dims = {"visual": 6, "audio": 4}
    loss, labels = build(name, dims), torch.tensor([0, 1, 2, 0, 1])
    maps = {"visual": torch.randn(5, 6, 2, 3, 4), "audio": torch.randn(5, 4, 7, 2)}
    means = {"visual": maps["visual"].mean(dim=(2, 3, 4)), "audio": maps["audio"].mean(dim=(2, 3))}
    logits = torch.randn(5, 3)
    torch.testing.assert_close(loss(Output(maps, {}, logits), labels), loss(Output(means, {}, logits), labels))


def test_the_objective_of_one_class_is_cross_entropy_and_of_several_binary_cross_entropy() -> None:
    # softmax(0, ln 3) = (1/4, 3/4). sigmoid(0) = 1/2 and sigmoid(ln 3) = 3/4, of a class that the clip has not: ln 4.
    logits = torch.tensor([[0, log(3)]])
    assert objective(logits, torch.tensor([1])).item() == pytest.approx(log(4 / 3))
    assert objective(logits, torch.tensor([[1.0, 0.0]])).item() == pytest.approx((log(2) + log(4)) / 2)


@pytest.mark.parametrize("name", EXPECTED)
def test_terms_of_several_classes_are_binary_cross_entropies(name: str) -> None:
    dims = {"visual": 6, "audio": 4}
    loss, output, labels = build(name, dims), random_output(dims), torch.randint(2, (5, 3)).float()
    heads = getattr(loss, "heads", {})
    said = {"joint": output.logits} | {m: head({m: output.features[m]}) for m, head in heads.items()}
    terms = loss(output, labels)
    assert terms.keys() - {"uncertainty"} == said.keys()
    for term, logits in said.items():
        p = logits.double().sigmoid()
        expected = -(labels * p.log() + (1 - labels) * (1 - p).log()).mean()
        assert terms[term].item() == pytest.approx(expected.item(), rel=1e-5)
