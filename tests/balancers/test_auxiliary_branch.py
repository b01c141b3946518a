import pytest
import torch
from torch.nn.functional import cross_entropy

from avbalance.balancers.auxiliary_branch import AuxiliaryBranch
from avbalance.cli import UserError
from avbalance.encoders.conv2net import Conv2Net
from avbalance.encoders.inception_v3 import InceptionV3
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.types import Batch

LABELS = torch.tensor([0, 2])


def build(weight: float) -> tuple[AuxiliaryBranch, Batch]:
    torch.manual_seed(0)
    encoder = InceptionV3((1, 107, 107), width=2, branch=True, dropout=0.0)
    dims = {"visual": encoder.feature_dim}
    model = Model({"visual": encoder}, Concat(dims), Linear(dims, 3))
    batch = Batch({"visual": torch.randn(2, 1, 107, 107)}, LABELS, torch.arange(2))
    return AuxiliaryBranch(model, Joint(dims, 3), weight=weight), batch


def test_its_term_is_the_weighted_cross_entropy_of_the_branch() -> None:
    balancer, batch = build(weight=0.3)
    output = balancer.train()(batch)
    terms = balancer.losses(output, batch)
    logits = balancer.heads["visual"](balancer.model.encoders["visual"].auxiliary)
    assert list(terms) == ["joint", "auxiliary_visual"]
    torch.testing.assert_close(terms["joint"], cross_entropy(output.logits, LABELS))
    torch.testing.assert_close(terms["auxiliary_visual"], 0.3 * cross_entropy(logits, LABELS))


def test_its_gradient_enters_at_mixed_6e_and_reaches_no_later_module() -> None:
    balancer, batch = build(weight=1.0)
    balancer.losses(balancer.train()(batch), batch)["auxiliary_visual"].backward()
    encoder = balancer.model.encoders["visual"]
    for name in ("Conv2d_1a_3x3", "Mixed_6e", "AuxLogits"):
        assert all(p.grad is not None and p.grad.any() for p in encoder.get_submodule(name).parameters()), name
    assert all(p.grad is None for p in encoder.get_submodule("Mixed_7a").parameters())


def test_encoders_without_a_branch_are_the_users_error() -> None:
    dims = {"visual": 128}
    model = Model({"visual": Conv2Net((1, 28, 28))}, Concat(dims), Linear(dims, 3))
    with pytest.raises(UserError, match="no encoder of visual has an auxiliary branch"):
        AuxiliaryBranch(model, Joint(dims, 3))
