import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from affine import DIMS, build, random_batch, sgd, start
from avbalance.types import Batch


def part(batch: Batch, places: torch.Tensor) -> Batch:
    return Batch({m: value[places] for m, value in batch.inputs.items()}, batch.labels[places], batch.index[places])


@pytest.mark.parametrize("margin", [False, True])
def test_the_ledger_holds_the_sums_of_losses_and_ranks_follow_from_it(margin: bool) -> None:
    balancer, clips = build({"qmf": {"margin": margin, "lam": 0.5}}), random_batch()
    start(balancer, clips)
    sums = dict.fromkeys(DIMS, np.zeros(8))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for places in torch.randperm(8, generator=generator).chunk(2):
            batch = part(clips, places)
            with torch.no_grad():
                z = balancer.head.each(balancer.model(batch.inputs).streams)
            expected = 0.0
            for m, z_m in z.items():
                sums[m] = sums[m].copy()
                sums[m][places] += cross_entropy(z_m, batch.labels, reduction="none").numpy()
                h = ((sums[m] - sums[m].min()) / (sums[m].max() - sums[m].min()))[places]
                c = z_m.exp().sum(dim=1).log().numpy() / 10
                pairs = [(i, (i + 1) % len(h)) for i in range(len(h))]
                sign = 1 if margin else -1
                ranks = [max(np.sign(h[i] - h[j]) * (c[i] - c[j]) + sign * abs(h[i] - h[j]), 0) for i, j in pairs]
                expected += 0.5 * np.mean(ranks)
            terms = balancer.step(batch, sgd(balancer))
            assert terms["rank"].item() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    for m, ledger in zip(DIMS, balancer.ledger, strict=True):
        np.testing.assert_allclose(ledger, sums[m], rtol=1e-5)


def test_a_constant_ledger_ranks_nothing_and_evaluation_leaves_the_ledger() -> None:
    balancer, batch = build({"qmf": {"margin": True}}).eval(), random_batch()
    assert balancer.losses(balancer(batch), batch)["rank"].item() == 0
    assert not balancer.ledger.any()


def test_no_gradient_passes_through_the_confidences_of_the_joint_logits() -> None:
    balancer, batch = build("qmf"), random_batch()
    output = balancer(batch)
    joint = cross_entropy(output.logits, batch.labels)
    delta = (output.logits.softmax(dim=1) - torch.eye(3)[batch.labels]) / 8
    for m, classifier in balancer.head.classifiers.items():
        c = classifier(output.streams[m]).logsumexp(dim=1, keepdim=True) / 10
        (found,) = torch.autograd.grad(joint, classifier.weight, retain_graph=True)
        torch.testing.assert_close(found, (delta * c).T @ output.streams[m])
