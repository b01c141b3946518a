from math import log

import numpy as np
import pytest
import torch
from torch import Tensor

from affine import DIMS, build, gradients, random_batch, start
from avbalance.balancers.base import Balancer
from avbalance.balancers.mcr import contrast, js_divergence


def p_of(z: Tensor) -> np.ndarray:
    return z.detach().softmax(dim=1).double().numpy()


def test_the_divergence_is_that_of_jensen_and_shannon() -> None:
    p, q = np.array([0.88080, 0.11920]), np.array([0.5, 0.5])
    mid = (p + q) / 2
    expected = (np.sum(p * np.log(p / mid)) + np.sum(q * np.log(q / mid))) / 2
    divergence = js_divergence(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    assert divergence.item() == pytest.approx(expected, abs=1e-5) == 0.0895409
    assert js_divergence(torch.tensor([[200.0, 0.0]]), torch.tensor([[0.0, 200.0]])).item() == pytest.approx(log(2))


def test_the_contrast_pulls_pairs_of_one_class_before_all_of_another() -> None:
    # f_a = (1, 0), (0, 1), f_v = (1, 0), (0, 1) of classes 0, 1; T = 0.5: the two pairs of a class have similarity 2,
    # the two clips of the other class 0: -log(e^2 / (e^2 + 2)) = log(1 + 2 e^-2)
    features = [torch.eye(2), torch.eye(2)]
    assert contrast(features, torch.tensor([0, 1]), 0.5).item() == pytest.approx(log(1 + 2 * np.exp(-2)))
    # one class: nothing to push away
    assert contrast(features, torch.tensor([0, 0]), 0.5).item() == 0


def test_the_contrast_is_the_mean_over_pairs_of_one_label() -> None:
    generator = torch.Generator().manual_seed(0)
    features, y = [torch.randn(5, 3, generator=generator) for _ in range(2)], [0, 1, 0, 2, 1]
    f = torch.cat(features).double().numpy()
    f, labels = f / np.linalg.norm(f, axis=1, keepdims=True), y + y
    terms = []
    for i in range(10):
        others = sum(np.exp(f[i] @ f[h] / 0.7) for h in range(10) if labels[h] != labels[i])
        for j in range(10):
            if i != j and labels[i] == labels[j]:
                own = np.exp(f[i] @ f[j] / 0.7)
                terms.append(-np.log(own / (own + others)))
    assert contrast(features, torch.tensor(y), 0.7).item() == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize(("strategy", "k"), [("greedy", -1), ("independent", 0), ("collaborative", 1)])
def test_an_encoder_raises_its_own_influence_and_others_as_k_says(
    strategy: str, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"lam": 0.5, "contrast": 0.0, "permutations": 1, "strategy": strategy}
    balancer, plain, batch = build({"mcr": options}), build({"mcr": {**options, "lam": 0.0}}), random_batch()
    shifted = torch.arange(8).roll(1)
    monkeypatch.setattr(torch, "rand", lambda *size, device: shifted.argsort().expand(*size).float())
    found, without = gradients(start(balancer, batch), batch), gradients(start(plain, batch), batch)
    model = balancer.model
    f = model.encode(batch.inputs)
    z = model.decide(f).logits
    mipd = {m: -js_divergence(z, model.decide({**f, m: f[m][shifted]}).logits) for m in f}
    for m in DIMS:
        weights = dict(model.encoders[m].named_parameters())
        objective = 0.5 * (mipd[m] + k * sum(of_n for n, of_n in mipd.items() if n != m))
        expected = torch.autograd.grad(objective, list(weights.values()), retain_graph=True)
        for name, gradient in zip(weights, expected, strict=True):
            key = f"model.encoders.{m}.{name}"
            torch.testing.assert_close(found[key] - without[key], gradient, rtol=1e-3, atol=1e-5)
    for name, gradient in without.items():
        if "encoders" not in name:
            assert torch.equal(found[name], gradient), name
    assert balancer.curves() == pytest.approx({f"coefficient_{m}": -of_m.item() for m, of_m in mipd.items()}, rel=1e-4)


def test_the_bottleneck_reconstructs_features_from_the_prediction() -> None:
    balancer, batch = build({"mcr": {"bottleneck": 2.0}}), random_batch()
    output = balancer(batch)
    f = torch.cat(list(output.features.values()), dim=1)
    W_1, W_2 = (layer.weight for layer in balancer.h if hasattr(layer, "weight"))
    expected = ((torch.relu(output.logits @ W_1.T) @ W_2.T - f) ** 2).mean()
    term = balancer.losses(output, batch)["bottleneck"]
    torch.testing.assert_close(term, 2 * expected)
    head = list(balancer.model.head.parameters())
    assert all(gradient is None for gradient in torch.autograd.grad(term, head, allow_unused=True))
    assert not hasattr(build("mcr"), "h")


def test_without_weights_it_is_the_loss() -> None:
    neutral, batch = build({"mcr": {"lam": 0.0, "contrast": 0.0}}), random_batch()
    joint = Balancer(neutral.model, neutral.loss)
    found, expected = gradients(start(neutral, batch), batch), gradients(joint, batch)
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
