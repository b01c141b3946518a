from itertools import permutations

import numpy as np
import torch

from affine import DIMS, build, gradients, random_batch, start
from avbalance.balancers.scores import shapley


def test_gradients_of_a_linear_head_are_those_of_joint_training_times_k() -> None:
    agm, joint, batch = build("agm"), build("joint"), random_batch()
    plain, modulated = gradients(joint, batch), gradients(start(agm, batch), batch)
    k = dict(zip(DIMS, agm.sum_k, strict=True))
    assert all(abs(k_m - 1) > 0.01 for k_m in k.values())
    for m, block in zip(DIMS, ((slice(None), slice(0, 6)), (slice(None), slice(6, None))), strict=True):
        for name in (f"model.encoders.{m}.linear.weight", f"model.encoders.{m}.linear.bias"):
            torch.testing.assert_close(modulated[name], k[m] * plain[name])
        weight = "model.head.linear.weight"
        torch.testing.assert_close(modulated[weight][block], k[m] * plain[weight][block])
    bias = "model.head.linear.bias"
    torch.testing.assert_close(modulated[bias], torch.stack(list(k.values())).mean() * plain[bias])


def test_the_running_mean_takes_a_step_in_after_its_coefficients_are_formed() -> None:
    agm, batches = build({"agm": {"alpha": 1.0}}), [random_batch(seed=seed) for seed in range(3)]
    start(agm, batches[0])
    scores, before = [], np.zeros(2)
    for batch in batches:
        output = agm(batch)
        shares = agm.model.masked(output).values()
        p = [z.softmax(dim=1).detach().numpy()[np.arange(8), batch.labels.numpy()] for z in shares]
        scores.append([-np.log(each).mean() for each in p])
        agm.sum_k.zero_()
        agm.losses(output, batch)
        r, tau = (np.exp(2 * (np.mean(s) - np.array(s))) for s in (scores[-1], before))
        np.testing.assert_allclose(agm.sum_k, np.exp(np.minimum(tau - r, 10)), rtol=1e-4)
        before = np.mean(scores, axis=0)
        np.testing.assert_allclose(agm.s_hat, before, rtol=1e-5)


def test_a_shapley_value_is_the_mean_over_the_orders_in_which_modalities_join() -> None:
    modalities = ["visual", "audio", "flow"]
    groups = [frozenset(m for place, m in enumerate(modalities) if number >> place & 1) for number in range(8)]
    v = dict(zip(groups, torch.randn(8, 2, 3, generator=torch.Generator().manual_seed(0)), strict=True))
    v[frozenset()] = torch.zeros(2, 3)
    orders = list(permutations(modalities))
    phi = shapley({group: v[group] for group in groups if group}, modalities)
    for m in modalities:
        before = [frozenset(order[: order.index(m)]) for order in orders]
        torch.testing.assert_close(phi[m], torch.stack([v[S | {m}] - v[S] for S in before]).mean(dim=0))
    torch.testing.assert_close(sum(phi.values()), v[frozenset(modalities)])


def test_before_start_and_from_end_on_it_is_joint_training() -> None:
    agm, joint = build({"agm": {"start": 1, "end": 2}}), build("joint")
    for epoch, is_joint in enumerate((True, False, True)):
        batch = random_batch(seed=epoch)
        found, expected = gradients(start(agm, batch, epoch), batch), gradients(joint, batch)
        assert all(torch.equal(found[name], expected[name]) for name in expected) == is_joint
