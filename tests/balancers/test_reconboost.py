from pathlib import Path

import pytest
import torch
from torch import nn

from affine import DIMS, build, packed_loaders, random_batch, sgd, start
from avbalance.training.epoch import counted_clips


@pytest.mark.parametrize("rests", [False, True])
def test_in_phase_1_the_other_encoder_rests_bit_for_bit(rests: bool) -> None:
    balancer, batch = build({"reconboost": {"first": 1, "second": 1, "rests": rests}}), random_batch()
    for m in DIMS:
        balancer.model.encoders[m] = nn.Sequential(balancer.model.encoders[m], nn.BatchNorm1d(5))
    optimizer = sgd(balancer, momentum=0.9, weight_decay=0.1)
    balancer.train()
    for epoch, trained in enumerate(("visual", None, "audio", None, "visual")):
        start(balancer, batch, epoch)
        before = {name: value.clone() for name, value in balancer.model.state_dict().items()}
        counts = dict.fromkeys(DIMS, 0)
        with counted_clips(balancer.model, counts):
            terms = balancer.step(batch, optimizer)
        assert set(terms) == {trained or "joint"}
        resting = [m for m in DIMS if trained not in (None, m)]
        assert counts == {m: 0 if m in resting else 8 for m in DIMS}  # half a pass, or a whole one
        for name, value in balancer.model.state_dict().items():
            if any(name.startswith(f"encoders.{m}.") for m in resting):
                moves = not rests and ("running" in name or "num_batches" in name)
            else:
                moves = True
            assert torch.equal(value, before[name]) != moves, name


def test_without_a_part_for_the_others_phase_1_is_uni_modal_training() -> None:
    batch = random_batch()
    balancer = start(build({"reconboost": {"w1": 3.0, "w2": 0.0}}), batch)
    balancer.step(batch, sgd(balancer))
    alone = build("reconboost")
    z = alone.head.classifier(alone.model.encoders["visual"](batch.inputs["visual"]))
    nn.functional.cross_entropy(z, batch.labels).backward()
    for (name, weight), other in zip(balancer.named_parameters(), alone.parameters(), strict=True):
        if other.grad is None:
            assert weight.grad is None, name
        else:
            torch.testing.assert_close(weight.grad, 3.0 / 3 * other.grad)  # w1 / C


def test_an_optimiser_forgets_its_state_where_a_phase_begins(tmp_path: Path) -> None:
    balancer, loaders = build({"reconboost": {"first": 2, "second": 1}}).train(), packed_loaders(tmp_path)
    optimizer = sgd(balancer, momentum=0.9)
    is_fresh = []
    for epoch in range(7):
        balancer.start_epoch(epoch, loaders, optimizer)
        is_fresh.append(not optimizer.state)
        for batch in loaders.plain:
            balancer.step(batch, optimizer)
    assert is_fresh == [True, False, True, True, False, True, True]
    assert balancer.earliest_stop == 6
