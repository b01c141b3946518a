import pytest
import torch
from torch import Tensor, nn

from avbalance.training import optimization

TRAINING = {"learning_rate": 0.01, "weight_decay": 0.0}
SGD = {**TRAINING, "optimizer": "sgd", "momentum": 0.9}


def path(training: dict[str, object], factor: float) -> Tensor:
    """How far ten given gradients, each times a factor, move a weight that starts at 0."""
    weight = nn.Parameter(torch.zeros(50))
    optimizer = optimization.make_optimizer([weight], training)
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
