import pytest
import torch
from torch import Tensor, nn

from avbalance.training import optimization

TRAINING = {"learning_rate": 0.01, "weight_decay": 0.0, "clip_norm": None}
SGD = {**TRAINING, "optimizer": "sgd", "momentum": 0.9}


def path(training: dict[str, object], factor: float) -> Tensor:
    """How far ten given gradients, each times a factor, move a weight that starts at 0."""
    weight = nn.Parameter(torch.zeros(50))
    optimizer = optimization.make_optimizer([{"params": [weight]}], training)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        weight.grad = factor * torch.randn(50, generator=generator)
        optimizer.step()
    return weight.detach()


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_sgd_goes_a_factor_further_and_adam_and_adagrad_do_not(factor: float) -> None:
    # This is why a balancer that scales gradients needs SGD: g / sqrt(mean g^2) is the same of k g as of g.
    torch.testing.assert_close(path(SGD, factor), factor * path(SGD, 1.0))
    for optimizer in ("adam", "adagrad"):
        training = {**TRAINING, "optimizer": optimizer}
        moved = path(training, 1.0)
        assert moved.abs().max() > 0.01
        torch.testing.assert_close(path(training, factor), moved, rtol=0, atol=1e-6)


def test_a_group_with_a_scale_has_so_many_times_the_learning_rate() -> None:
    training = {**SGD, "decay_epochs": 2, "decay_factor": 0.1}
    groups = [{"params": [nn.Parameter(torch.zeros(2))]}, {"params": [nn.Parameter(torch.zeros(2))], "scale": 0.5}]
    optimizer = optimization.make_optimizer(groups, training)
    optimization.set_learning_rate(optimizer, training, 2)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.001, 0.0005])


def test_adamw_shrinks_weights_without_gradient_and_adam_does_not() -> None:
    # Loshchilov and Hutter, ICLR 2019: the decay stands beside Adam's step, w <- w (1 - lr decay).
    weights = {}
    for name in ("adam", "adamw"):
        weight = nn.Parameter(torch.ones(2))
        training = {**TRAINING, "optimizer": name, "weight_decay": 0.1}
        optimizer = optimization.make_optimizer([{"params": [weight]}], training)
        weight.grad = torch.tensor([1.0, 0.0])
        optimizer.step()
        weights[name] = weight.tolist()
    assert weights["adamw"] == pytest.approx([0.999 - 0.01, 0.999])
    assert weights["adam"] == pytest.approx([1 - 0.01, 1 - 0.01])  # the decay is part of the gradient, which is scaled


def test_weights_that_join_later_move_as_in_the_plain_optimiser() -> None:
    """Methods that train encoders in turn or freeze them leave some weights without a gradient in the first steps."""
    ours, plain = ([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))] for _ in range(2))
    optimizers = [
        (ours, optimization.make_optimizer([{"params": ours}], {**SGD, "weight_decay": 0.1})),
        (plain, torch.optim.SGD(plain, lr=0.01, momentum=0.9, weight_decay=0.1)),
    ]
    for weights, optimizer in optimizers:
        for given in ([1.0, None], [None, 2.0], [3.0, 4.0]):
            for weight, gradient in zip(weights, given, strict=True):
                weight.grad = None if gradient is None else torch.full([2], gradient)
            optimizer.step()
    torch.testing.assert_close(ours, plain)
