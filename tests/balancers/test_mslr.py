from pathlib import Path

import pytest
import torch

from affine import DIMS, build, gradients, packed_loaders, random_batch, sgd, start
from avbalance.errors import UserError


def test_fixed_rates_scale_all_that_serves_one_modality_alone() -> None:
    balancer, joint = build({"mslr": {"rates": {"audio": 0.5}, "adaptive": False}}), build("joint")
    batch = random_batch()
    found, expected = gradients(start(balancer, batch, epoch=1), batch), gradients(joint, batch)
    for name, gradient in expected.items():
        factor = torch.ones_like(gradient)
        if "encoders.audio" in name:
            factor *= 0.5
        if name == "model.head.linear.weight":
            factor[:, 6:] = 0.5
        torch.testing.assert_close(found[name], factor * gradient)


def test_the_factor_is_the_accuracy_over_its_mean_in_the_epochs_before(tmp_path: Path) -> None:
    balancer, loaders = build({"mslr": {"window": 2}}).train(), packed_loaders(tmp_path)
    measured = []
    for epoch in range(5):
        balancer.start_epoch(epoch, loaders, sgd(balancer))
        if epoch > 0:
            right = {m: [] for m in DIMS}
            for batch in loaders.val:
                for m, z_m in balancer.model.masked(balancer.model(batch.inputs)).items():
                    right[m] += (z_m.argmax(dim=1) == batch.labels).tolist()
            measured.append(torch.tensor([sum(each) / len(each) for each in right.values()]))
        before = measured[-3:-1]
        expected = measured[-1] / torch.stack(before).mean(dim=0) if before else torch.ones(2)
        torch.testing.assert_close(balancer.a, expected)
        for batch in loaders.train:
            balancer.step(batch, sgd(balancer))
    assert balancer.model.training


def test_a_rate_of_no_modality_is_refused() -> None:
    with pytest.raises(UserError, match="rate of 'video'; allowed: visual, audio"):
        build({"mslr": {"rates": {"video": 0.1}}})
