from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from affine import DIMS, build, gradients, packed_loaders, random_batch, sgd, start
from avbalance.balancers.base import Balancer
from avbalance.types import Batch, Loaders


def class_means(balancer: Balancer, loaders: Loaders) -> dict[str, np.ndarray]:
    batches = list(loaders.plain)
    labels = np.concatenate([batch.labels.numpy() for batch in batches])
    features = {
        m: np.concatenate([encoder(batch.inputs[m]).detach().numpy() for batch in batches])
        for m, encoder in balancer.model.encoders.items()
    }
    return {m: np.stack([of_m[labels == k].mean(axis=0) for k in range(3)]) for m, of_m in features.items()}


def test_prototypes_are_class_means_over_all_clips_and_keep_a_part_of_the_last(tmp_path: Path) -> None:
    balancer, loaders = build({"pmr": {"momentum": 0.2}}), packed_loaders(tmp_path)
    first = class_means(balancer, loaders)
    balancer.train().start_epoch(0, loaders, sgd(balancer))
    for m in DIMS:
        np.testing.assert_allclose(balancer.get_buffer(f"prototypes_{m}"), first[m], rtol=1e-4, atol=1e-6)
    for batch in loaders.train:
        balancer.step(batch, sgd(balancer))
    second = class_means(balancer, loaders)
    balancer.start_epoch(1, loaders, sgd(balancer))
    for m in DIMS:
        expected = 0.8 * second[m] + 0.2 * first[m]
        np.testing.assert_allclose(balancer.get_buffer(f"prototypes_{m}"), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("hard", [True, False])
def test_terms_are_those_of_the_equations(hard: bool) -> None:
    balancer, batch = build({"pmr": {"hard": hard, "alpha": 2.0, "mu": 0.5}}), random_batch()
    output = start(balancer, batch)(batch)
    terms = balancer.losses(output, batch)
    near, s = {}, {}
    for m in DIMS:
        apart = output.features[m][:, None] - balancer.get_buffer(f"prototypes_{m}")[None]
        near[m] = -apart.square().sum(dim=2).sqrt()
        s[m] = sum(p[y] for p, y in zip(near[m].softmax(dim=1), batch.labels, strict=True)).item()
    ratio = s["audio"] / s["visual"]
    w = {"audio": min(max(1 / ratio - 1, 0), 1), "visual": min(max(ratio - 1, 0), 1)}
    if hard:
        w = {m: float(w_m > 0) for m, w_m in w.items()}
    assert sorted(w.values())[0] == 0 < sorted(w.values())[1]
    entropy = {m: -(z.softmax(dim=1) * z.log_softmax(dim=1)).sum(dim=1).mean() for m, z in near.items()}
    for m in DIMS:
        torch.testing.assert_close(terms[f"prototype_{m}"], 2 * w[m] * cross_entropy(near[m], batch.labels))
    expected = -0.5 * (w["visual"] * entropy["audio"] + w["audio"] * entropy["visual"])
    torch.testing.assert_close(terms["entropy"], expected, rtol=1e-4, atol=1e-6)


def test_the_heads_gradient_is_that_of_joint_training() -> None:
    batch = random_batch()
    found, expected = gradients(start(build("pmr"), batch), batch), gradients(build("joint"), batch)
    for name, gradient in expected.items():
        assert name.startswith("model.encoders") or torch.equal(found[name], gradient), name


def test_from_end_on_weights_are_0_and_terms_are_those_of_the_loss() -> None:
    balancer, batch = build({"pmr": {"end": 1}}), random_batch()
    start(balancer, batch, epoch=1)
    assert set(balancer.step(batch, sgd(balancer))) == {"joint"}
    assert set(balancer.curves().values()) == {0.0}


def test_clips_that_equal_their_prototype_have_a_finite_gradient() -> None:
    one = random_batch(1)
    inputs = {m: value.expand(32, -1).clone() for m, value in one.inputs.items()}
    batch = Batch(inputs, torch.zeros(32, dtype=torch.int64), torch.arange(32))
    balancer = build("pmr").train()
    balancer.start_epoch(0, Loaders([batch], [batch], [batch]), sgd(balancer))
    assert all(gradient.isfinite().all() for gradient in gradients(balancer, batch).values())
