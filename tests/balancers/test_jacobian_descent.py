import importlib.util
import io
from copy import deepcopy
from math import sqrt

import pytest
import torch

from affine import DIMS, build, gradients, random_batch, sgd, start
from avbalance.balancers.base import Balancer
from avbalance.balancers.jacobian_descent import CLASSES
from avbalance.balancers.two_gradients import gramian
from avbalance.errors import UserError
from avbalance.requirements import Combination, Encoder, check

Vector = tuple[float, float]


def weights(aggregator: str, g: Vector, h: Vector, **options: float) -> list[float]:
    """a and b."""
    balancer = build({"jacobian_descent": {"aggregator": aggregator, **options}})
    G = gramian([torch.tensor(g).float()], [torch.tensor(h).float()])
    return balancer.weights(torch.stack([G, G]))[0].tolist()


@pytest.mark.parametrize(
    ("aggregator", "g", "h", "expected"),
    [
        ("mean", (1, 0), (-0.5, 1), (1 / 2, 1 / 2)),
        # |h|^2 = 1.25, g.h = -0.5: a = 1.75 / 3.25
        ("mgda", (1, 0), (-0.5, 1), (0.53846, 0.46154)),
        # |h|^2 < g.h: the shortest point is h
        ("mgda", (3, 0), (1, 0), (0, 1)),
        # g + 0.5 / 1.25 h and h + 0.5 / 1 g
        ("pcgrad", (1, 0), (-0.5, 1), (1.5, 1.4)),
        ("pcgrad", (1, 0), (0.5, 1), (1, 1)),
        # G^-1 (1, sqrt(1.25)) = (1.80902, 1.61803), over its sum
        ("imtl_g", (1, 0), (-0.5, 1), (0.52786, 0.47214)),
        # already orthogonal: both as long as the shorter one, (1, 0) and (0, 1); a half of each
        ("aligned_mtl", (2, 0), (0, 1), (0.25, 0.5)),
        # mean (1, 0.5), whose length is 1.11803; progress on h is worse, so all of 0.4 x 1.11803 goes along h
        ("cagrad", (2, 0), (0, 1), (0.5, 0.5 + 0.4 * sqrt(1.25))),
    ],
)
def test_weights_are_those_worked_out_by_hand(aggregator: str, g: Vector, h: Vector, expected: Vector) -> None:
    assert weights(aggregator, g, h) == pytest.approx(expected, abs=2e-3)
    assert weights(aggregator, (g[0] * 1e-3, g[1] * 1e-3), (h[0] * 1e-3, h[1] * 1e-3)) == pytest.approx(
        expected, abs=2e-3
    )  # gradients that TorchJD would take as zeros


def test_nash_mtl_goes_one_step_of_length_1_with_weights_that_are_the_inverse_of_progress() -> None:
    # G alpha = 1 / alpha: of orthogonal gradients alpha = (1 / |g|, 1 / |h|) = (0.5, 1), d = (1, 1), shortened to 1
    for scale in (1.0, 1e-3):
        a, b = weights("nash_mtl", (2 * scale, 0), (0, scale))
        assert (a * scale, b * scale) == pytest.approx((0.5 / sqrt(2), 1 / sqrt(2)), rel=1e-3)
    # of g = (1, 0), h = (0.9, 1): G = [[1, 0.9], [0.9, 1.81]]
    a, b = weights("nash_mtl", (1, 0), (0.9, 1))
    assert a * (a + 0.9 * b) == pytest.approx(b * (0.9 * a + 1.81 * b), rel=1e-3)
    assert (a + 0.9 * b) ** 2 + b**2 == pytest.approx(1, rel=1e-3)


def test_the_radius_of_cagrad_is_an_option() -> None:
    assert weights("cagrad", (2, 0), (0, 1), c=0.0) == pytest.approx([0.5, 0.5], abs=1e-3)
    assert weights("cagrad", (2, 0), (0, 1), c=0.8) == pytest.approx([0.5, 0.5 + 0.8 * sqrt(1.25)], abs=1e-3)


def test_in_conflict_mmpareto_has_twice_the_weights_of_mgda() -> None:
    ours, mgda = build("mmpareto"), build({"jacobian_descent": {"aggregator": "mgda"}})
    generator, num_conflicts = torch.Generator().manual_seed(0), 0
    for _ in range(50):
        g, h = torch.randn(2, 3, generator=generator)
        G = gramian([g], [h]).expand(2, 2, 2)
        if G[0, 0, 1] < 0:
            num_conflicts += 1
            torch.testing.assert_close(ours.weights(G), 2 * mgda.weights(G), rtol=1e-4, atol=1e-4)
    assert num_conflicts > 10


@pytest.mark.parametrize("loss", ["unimodal", "joint"])
def test_an_encoder_has_the_aggregate_of_its_two_gradients_and_all_else_the_sum(loss: str) -> None:
    balancer, batch = build({"jacobian_descent": {"aggregator": "mean"}}, loss=loss), random_batch()
    equal = build("joint" if loss == "unimodal" else "masked_losses", loss=loss)
    found, expected = gradients(start(balancer, batch), batch), gradients(equal, batch)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient / 2 if "encoders" in name else gradient)


@pytest.mark.parametrize("aggregator", CLASSES)
@pytest.mark.parametrize("loss", ["unimodal", "joint"])
def test_steps_along_every_aggregate_lower_both_losses(aggregator: str, loss: str) -> None:
    balancer, batch = build({"jacobian_descent": {"aggregator": aggregator}}, loss=loss), random_batch()
    start(balancer, batch)
    terms = [balancer.step(batch, sgd(balancer, lr=0.05)) for _ in range(10)]
    assert set(terms[0]) == {"joint", *DIMS}
    assert all(terms[-1][name] < value for name, value in terms[0].items())


def test_no_number_of_an_aggregate_of_vanishing_gradients_is_infinite() -> None:
    for aggregator in CLASSES:
        for g, h in [((0, 0), (0, 0)), ((1, 0), (0, 0)), ((1, 0), (-1, 0)), ((1, 0), (1, 0)), ((1e-20, 0), (1, 0))]:
            assert all(abs(each) < 1e6 for each in weights(aggregator, g, h)), (aggregator, g, h)


def test_nash_mtl_resumes_with_the_same_bits() -> None:
    batches = [random_batch(seed=seed) for seed in range(4)]

    def trained(balancer: Balancer, some: list) -> Balancer:
        start(balancer, some[0])
        for batch in some:
            balancer.step(batch, sgd(balancer))
        return balancer

    first = build({"jacobian_descent": {"aggregator": "nash_mtl"}})
    whole = trained(deepcopy(first), batches)
    killed, resumed = trained(first, batches[:2]), build({"jacobian_descent": {"aggregator": "nash_mtl"}})
    assert not torch.equal(killed.alpha, torch.ones(2, 2))
    file = io.BytesIO()
    torch.save(killed.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    expected = whole.state_dict()
    for name, value in trained(resumed, batches[2:]).state_dict().items():
        assert name in ("sums", "num_steps") or torch.equal(value, expected[name]), name


def test_without_the_package_a_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Combination({"audio": Encoder("a", 4), "visual": Encoder("b", 4)}, loss="unimodal", optimizer="sgd")
    declared = {"requires_package": ("torchjd",)}
    check("balancer", "jacobian_descent", declared, row)
    monkeypatch.setattr("avbalance.requirements.is_installed", lambda name: False)
    with pytest.raises(UserError) as error:
        check("balancer", "jacobian_descent", declared, row)
    assert str(error.value) == (
        "balancer: 'jacobian_descent' needs the package `torchjd`, found no 'torchjd'; install the extra of that name: "
        "pip install -e '.[torchjd]'"
    )
    assert importlib.util.find_spec("torchjd")
