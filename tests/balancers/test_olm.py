import pytest
import torch

from affine import build, random_batch, sgd, start
from avbalance.balancers.olm import gradient, relative_progress
from avbalance.losses.base import objective


def test_the_target_follows_how_much_of_the_first_loss_is_left() -> None:
    # losses of 1, 0.5 and 0.9 of first 2, 2 and 1: ratios 0.5, 0.25, 0.9, whose mean is 0.55
    r = relative_progress(torch.tensor([1.0, 0.5, 0.9]), torch.tensor([2.0, 2.0, 1.0]))
    assert r.tolist() == pytest.approx([0.90909, 0.45455, 1.63636], abs=1e-5)


def test_the_gradient_of_the_coefficients_is_that_of_losses_and_distances_to_the_target() -> None:
    generator = torch.Generator().manual_seed(0)
    z, labels = torch.randn(3, 8, 4, generator=generator), torch.arange(8) % 4
    w, r = torch.tensor([1.0, 0.8, 1.3], requires_grad=True), torch.tensor([0.7, 1.0, 1.3])
    scaled = w[:, None] * z.norm(dim=2)
    distance = (scaled - (r[:, None] * scaled.mean(dim=0)).detach()).abs().sum()
    total = distance + sum(objective(w_h * z_h, labels) for w_h, z_h in zip(w, z, strict=True))
    (expected,) = torch.autograd.grad(total, w)
    torch.testing.assert_close(gradient(w.detach(), z, r, labels), expected, rtol=1e-4, atol=1e-4)


def test_coefficients_take_steps_of_adam_and_losses_are_of_scaled_logits() -> None:
    balancer, batch = build({"olm": {"rate": 0.1}}), random_batch()
    w, labels = torch.ones(3, requires_grad=True), batch.labels
    adam = torch.optim.Adam([w], lr=0.1)
    first = torch.zeros(3)
    for epoch in range(3):
        start(balancer, batch, epoch)
        for _ in range(2):
            output = balancer(batch)
            z = torch.stack([output.logits, *balancer.loss.logits(output).values()]).detach()
            L = torch.stack([objective(w_h * z_h, labels) for w_h, z_h in zip(w.detach(), z, strict=True)])
            first = L if epoch == 0 else first
            w.grad = gradient(w.detach(), z, relative_progress(L, first), labels)
            adam.step()
            terms = balancer.step(batch, sgd(balancer))
            torch.testing.assert_close(torch.stack(list(terms.values())), L)
            torch.testing.assert_close(balancer.w, w.detach(), rtol=1e-4, atol=1e-5)
    assert list(balancer.curves().values()) == pytest.approx(w.tolist(), rel=1e-4)
    assert not torch.equal(balancer.w, torch.ones(3))


def test_in_evaluation_nothing_moves() -> None:
    balancer, batch = build("olm"), random_batch()
    start(balancer, batch)
    balancer.step(batch, sgd(balancer))
    before = balancer.w.clone()
    balancer.eval()
    balancer.losses(balancer(batch), batch)
    assert torch.equal(balancer.w, before)
