import pytest
import torch

from affine import DIMS, Affine, build, random_batch
from avbalance.balancers.aug import AUG
from avbalance.balancers.base import Balancer
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.registry import load
from avbalance.types import Batch, Loaders

NO_DATA = Loaders([], [], [])


def small_head() -> dict[str, dict[str, int]]:
    return {"boosted": {"hidden": 4, "num_added": 2}}


def optimizer_of(balancer: Balancer) -> torch.optim.Optimizer:
    return torch.optim.SGD(balancer.parameters(), lr=0.1, momentum=0.9)


def test_one_modality_with_one_layer_is_uni_modal_training() -> None:
    trained = []
    for kind in (AUG, Balancer):
        torch.manual_seed(0)
        fusion = load("fusion", "concat", {"audio": DIMS["audio"]})
        model = Model({"audio": Affine(DIMS["audio"])}, fusion, load("head", small_head(), fusion.streams, 3))
        balancer, batch = kind(model, Joint(DIMS, 3)).train(), random_batch()
        optimizer = optimizer_of(balancer)
        balancer.start_epoch(0, NO_DATA, optimizer)
        for _ in range(3):
            balancer.step(Batch({"audio": batch.inputs["audio"]}, batch.labels, batch.index), optimizer)
        trained.append(model.state_dict())
    torch.testing.assert_close(trained[0], trained[1])


@pytest.mark.parametrize(
    ("sums", "layers"),
    [
        ({"visual": 1.02, "audio": 1.0}, {"visual": 1, "audio": 2}),
        ({"visual": 0.98, "audio": 1.0}, {"visual": 2, "audio": 1}),
        ({"visual": 1.005, "audio": 1.0}, {"visual": 1, "audio": 1}),
        ({"visual": 0.0, "audio": 0.0}, {"visual": 1, "audio": 1}),
    ],
)
def test_the_modality_that_is_behind_gets_a_layer(sums: dict[str, float], layers: dict[str, int]) -> None:
    balancer = build("aug", head=small_head())
    for modality, value in sums.items():
        balancer.get_buffer(f"sum_{modality}").fill_(value)
    balancer.start_epoch(1, NO_DATA, optimizer_of(balancer))
    assert balancer.num_used == layers
    assert not balancer.sum_visual
    assert not balancer.sum_audio


def test_layers_are_added_after_the_first_epoch_and_every_so_many_until_none_is_left() -> None:
    balancer = build({"aug": {"every": 3}}, head=small_head())
    layers = []
    for epoch in range(8):
        balancer.sum_visual.fill_(2.0)
        balancer.sum_audio.fill_(1.0)
        balancer.start_epoch(epoch, NO_DATA, optimizer_of(balancer))
        layers.append(balancer.num_used["audio"])
    assert layers == [1, 2, 2, 3, 3, 3, 3, 3]
    assert balancer.earliest_stop == 6


@pytest.mark.parametrize("train_added", [False, True])
def test_added_layers_keep_their_first_weights_unless_they_are_trained(train_added: bool) -> None:
    balancer, batch = build({"aug": {"train_added": train_added}}, head=small_head()).train(), random_batch()
    balancer.head.add_layer("audio")
    optimizer = optimizer_of(balancer)
    balancer.start_epoch(0, NO_DATA, optimizer)
    before = balancer.head.layers["audio"].weight.detach().clone()
    for _ in range(3):
        balancer.step(batch, optimizer)
    moved = (balancer.head.layers["audio"].weight != before).any(dim=1).view(3, 4).any(dim=1)
    assert moved.tolist() == [True, train_added, False]  # the first layer, the one in use, the one that is not


def test_logits_of_a_modality_sum_its_layers_and_those_of_all_have_their_shares() -> None:
    torch.manual_seed(0)
    head = load("head", {"boosted": {"hidden": 4, "shares": [0.4]}}, {"audio": 2, "visual": 3}, 3)
    streams = {"audio": torch.randn(5, 2), "visual": torch.randn(5, 3)}
    head.add_layer("audio")
    z = {m: head.by_layer(m, streams[m]) for m in streams}
    expected = {"audio": 0.4 * (z["audio"][:, 0] + z["audio"][:, 1]), "visual": 0.5 * z["visual"][:, 0]}
    torch.testing.assert_close(head.split(streams), expected)
    torch.testing.assert_close(head(streams), expected["audio"] + expected["visual"])
