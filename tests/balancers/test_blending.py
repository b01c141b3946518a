from math import inf, log, nan

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avbalance.balancers.blending import Losses, blend_weights, generalisation, measure, ogr, overfitting
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.unimodal import Unimodal
from avbalance.model import Model
from avbalance.types import Batch

# Published weights of audio, visual and joint heads (Wang et al., CVPR 2020).
PUBLISHED = {
    "kinetics": (0.014, 0.630, 0.356),
    "kinetics_csn_152": (0.009, 0.485, 0.506),
    "audioset": (0.239, 0.384, 0.377),
    "epic_noun": (0.175, 0.460, 0.364),
    "epic_verb": (0.524, 0.247, 0.229),
}
GOOD = Losses(train=(2.0, 1.0), val=(2.0, 1.5))


def test_generalisation_overfitting_and_their_ratio_are_those_worked_by_hand() -> None:
    losses = Losses(train=(2.0, 0.5), val=(2.25, 1.25))
    assert generalisation(losses) == 1.0  # 2.25 - 1.25
    assert overfitting(losses) == 0.5  # (1.25 - 0.5) - (2.25 - 2.0)
    assert ogr(losses) == 0.5
    # Train loss fell by less than validation loss: O shrank from 0.5 to 0.25, and the ratio is of magnitudes.
    shrinking = Losses(train=(2.0, 1.75), val=(2.5, 2.0))
    assert overfitting(shrinking) == -0.25
    assert ogr(shrinking) == 0.5


def test_weights_are_those_worked_by_hand() -> None:
    weights, fallback = blend_weights(
        {
            "joint": Losses(train=(2.0, 0.5), val=(2.0, 1.0)),  # G 1, dO 0.5: 1 / 0.25 = 4
            "audio": Losses(train=(2.0, 0.5), val=(2.0, 1.5)),  # G 0.5, dO 1: 0.5
            "visual": Losses(train=(2.5, 2.25), val=(2.75, 2.0)),  # G 0.75, dO -0.25 - 0.25 = -0.5: 0.75 / 0.25 = 3
        }
    )
    assert weights == pytest.approx({"joint": 4 / 7.5, "audio": 0.5 / 7.5, "visual": 3 / 7.5})
    assert not fallback


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_published_weights_come_back_from_losses_that_imply_them(published: tuple[float, float, float]) -> None:
    # With G = 1 for every head, w is in proportion to 1 / dO^2, so dO = w^(-1/2); all losses start at 9.
    losses = {str(head): Losses(train=(9.0, 8.0 - w**-0.5), val=(9.0, 8.0)) for head, w in enumerate(published)}
    weights = blend_weights(losses).weights
    assert list(weights.values()) == pytest.approx([w / sum(published) for w in published])


def test_weights_minimise_the_squared_ratio_among_all_that_sum_to_one() -> None:
    """Prop. 1: for uncorrelated heads OGR^2 of a blend is sum_k w_k^2 dO_k^2 / (sum_k w_k G_k)^2."""
    rng = np.random.default_rng(0)
    G, dO = rng.uniform(0.1, 1, 4), rng.uniform(0.1, 1, 4)
    losses = {str(k): Losses(train=(0.0, -G[k] - dO[k]), val=(0.0, -G[k])) for k in range(4)}
    w = np.array(list(blend_weights(losses).weights.values()))

    def squared_ratio(blend: np.ndarray) -> float:
        return float((blend**2 * dO**2).sum() / (blend * G).sum() ** 2)

    assert w.sum() == pytest.approx(1)
    others = rng.dirichlet(np.ones(4), 1000)
    assert squared_ratio(w) < min(squared_ratio(other) for other in others)
    assert squared_ratio(w) < min(squared_ratio(w + 1e-3 * (other - w)) for other in others)


@pytest.mark.parametrize(
    "bad",
    [
        Losses(train=(2.0, 0.1), val=(2.0, 2.5)),  # the validation loss rose
        Losses(train=(2.0, 0.1), val=(2.0, 2.0)),  # ... or stayed
        Losses(train=(2.0, nan), val=(2.0, 1.0)),
        Losses(train=(2.0, 1.0), val=(inf, 1.0)),
        Losses(train=(2.0, -inf), val=(2.0, 1.0)),
    ],
)
def test_a_head_that_does_not_generalise_has_no_weight(bad: Losses) -> None:
    blend = blend_weights({"joint": GOOD, "audio": bad, "visual": GOOD})
    assert blend.weights == {"joint": 0.5, "audio": 0.0, "visual": 0.5}
    assert not blend.fallback
    assert blend_weights({"joint": bad, "audio": bad, "visual": bad, "flow": bad}) == (
        {"joint": 0.25, "audio": 0.25, "visual": 0.25, "flow": 0.25},
        True,
    )


def test_a_head_that_overfits_by_nothing_counts_as_if_by_a_millionth() -> None:
    # G / (1e-6)^2 = 5e11 against GOOD's 0.5 / 0.5^2 = 2; two such heads share in proportion to G.
    none = Losses(train=(2.0, 1.5), val=(2.0, 1.5))
    weights = blend_weights({"joint": GOOD, "audio": none}).weights
    assert weights["joint"] == pytest.approx(2 / 5e11)
    assert ogr(none) == 0
    more = Losses(train=(2.0, 1.0), val=(2.0, 1.0))
    assert blend_weights({"joint": none, "audio": more}).weights == pytest.approx({"joint": 1 / 3, "audio": 2 / 3})


def test_the_ratio_is_finite_without_generalisation_and_infinite_without_finite_losses() -> None:
    assert ogr(Losses(train=(2.0, 1.5), val=(2.0, 2.0))) == pytest.approx(0.5 / 1e-6)
    assert ogr(Losses(train=(2.0, 1.5), val=(2.0, nan))) == inf


class Half(Encoder):
    """The input itself; in training one half of it."""

    feature_dim = 1

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.scale * (0.5 if self.training else 1.0)


def build() -> tuple[Model, Unimodal]:
    """The joint logits are [0, x_a + x_b], those of each modality [0, x]."""
    dims = {"a": 1, "b": 1}
    model, loss = Model({m: Half() for m in dims}, Concat(dims), Linear(dims, 2)), Unimodal(dims, 2)
    for linear in (model.head.linear, *(head.linear for head in loss.heads.values())):
        linear.weight.data = torch.tensor([[0.0], [1.0]]).expand_as(linear.weight).clone()
        linear.bias.data.zero_()
    return model, loss


def batch_of(a: list[float], b: list[float]) -> Batch:
    inputs = {"a": torch.tensor(a).view(-1, 1), "b": torch.tensor(b).view(-1, 1)}
    return Batch(inputs, torch.ones(len(a), dtype=torch.int64), torch.arange(len(a)))


def test_losses_are_means_over_clips_in_evaluation_mode() -> None:
    model, loss = build()
    # p(1) of [0, ln 3] is 3/4, of [0, 0] 1/2; jointly ln 3 + ln 3 = ln 9 gives 9/10.
    loader = [batch_of([log(3)] * 3, [log(3)] * 3), batch_of([log(3)], [0.0])]
    measured = measure(model.train(), loss.train(), loader)
    expected = {"joint": (3 * log(10 / 9) + log(4 / 3)) / 4, "a": log(4 / 3), "b": (3 * log(4 / 3) + log(2)) / 4}
    assert measured == pytest.approx(expected)
    assert model.training
    assert loss.training
    assert all(module.training for module in model.modules())
    assert measure(model.eval(), loss.eval(), loader) == measured
    assert not model.training
    assert not loss.training


def test_measuring_leaves_no_gradient_and_computes_in_float32_under_autocast() -> None:
    model, loss = build()
    generator = torch.Generator().manual_seed(0)
    loader = [batch_of(torch.randn(5, generator=generator).tolist(), torch.randn(5, generator=generator).tolist())]
    exact = measure(model, loss, loader)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure(model, loss, loader) == exact
    assert all(parameter.grad is None for module in (model, loss) for parameter in module.parameters())
