import pytest
import torch
from torch import Tensor

from affine import DIMS, build, gradients, random_batch, start
from avbalance.balancers.base import Balancer
from avbalance.balancers.two_gradients import gramian


def direction(balancer: Balancer, g: list[Tensor], h: list[Tensor]) -> Tensor:
    """d of one encoder, in one piece."""
    ((a, b),) = balancer.weights(gramian(g, h).unsqueeze(0)).tolist()
    d = [a * x + b * y for x, y in zip(g, h, strict=True)]
    return torch.cat(balancer.lengthened(d, g, h))


def built(gamma: float = 1.0, per_tensor: bool = True) -> Balancer:
    return build({"mmpareto": {"gamma": gamma, "per_tensor": per_tensor}})


@pytest.mark.parametrize("per_tensor", [True, False])
def test_without_conflict_and_with_gamma_1_it_descends_the_sum_of_losses(per_tensor: bool) -> None:
    balancer, joint, batch = built(per_tensor=per_tensor), build("joint", loss="unimodal"), random_batch()
    for each in (balancer, joint):  # with the joint head's own blocks, both gradients point the same way
        for m, W_m in each.model.class_weights().items():
            each.loss.heads[m].linear.weight.data.copy_(W_m)
    found, expected = gradients(start(balancer, batch), batch), gradients(joint, batch)
    assert all(balancer.curves()[f"conflict_{m}"] == 0 for m in DIMS)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


def test_in_conflict_heads_have_the_sum_of_gradients_and_encoders_neither() -> None:
    balancer, joint, batch = built(), build("joint", loss="unimodal"), random_batch()
    for each in (balancer, joint):
        for m, W_m in each.model.class_weights().items():
            each.loss.heads[m].linear.weight.data.copy_(-W_m)
    found, expected = gradients(start(balancer, batch), batch), gradients(joint, batch)
    curves = balancer.curves()
    assert all(curves[f"conflict_{m}"] == 1 and -1 <= curves[f"cosine_{m}"] < 0 for m in DIMS)
    for name, gradient in expected.items():
        is_equal = torch.allclose(found[name], gradient, atol=1e-7)
        assert is_equal != name.startswith("model.encoders"), name


def test_the_direction_never_turns_against_either_gradient_and_is_as_long_as_their_sum() -> None:
    balancer, generator = built(per_tensor=False), torch.Generator().manual_seed(0)
    for case in range(200):
        g, h = ([torch.randn(size, generator=generator) for size in (3, 2)] for _ in range(2))
        if case % 2:  # opposed, of different length
            h = [-(case / 50) * x + 0.1 * y for x, y in zip(g, h, strict=True)]
        d, g_all, h_all = direction(balancer, g, h), torch.cat(g), torch.cat(h)
        assert d @ g_all >= -1e-5 * d.norm() * g_all.norm()
        assert d @ h_all >= -1e-5 * d.norm() * h_all.norm()
        assert d.norm() >= (g_all + h_all).norm() * (1 - 1e-5)


def test_the_cosine_of_tiny_gradients_is_one_of_their_directions() -> None:
    balancer = built()
    each = gramian([torch.tensor([1e-15, 0.0])], [torch.tensor([1e-15, 1e-15])])
    balancer.count(torch.stack([each, each]))
    assert balancer.sums[1, 0].item() == pytest.approx(0.5**0.5, rel=1e-3)
