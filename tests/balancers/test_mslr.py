from pathlib import Path

import pytest
import torch

from affine import DIMS, build, gradients, packed_loaders, random_batch, sgd, start


def test_fixed_rates_scale_all_that_serves_one_modality_alone() -> None:
    balancer, joint = build({"mslr": {"rates": [1.0, 0.5], "adaptive": False}}), build("joint")
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


def test_rates_are_in_the_order_of_the_modalities_and_1_beyond_their_end() -> None:
    assert build({"mslr": {"rates": [0.3]}}).rates == {"visual": 0.3, "audio": 1.0}
    assert build({"mslr": {"rates": [1.0, 0.3]}}).rates == {"visual": 1.0, "audio": 0.3}
    with pytest.raises(ValueError, match="found 3 values for visual, audio; give at most one for each"):
        build({"mslr": {"rates": [1, 2, 3]}})
