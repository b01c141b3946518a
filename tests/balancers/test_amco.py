from math import log

import pytest
import torch
from torch.nn.functional import cross_entropy

from affine import DIMS, build, random_batch, start


def test_no_modality_that_may_take_all_the_probability_is_ever_masked() -> None:
    balancer, batch = build({"amco": {"sigma": 1.0}}), random_batch()
    start(balancer, batch, epoch=9)
    output = balancer(batch)
    for _ in range(3):
        terms = balancer.losses(output, batch)
        torch.testing.assert_close(terms["joint"], cross_entropy(output.logits, batch.labels))
    for m, z_m in balancer.model.masked(output).items():
        torch.testing.assert_close(terms[f"unimodal_{m}"], cross_entropy(z_m, batch.labels))


def test_a_dependent_modality_loses_n_classes_in_the_next_step() -> None:
    balancer, batch = build({"amco": {"sigma": 0.0}}), random_batch()  # both are dependent
    start(balancer, batch, epoch=3)
    output = balancer(batch)
    first, second = (balancer.losses(output, batch)["joint"].item() for _ in range(2))
    assert first == pytest.approx(cross_entropy(output.logits, batch.labels).item())
    assert second == pytest.approx(log(3), abs=1e-5)  # l = eps: all classes of both, so that no logit is left
    start(balancer, batch, epoch=2)
    assert balancer.num_hidden == 2  # 3 sin(pi / 2 * 2 / 3) = 2.6
    torch.manual_seed(0)
    share = [balancer.losses(output, batch)["joint"].item() for _ in range(50)]
    possible = set()
    z = list(balancer.model.masked(output).values())
    for seen in (torch.eye(3)[a] for a in range(3)):
        for other in torch.eye(3):
            possible.add(round(cross_entropy(z[0] * seen + z[1] * other, batch.labels).item(), 4))
    assert {round(value, 4) for value in share} <= possible
    assert len({round(value, 4) for value in share}) > 5
    assert sum(balancer.curves()[f"coefficient_{m}"] for m in DIMS) == pytest.approx(1)
