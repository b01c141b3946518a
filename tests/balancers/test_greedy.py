import pytest
import torch

from affine import build, random_batch
from avbalance.balancers.base import Balancer
from avbalance.balancers.greedy import speed
from avbalance.registry import load
from avbalance.types import Loaders


def train(balancer: Balancer, num_steps: int) -> dict[str, float]:
    batch = random_batch()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.1, momentum=0.9)
    balancer.train().start_epoch(0, Loaders([batch], [batch], [batch]), optimizer)
    for _ in range(num_steps):
        balancer.step(batch, optimizer)
    return balancer.curves()


def test_a_speed_is_the_squared_gradient_over_the_squared_weights_of_all_together() -> None:
    first, second = (torch.nn.Parameter(torch.tensor(values)) for values in ([3.0, 4.0], [[5.0]]))
    first.grad, second.grad = torch.tensor([1.0, 2.0]), torch.tensor([[5.0]])
    assert speed([first, second]).item() == pytest.approx((1 + 4 + 25) / (9 + 16 + 25))


def test_without_curated_steps_it_is_joint_training_with_the_same_fusion() -> None:
    greedy, joint = (build({"greedy": {"epsilon": 1e9, "start": 0}}) for _ in range(2))
    joint = load("balancer", "joint", joint.model, joint.loss)
    shares = train(greedy, 4)
    train(joint, 4)
    assert set(shares.values()) == {0.0}
    assert all(torch.equal(value, greedy.state_dict()[key]) for key, value in joint.state_dict().items())


def test_a_window_of_curated_steps_follows_a_free_one_and_leaves_the_gates_of_one_modality() -> None:
    balancer = build({"greedy": {"epsilon": 0.0, "window": 3, "start": 0}})
    shares = train(balancer, 8)  # free, three curated, free, three curated
    assert sum(shares.values()) == 6 / 8
    cared_for = max(shares, key=lambda name: shares[name]).removeprefix("curated_")
    place = list(balancer.model.encoders).index(cared_for)
    balancer.fusion.care_for(torch.tensor(place))
    balancer.zero_grad()
    balancer(random_batch()).logits.square().sum().backward()
    for m in balancer.model.encoders:
        moved = [weight.grad.any() for weight in balancer.fusion.junctions[0].U[m].parameters()]
        assert any(moved) == (m != cared_for)


def test_sums_stand_still_in_curated_steps() -> None:
    balancer = build({"greedy": {"epsilon": 0.0, "window": 2, "start": 0}})
    sums = []
    for _ in range(4):
        balancer.may_curate = True
        balancer.decide(torch.tensor([[2.0, 1.0], [1.0, 1.0]]))
        sums.append(balancer.sums[0, 0].item())
    assert sums == [2.0, 2.0, 2.0, 4.0]
