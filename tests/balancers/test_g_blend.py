from math import log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.balancers.g_blend import GBlend
from avbalance.configuration.signature import describe
from avbalance.encoders.base import Encoder
from avbalance.errors import UserError
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.model import Model
from avbalance.registry import load
from avbalance.types import Batch, Loaders, Output

DIMS = {"visual": 6, "audio": 4}
NO_DATA = Loaders([], [], [])
# As `blend.json` holds it; the order of the heads means nothing.
BLEND: dict[str, Any] = {
    "weights": {"audio": 0.125, "visual": 0.25, "joint": 0.625},
    "ogr": {"audio": 3.0, "visual": 0.5, "joint": 1.0},
    "losses": {},
    "fallback": False,
}


class Affine(Encoder):
    """One linear layer."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.feature_dim = dim
        self.linear = nn.Linear(dim, dim)

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.linear(inputs)
        return features


def build(method: type[Balancer] = GBlend, loss: str = "unimodal", **options: Any) -> Any:  # noqa: ANN401
    torch.manual_seed(0)
    model = Model({m: Affine(dim) for m, dim in DIMS.items()}, Concat(DIMS), Linear(DIMS, 3))
    return method(model, load("loss", {loss: options}, DIMS, 3))


def batch_of(num_clips: int = 8) -> Batch:
    generator = torch.Generator().manual_seed(1)
    inputs = {m: torch.randn(num_clips, dim, generator=generator) for m, dim in DIMS.items()}
    return Batch(inputs, torch.arange(num_clips) % 3, torch.arange(num_clips))


def train(balancer: Balancer, num_steps: int = 3) -> dict[str, Tensor]:
    optimizer = torch.optim.Adam(balancer.parameters(), lr=0.1)
    balancer.start_epoch(0, NO_DATA, optimizer)
    for _ in range(num_steps):
        balancer.step(batch_of(), optimizer)
    return {key: value for key, value in balancer.state_dict().items() if key.startswith(("model.", "loss."))}


def test_terms_are_weighted_by_their_heads() -> None:
    balancer = build()
    balancer.receive(BLEND)
    for head in balancer.loss.heads.values():
        nn.init.zeros_(head.linear.weight)
        head.linear.bias.data = torch.tensor([0.0, log(2), 0.0])
    features = {m: torch.ones(1, dim) for m, dim in DIMS.items()}
    output = Output(features, features, torch.tensor([[0.0, log(6), 0.0]]))
    found = balancer.losses(output, Batch({}, torch.tensor([1]), torch.tensor([0])))
    # p(1) is 6 / 8 jointly and 2 / 4 for each modality: cross-entropies ln(4/3) and ln 2.
    assert {head: value.item() for head, value in found.items()} == pytest.approx(
        {"joint": 0.625 * log(4 / 3), "visual": 0.25 * log(2), "audio": 0.125 * log(2)}
    )


def test_equal_weights_of_one_are_the_auxiliary_loss_bit_for_bit() -> None:
    ours, auxiliary = build(), build(Balancer)
    ours.receive({**BLEND, "weights": dict.fromkeys(BLEND["weights"], 1.0)})
    ours, auxiliary = train(ours), train(auxiliary)
    assert all(torch.equal(ours[key], auxiliary[key]) for key in auxiliary)


def test_all_weight_on_the_joint_head_is_joint_training_bit_for_bit() -> None:
    ours, joint = build(), build(Balancer, loss="joint")
    ours.receive({**BLEND, "weights": {"joint": 1.0, "visual": 0.0, "audio": 0.0}})
    start = {key: value.clone() for key, value in ours.loss.state_dict().items()}
    trained, joint = train(ours), train(joint)
    assert joint.keys() < trained.keys()
    assert all(torch.equal(trained[key], joint[key]) for key in joint)
    assert all(torch.equal(value, start[key]) for key, value in ours.loss.state_dict().items())


def test_curves_are_the_weight_and_the_ratio_of_every_head_and_the_fallback() -> None:
    balancer = build()
    balancer.receive({**BLEND, "fallback": True})
    assert balancer.curves() == {
        "fallback": 1,
        "weight_joint": 0.625,
        "weight_visual": 0.25,
        "weight_audio": 0.125,
        "ogr_joint": 1.0,
        "ogr_visual": 0.5,
        "ogr_audio": 3.0,
    }


def test_weights_belong_to_the_state() -> None:
    balancer, resumed = build(), build()
    balancer.receive(BLEND)
    resumed.load_state_dict(balancer.state_dict())
    assert resumed.curves() == balancer.curves()
    resumed.start_epoch(3, NO_DATA, torch.optim.SGD(resumed.parameters()))


def test_training_without_weights_is_an_error() -> None:
    with pytest.raises(UserError, match="balancer GBlend has no blend weights"):
        train(build())


def test_with_cosine_heads_terms_are_those_of_mmcosine() -> None:
    balancer = build(head={"cosine": {"scale": 5.0}})
    balancer.receive(BLEND)
    batch = batch_of()
    output = balancer(batch)
    terms = balancer.losses(output, batch)
    for modality, head in balancer.loss.heads.items():
        f, W = output.features[modality], head.linear.weight
        cosines = (f @ W.T) / f.norm(dim=1, keepdim=True) / W.norm(dim=1)
        expected = BLEND["weights"][modality] * nn.functional.cross_entropy(5 * cosines, batch.labels)
        assert terms[modality].item() == pytest.approx(expected.item(), rel=1e-5)


def test_it_declares_what_it_needs() -> None:
    declared = describe("balancer", "g_blend").attributes
    assert declared["requires_loss"] == ("unimodal",)
    assert declared["uses_blend"] is True
