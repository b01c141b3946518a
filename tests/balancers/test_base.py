"""Joint training, and the small parts of the contract that methods share."""

import torch

from affine import DIMS, build, random_batch
from avbalance.balancers.base import Balancer
from avbalance.losses.joint import Joint
from avbalance.types import Batch


def test_a_clip_is_seen_without_a_modality_that_is_not_present() -> None:
    balancer, batch = build("joint").eval(), random_batch()
    whole = balancer(batch)
    present = {modality: torch.ones(8, dtype=torch.bool) for modality in DIMS}
    assert torch.equal(balancer(Batch(batch.inputs, batch.labels, batch.index, present)).logits, whole.logits)
    present["audio"] = torch.arange(8) < 4
    partial = balancer(Batch(batch.inputs, batch.labels, batch.index, present))
    assert torch.equal(partial.logits[:4], whole.logits[:4])
    assert not partial.features["audio"][4:].any()
    without = balancer.model.decide({"visual": whole.features["visual"], "audio": torch.zeros(8, DIMS["audio"])})
    torch.testing.assert_close(partial.logits[4:], without.logits[4:])


def test_a_model_knows_its_number_of_classes() -> None:
    assert build("joint").model.num_classes == 3


def test_all_weights_are_one_group_of_the_optimiser() -> None:
    balancer = Balancer(build("joint").model, Joint(DIMS, 3))
    (group,) = balancer.groups()
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in balancer.parameters()]
