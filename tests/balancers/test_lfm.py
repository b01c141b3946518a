from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from affine import build, gradients, packed_loaders, random_batch, sgd, start
from avbalance.balancers.lfm import divergence, fitted


def test_the_curvature_is_the_change_of_the_first_weights_gradient_along_g() -> None:
    balancer, batch, step = build({"lfm": {"schedule": "learned"}}), random_batch(), 0.05
    model, weights = balancer.model, list(balancer.model.parameters())

    def slope(term: str) -> list[torch.Tensor]:
        output = model(batch.inputs)
        joint = cross_entropy(output.logits, batch.labels)
        value = joint if term == "joint" else 2 * (0.05 * joint + 0.95 * balancer.gap(output))
        return list(torch.autograd.grad(value, weights))

    found = balancer.curvature(batch.inputs, batch.labels).item()
    g, start_weights = slope("joint"), [weight.detach().clone() for weight in weights]
    sides = []
    for sign in (1, -1):
        for weight, first, g_w in zip(weights, start_weights, g, strict=True):
            weight.data = first + sign * step * g_w
        sides.append(slope("L")[0].mean().item())
    assert found == pytest.approx((sides[0] - sides[1]) / (2 * step), rel=0.02)
    assert abs(found) > 1e-4


def test_alpha_is_learned_on_clips_in_batches_of_any_size(tmp_path: Path) -> None:
    balancer, loaders = build({"lfm": {"schedule": "learned"}}).train(), packed_loaders(tmp_path, batch_size=6)
    balancer.expect(20)
    balancer.start_epoch(0, loaders, sgd(balancer))
    assert balancer.curves() == {"alpha_joint": pytest.approx(0.05)}
    balancer.alpha.fill_(0.5)
    held = list(loaders.plain.of(torch.linspace(0, 19, 16).long()))
    inputs = {m: torch.cat([batch.inputs[m] for batch in held]) for m in held[0].inputs}
    x = balancer.curvature(inputs, torch.cat([batch.labels for batch in held])).item()
    balancer.start_epoch(21, loaders, sgd(balancer))
    assert 1 - balancer.alpha.item() == pytest.approx(0.5 - 1e-4 / 2 * x, abs=1e-7)
    assert balancer.model.training


def test_alpha_1_is_joint_training_with_twice_the_loss() -> None:
    balancer, batch = build("lfm"), random_batch()
    start(balancer, batch).alpha.fill_(1.0)
    found, expected = gradients(balancer, batch), gradients(build("joint"), batch)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], 2 * gradient)


def test_beyond_the_fitted_epochs_alpha_stays() -> None:
    balancer, batch = build({"lfm": {"epochs": 10}}), random_batch()
    for epoch, expected in ((5, fitted(100)), (10, fitted(199)), (50, fitted(199))):
        assert start(balancer, batch, epoch).curves()["alpha_joint"] == pytest.approx(expected)


@pytest.mark.parametrize("swapped", [True, False])
def test_equal_predictions_have_no_gap_and_certain_ones_a_finite_one(swapped: bool) -> None:
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert divergence(z, z, swapped).item() == pytest.approx(0, abs=1e-6)
    certain = torch.tensor([[0.0, 500.0, 0.0]], requires_grad=True)
    gap = divergence(certain, certain.detach() + torch.tensor([[1.0, 0.0, 0.0]]), swapped)
    gap.backward()
    assert gap.isfinite()
    assert certain.grad.isfinite().all()
