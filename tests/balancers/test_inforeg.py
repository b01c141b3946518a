from math import exp, tanh

import numpy as np
import torch

from affine import DIMS, build, gradients, random_batch, sgd, start


def test_the_first_step_of_an_epoch_is_that_of_masked_losses_and_later_the_leader_is_pulled_back() -> None:
    balancer, plain = build({"inforeg": {"b": [0.3]}}), build("masked_losses")
    batches = [random_batch(seed=seed) for seed in range(3)]
    start(balancer, batches[0])
    before = {name: weight.detach().clone() for name, weight in balancer.named_parameters()}
    leaders = set()
    for number, batch in enumerate(batches):
        plain.load_state_dict({name: value for name, value in balancer.state_dict().items() if "trace" not in name})
        p = {
            m: z.softmax(dim=1)[torch.arange(8), batch.labels]
            for m, z in plain.model.zeroed(plain.model.encode(batch.inputs)).items()
        }
        s = {m: p_m.mean().item() for m, p_m in p.items()}
        leader = max(s, key=lambda m: s[m])
        leaders.add(leader)
        b = {"visual": 0.3, "audio": 0.95}[leader] * exp(tanh(s[leader] - min(s.values())))
        found, expected = gradients(balancer, batch), gradients(plain, batch)
        for name, weight in balancer.named_parameters():
            pull = b * (weight.detach() - before[name]) if f"encoders.{leader}." in name else 0.0
            assert number > 0 or torch.equal(found[name], expected[name]), name
            torch.testing.assert_close(found[name], expected[name] + pull, rtol=1e-4, atol=1e-6)
        sgd(balancer).step()
    assert leaders


def test_a_trace_is_the_sum_of_mean_squared_gradients_and_a_closed_window_pulls_nothing() -> None:
    balancer, plain, batch = build({"inforeg": {"threshold": 2.0}}), build("masked_losses"), random_batch()
    start(balancer, batch)
    squares = [gradients(plain, batch)[f"model.encoders.{m}.linear.weight"].square().mean().item() for m in DIMS]
    for _ in range(2):
        gradients(balancer, batch)
    np.testing.assert_allclose(balancer.trace, 2 * np.array(squares), rtol=1e-5)
    start(balancer, batch, epoch=1)  # S(0) > 0 and S(-1) = 0: growth 1, below this threshold
    assert set(balancer.curves().values()) == {0.0}
    balancer.start = {m: [weight - 1 for weight in of_m] for m, of_m in balancer.start.items()}
    found, expected = gradients(balancer, batch), gradients(plain, batch)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_strengths_are_in_the_order_of_the_modalities() -> None:
    assert build({"inforeg": {"b": [0.95, 0.1]}}).b == {"visual": 0.95, "audio": 0.1}
