import pytest
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from avbalance.balancers.base import Balancer
from avbalance.balancers.ogm import OGM
from avbalance.balancers.ogm_ge import BLOCK, OGMGE, deviations, quantiles
from avbalance.encoders.base import Encoder
from avbalance.fusions.concat import Concat
from avbalance.heads.linear import Linear
from avbalance.losses.joint import Joint
from avbalance.model import Model
from avbalance.types import Batch, Loaders

NO_DATA = Loaders([], [], [])
NO_OPTIMIZER = torch.optim.SGD([torch.zeros(1)])
WEIGHTS = [f"encoders.{modality}.layers.{layer}.weight" for modality in ("visual", "audio") for layer in (0, 2)]


class Convolutions(Encoder):
    """Two convolutions, then the mean."""

    feature_dim = 20

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(20, 30, 3), nn.Tanh(), nn.Conv2d(30, 20, 3))

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layers(inputs).mean(dim=(2, 3))
        return features


def build(method: type[Balancer], **options: int) -> Balancer:
    torch.manual_seed(0)
    dims = {"visual": 20, "audio": 20}
    model = Model({modality: Convolutions() for modality in dims}, Concat(dims), Linear(dims, 2))
    balancer = method(model, Joint({}, 2), **options)
    return balancer.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def gradients(balancer: Balancer, epoch: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = {m: torch.rand(8, 20, 6, 6, generator=generator) for m in ("visual", "audio")}
    batch = Batch(inputs, torch.arange(8) % 2, torch.arange(8))
    balancer.start_epoch(epoch, NO_DATA, NO_OPTIMIZER)
    balancer.zero_grad()
    output = balancer(batch)
    balancer.backward(balancer.losses(output, batch), output, batch)
    return {key: p.grad.clone() for key, p in balancer.model.named_parameters() if p.grad is not None}


def fix_coefficients(balancer: Balancer) -> Balancer:
    k = {"visual": torch.tensor(0.2), "audio": torch.tensor(1.0)}
    balancer.coefficients = lambda output, labels: k
    return balancer


def test_weights_get_noise_of_the_spread_their_gradients_had() -> None:
    plain, slowed = gradients(build(Balancer)), gradients(fix_coefficients(build(OGM)))
    noisy = gradients(fix_coefficients(build(OGMGE)))
    for key in WEIGHTS:
        noise, spread = noisy[key] - slowed[key], plain[key].std()
        # 5,400 draws: standard error of the mean 1.4 % of the spread, of the standard deviation 1 %.
        assert noise.mean().abs() < 0.06 * spread
        assert noise.std().item() == pytest.approx(spread.item(), rel=0.05)


def test_no_two_elements_share_a_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed, plain = gradients(fix_coefficients(build(OGM))), gradients(build(Balancer))
    balancer = fix_coefficients(build(OGMGE))
    draws = torch.linspace(-1, 1, 2 * 20 * 30 * 9)  # of one encoder's 2 weights, whatever their layout in memory
    monkeypatch.setattr(balancer, "draw", lambda size, device: draws.clone())
    noisy = gradients(balancer)
    for modality in (WEIGHTS[:2], WEIGHTS[2:]):
        h = torch.cat([((noisy[key] - slowed[key]) / plain[key].std(correction=0)).flatten() for key in modality])
        torch.testing.assert_close(h.sort().values, draws, atol=1e-4, rtol=0)


def test_biases_and_the_head_keep_the_gradients_of_joint_training() -> None:
    plain, modulated = gradients(build(Balancer)), gradients(build(OGMGE))
    assert {key for key in plain if not torch.equal(plain[key], modulated[key])} == set(WEIGHTS)


def test_noise_comes_from_start_to_the_epoch_before_end() -> None:
    plain = gradients(build(Balancer))
    balancer = build(OGMGE, start=1, end=3)
    noisy = [not torch.equal(gradients(balancer, epoch)[WEIGHTS[0]], plain[WEIGHTS[0]]) for epoch in range(5)]
    assert noisy == [False, True, True, False, False]


def test_a_weight_of_one_element_gets_no_noise() -> None:
    balancer = build(OGMGE)
    balancer.start_epoch(0, NO_DATA, NO_OPTIMIZER)
    gradient = torch.tensor([[3.0]])
    balancer.modulate([gradient], torch.tensor(0.5))  # type: ignore[operator]
    assert gradient.item() == 1.5


def draws_of(num: int, seed: int = 0) -> Tensor:
    balancer = build(OGMGE)
    torch.manual_seed(seed)
    balancer.start_epoch(0, NO_DATA, NO_OPTIMIZER)
    draws: Tensor = balancer.draw(num, torch.device("cpu"))  # type: ignore[operator]
    return draws.clone()


def test_draws_are_normal_and_independent() -> None:
    draws = draws_of(10**6 + 1).double()
    # Standard errors: mean 1e-3, variance 1.4e-3, fourth moment sqrt(96) e-3, correlation of neighbours 1e-3.
    assert kstest(draws, "norm").pvalue > 0.01
    assert draws.mean().abs() < 4e-3
    assert draws.var().item() == pytest.approx(1, abs=6e-3)
    assert (draws**4).mean().item() == pytest.approx(3, abs=0.04)
    for lag in (1, 2, 3, 4, BLOCK):
        assert (draws[lag:] * draws[:-lag]).mean().abs() < 4e-3


def test_quantiles_have_the_moments_of_the_normal_distribution() -> None:
    q = quantiles().double()
    moments = [(q**power).mean().item() for power in (1, 2, 3, 4)]
    assert moments == pytest.approx([0, 1, 0, 3], abs=5e-4)  # of the fourth, 2e-4 lie beyond the last quantile
    assert kstest(q, "norm").statistic < 2e-5  # half the step of a distribution of 65,536 values is 0.8e-5


def test_draws_follow_the_seed_of_the_epoch_and_never_repeat() -> None:
    first, again, other = draws_of(5000), draws_of(5000), draws_of(5000, seed=1)
    assert torch.equal(first, again)
    assert (first == other).float().mean() < 0.01
    balancer = build(OGMGE)
    torch.manual_seed(0)
    balancer.start_epoch(0, NO_DATA, NO_OPTIMIZER)
    halves = [balancer.draw(2500, torch.device("cpu")).clone() for _ in range(2)]  # type: ignore[operator]
    assert (halves[0] == halves[1]).float().mean() < 0.01


def test_deviations_divide_by_the_number_of_elements() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(30, 20, 3, 3), 1e-6 * torch.randn(7, 5) + 1e-5, torch.tensor([[2.0, 4.0]])]
    expected = [gradient.double().std(correction=0).float() for gradient in gradients]
    torch.testing.assert_close(deviations(gradients), expected, rtol=1e-4, atol=0)
