import pytest
import torch
from torch import Tensor

from avbalance.balancers.modality_dropout import ModalityDropout
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.types import Batch, Output

NUM_CLIPS = 3000
DIMS = {"visual": 3, "audio": 2, "flow": 4}


class Ones(Encoder):
    """Every feature is 1."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.feature_dim = dim

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.ones(len(inputs), self.feature_dim)


def build(probability: float) -> tuple[ModalityDropout, Batch]:
    torch.manual_seed(0)
    model = Model({modality: Ones(dim) for modality, dim in DIMS.items()}, Concat(DIMS), Linear(DIMS, 2))
    inputs = {modality: torch.zeros(NUM_CLIPS, 1) for modality in DIMS}
    batch = Batch(inputs, torch.zeros(NUM_CLIPS, dtype=torch.int64), torch.arange(NUM_CLIPS))
    return ModalityDropout(model, Joint(DIMS, 2), probability=probability), batch


def test_a_clip_lacks_all_of_one_modality_or_nothing() -> None:
    balancer, batch = build(probability=0.5)
    features = balancer.train()(batch).features
    for feature in features.values():
        assert (feature == feature[:, :1]).all()
    missing = torch.stack([feature[:, 0] == 0 for feature in features.values()]).sum(dim=0)
    assert missing.unique().tolist() == [0, 1]


@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_each_modality_is_missing_equally_often(probability: float) -> None:
    balancer, batch = build(probability)
    for feature in balancer.train()(batch).features.values():
        # Of 3,000 clips a share of p / 3, standard error below 0.009.
        assert (feature[:, 0] == 0).float().mean().item() == pytest.approx(probability / 3, abs=0.03)


def test_logits_follow_from_what_is_left() -> None:
    balancer, batch = build(probability=0.5)
    output = balancer.train()(batch)
    assert torch.equal(output.logits, balancer.model.decide(output.features).logits)


def test_nothing_is_missing_in_evaluation() -> None:
    balancer, batch = build(probability=1.0)
    assert all(feature.all() for feature in balancer.eval()(batch).features.values())


def test_of_feature_maps_all_positions_are_missing_or_none() -> None:
    balancer, batch = build(probability=1.0)
    features = {modality: torch.ones(NUM_CLIPS, dim, 2, 3) for modality, dim in DIMS.items()}
    balancer.model.encode = lambda inputs: features  # type: ignore[method-assign]
    balancer.model.decide = lambda features: Output(features, {}, torch.empty(0))  # type: ignore[method-assign]
    left = balancer.train()(batch).features
    for feature in left.values():
        assert (feature == feature[:, :1, :1, :1]).all()
    missing = torch.stack([feature[:, 0, 0, 0] == 0 for feature in left.values()]).sum(dim=0)
    assert missing.unique().tolist() == [1]
