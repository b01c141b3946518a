"""Numbers of every method, worked by hand from its equations."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from affine import DIMS, build, random_batch, train_one_step
from avbalance.balancers.agm import _ratios
from avbalance.balancers.amco import dependence, num_hidden
from avbalance.balancers.amss import mask, shares_of
from avbalance.balancers.arl import asymmetry
from avbalance.balancers.aug import residual_loss
from avbalance.balancers.cggm import balance
from avbalance.balancers.cml import rise_of_confidence
from avbalance.balancers.inforeg import relative_growth
from avbalance.balancers.lfm import divergence, fitted
from avbalance.balancers.mbsd import distillation
from avbalance.balancers.mmpareto import weight_of_joint
from avbalance.balancers.qmf import rank
from avbalance.balancers.reconboost import boosting_loss
from avbalance.balancers.relearning import purity_of
from avbalance.balancers.scores import shapley, true_probabilities
from avbalance.balancers.two_gradients import gramian
from avbalance.balancers.valuation import num_copies
from avbalance.heads.confidence import confidence
from avbalance.registry import load
from avbalance.types import Loaders

Numbers = list[float]
NO_DATA = Loaders([], [], [])
NO_OPTIMIZER = torch.optim.SGD([torch.zeros(1)])


def t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def pair(a: float, v: float) -> dict[str, Tensor]:
    return {"audio": t(a).squeeze(), "visual": t(v).squeeze()}


def agm(s: Numbers, alpha: float) -> Numbers:
    """Coefficients of the first step, at which tau = 1, from cross-entropies."""
    return torch.exp(alpha * (1 - _ratios(t(*s)))).tolist()


def opm(s: Numbers) -> Numbers:
    balancer = build("opm")
    return [q.item() for q in balancer.shares({m: p.expand(2) for m, p in pair(*s).items()}).values()]


def pmr_weights(rho: float, hard: bool) -> Numbers:
    """Weights of audio and visual where s_audio / s_visual = rho."""
    balancer = build({"pmr": {"hard": hard}})
    p = {"audio": 0.5, "visual": 0.5 / rho}
    near = {m: torch.log(torch.tensor([[each, 1 - each]])) for m, each in p.items()}
    w = balancer.weights(near, torch.tensor([0]))
    return [w["audio"].item(), w["visual"].item()]


def mmpareto(g: Numbers, h: Numbers, gamma: float) -> Numbers:
    balancer = build({"mmpareto": {"gamma": gamma}})
    ((a, b),) = balancer.weights(gramian([t(*g)], [t(*h)]).unsqueeze(0))
    (d,) = balancer.lengthened([a * t(*g) + b * t(*h)], [t(*g)], [t(*h)])
    return d.tolist()


def mlb(s: Numbers) -> Numbers:
    """Coefficients of audio and visual."""
    balancer = build("mlb")
    logits = {m: torch.log(torch.stack([s_m, 1 - s_m]))[None] for m, s_m in pair(*s).items()}
    balancer.loss.logits = lambda output: logits
    k = balancer.coefficients(balancer(random_batch()), torch.tensor([0]))
    return [k["audio"].item(), k["visual"].item()]


def mslr(rate: float, accuracy: float, before: float) -> Numbers:
    balancer = build({"mslr": {"rates": [1.0, rate]}})
    balancer.accuracies[-1] = before
    balancer.validate = lambda loaders: t(accuracy, accuracy)
    train_one_step(balancer, random_batch(), epoch=1)
    return [balancer.curves()["coefficient_audio"]]


def arl() -> Numbers:
    return [omega.item() for omega in asymmetry(pair(0.4, 0.6), pair(0.4, 0.6), T=8.0).values()]


def mla(normalise: bool) -> Numbers:
    """P's diagonal, and the gradient (1, 1) that it changes, at r = (1, 0) and alpha_t = 0.1."""
    balancer = build({"mla": {"modify": True, "normalise": normalise}})
    balancer.P = torch.eye(2)
    balancer.num_steps += 2 * balancer.num_batches  # not the first step of all; batch 0 again
    (W, *_) = balancer.head.parameters()
    W.data = torch.zeros(1, 2)
    W.grad = torch.ones(1, 2)
    balancer.modify_gradient(t(1, 0))
    return [*balancer.P.diag().tolist(), *W.grad[0].tolist()]


def shared_entropy() -> Numbers:
    """Weights and logits of z_a = (2, 0), z_v = (0, 1)."""
    head = load("head", {"shared": {"combine": "entropy"}}, {"audio": 2, "visual": 2}, 2)
    head.classifier = torch.nn.Identity()
    streams = {"audio": torch.tensor([[2.0, 0.0]]), "visual": torch.tensor([[0.0, 1.0]])}
    shares = head.split(streams)
    return [shares["audio"][0, 0].item() / 2, shares["visual"][0, 1].item(), *head(streams)[0].tolist()]


def mbsd() -> Numbers:
    log_p = [torch.log(torch.tensor([p])) for p in ([0.7, 0.2, 0.1], [0.5, 0.3, 0.2])]
    return [distillation(*log_p, torch.tensor([0])).item()]


def cml(rises: Numbers, spares_right: bool = False) -> Numbers:
    """Mean of relu over clips whose confidence is 0.6 with all modalities."""

    def logits(confidences: Numbers) -> Tensor:
        return torch.log(torch.tensor([[c, 1 - c] for c in confidences]))

    larger, smaller = logits([0.6] * len(rises)), logits([0.6 + rise for rise in rises])
    return [rise_of_confidence(larger, smaller, torch.zeros(len(rises), dtype=torch.int64), spares_right).item()]


def qmf(margin: bool) -> Numbers:
    """R of one pair: of two clips the other direction gives the same, as both t and the differences turn round."""
    return [rank(t(0.9, 0.2), t(0.8, 0.3), margin).item()]


def energies() -> Numbers:
    return confidence(torch.tensor([[2.0, 0.0], [0.0, 1.0]])).tolist()


def inforeg() -> Numbers:
    """The pull where audio leads by 0.4."""
    balancer = build("inforeg")
    return [balancer.pulls(pair(0.9, 0.5))[m].item() for m in ("audio", "visual")]


def amss() -> Numbers:
    """Shares at t = (1.2, 0.8), and filters of 64 that are kept of each."""
    keep = shares_of(t(1.2, 0.8), torch.ones(2))
    gradient = torch.randn(64, 3, 3, generator=torch.Generator().manual_seed(0))
    kept = [int(mask(gradient, each, plus=False).flatten(1).any(dim=1).sum()) for each in keep]
    return [*keep.tolist(), *kept]


def cggm(rho: float) -> Numbers:
    return (rho * balance(t(0.10, 0.02))).tolist()


def lfm(swapped: bool) -> Numbers:
    return [divergence(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 0.0]]), swapped).item()]


def relearning(gaps: Numbers) -> Numbers:
    """Weights that were 1 and are 2, moved back by gaps of purity."""
    moved = []
    for gap in gaps:
        balancer = build("relearning")
        (linear,) = [
            layer for layer in balancer.model.encoders["audio"].modules() if isinstance(layer, torch.nn.Linear)
        ]
        torch.nn.init.constant_(linear.weight, 1.0)
        balancer.start_epoch(0, NO_DATA, NO_OPTIMIZER)
        torch.nn.init.constant_(linear.weight, 2.0)
        purities = iter([dict.fromkeys(DIMS, 0.5), dict.fromkeys(DIMS, 0.5 - gap)])
        balancer.purities = lambda loader, purities=purities: next(purities)
        balancer.start_epoch(21, NO_DATA, NO_OPTIMIZER)
        moved.append(linear.weight.mean().item())
    return moved


def reconboost(num_classes: int) -> Numbers:
    """p_rest[y] = 0.4 and p_m[y] = 0.25, of as many classes."""

    def logits(p: float) -> Tensor:
        return torch.log(torch.tensor([[p] + [(1 - p) / (num_classes - 1)] * (num_classes - 1)]))

    return [boosting_loss(logits(0.25), logits(0.4), torch.tensor([0]), 5.0, 1.0).item()]


def valuation(audio: bool, visual: bool, joint: bool) -> Numbers:
    """Values of audio and visual, and copies that keep them."""
    right = {frozenset(["audio"]): audio, frozenset(["visual"]): visual, frozenset(["audio", "visual"]): joint}
    phi = shapley({S: t(len(S) * each) for S, each in right.items()}, ["audio", "visual"])
    return [*(phi[m].item() for m in phi), *(num_copies(phi[m]).item() for m in phi)]


def amco() -> Numbers:
    d = dependence({"audio": torch.tensor([[2.0, 0.0]]), "visual": torch.tensor([[0.0, 0.0]])})
    return [num_hidden(6, 0.1, 0.3), *(d_m.item() for d_m in d.values())]


def aug() -> Numbers:
    """p_prev[y] = 0.6 and p_last[y] = 0.5."""
    z_prev, z_last = (torch.log(torch.tensor([[p, 1 - p]])) for p in (0.6, 0.5))
    return [residual_loss(z_prev, z_last, torch.tensor([0])).item()]


def greedy(epoch: int, epsilon: float) -> Numbers:
    """Modality that each of seven steps leaves to be cared for, with mu of gates and encoders only in the first."""
    balancer = build({"greedy": {"start": 2, "epsilon": epsilon}})
    balancer.start_epoch(epoch, NO_DATA, NO_OPTIMIZER)
    cared_for = []
    for mu in [torch.tensor([[4e-3, 1e-3], [2e-3, 1e-3]])] + [torch.zeros(2, 2)] * 6:
        balancer.decide(mu)
        cared_for.append(balancer.fusion.care.item())
    return cared_for


@pytest.mark.parametrize(
    ("compute", "expected"),
    [
        (aug, [0.48520]),
        # log10(4) - log10(2) = 0.30103: five steps care for modality 0; the sixth is free, and its d the same.
        (lambda: greedy(2, 0.30), [0, 0, 0, 0, 0, -1, 0]),
        (lambda: greedy(2, 0.31), [-1] * 7),
        (lambda: greedy(1, 0.30), [-1] * 7),
        (inforeg, [1.38910, 0.0]),
        (amss, [0.40131, 0.59869, 26, 39]),
        (lambda: cggm(1.0), [0.16667, 0.83333]),
        (lambda: cggm(1.3), [0.21667, 1.08333]),
        (lambda: lfm(swapped=False), [0.0895409]),
        (lambda: lfm(swapped=True), [0.1008576]),
        (lambda: [fitted(epoch) for epoch in (0, 50, 100, 199)], [0.20462, 0.43670, 0.53919, 0.91601]),
        (lambda: relearning([0.2, 0.05, 0.0]), [1.46295, 1.85111, 2.0]),
        (lambda: [purity_of(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))], [3 / 4]),
        (lambda: reconboost(6), [1.06283]),
        (lambda: valuation(audio=True, visual=False, joint=True), [1.5, 0.5, 0, 1]),
        (lambda: valuation(audio=False, visual=False, joint=False), [0, 0, 2, 2]),
        (lambda: valuation(audio=True, visual=False, joint=False), [0.5, -0.5, 1, 3]),
        (lambda: valuation(audio=True, visual=True, joint=True), [1, 1, 0, 0]),
        (amco, [3, 0.80749, 0.19251]),
        (lambda: _ratios(t(0.5, 1.2)).tolist(), [2.01375, 0.49659]),
        (lambda: agm([0.5, 1.2], 1.0), [0.36285, 1.65436]),
        (lambda: agm([0.5, 1.2], 1.5), [0.21857, 2.12787]),
        (lambda: opm([0.6, 0.3]), [0.69040, 0.0]),
        (lambda: pmr_weights(1.4, hard=False), [0.0, 0.4]),
        (lambda: pmr_weights(1.4, hard=True), [0.0, 1.0]),
        (lambda: [weight_of_joint(t(-0.5), t(1.0), t(1.25)).item()], [0.53846]),
        (lambda: mmpareto([1, 0], [-0.5, 1], 1.0), [0.62017, 0.93026]),
        (lambda: mmpareto([1, 0], [-0.5, 1], 1.5), [0.93026, 1.39539]),
        (lambda: mmpareto([1, 0], [1, 1], 1.5), [3.0, 1.5]),
        (lambda: mmpareto([1, 0], [-1, 0], 1.5), [0.0, 0.0]),
        (lambda: mlb([0.6, 0.3]), [0.62005, 1.66404]),
        (lambda: mslr(0.9, 0.62, 0.60), [0.93]),
        (arl, [0.83202, 0.16798]),
        (lambda: mla(normalise=False), [0.0909091, 1.0, 0.0909091, 1.0]),
        (lambda: mla(normalise=True), [0.0905357, 0.9958932, 0.0905357, 0.9958932]),
        (shared_entropy, [0.55401, 0.44599, 1.10801, 0.44599]),
        (mbsd, [0.0170246 + 0.004]),
        (lambda: cml([0.3]), [0.3]),
        (lambda: cml([0.3, -0.1]), [0.15]),
        (lambda: qmf(margin=False), [0.2]),
        (lambda: qmf(margin=True), [1.2]),
        (energies, [0.21269, 0.13133]),
    ],
)
def test_numbers_are_those_worked_by_hand(compute: Callable[[], Numbers], expected: Numbers) -> None:
    assert compute() == pytest.approx(expected, abs=5e-5 if len(expected) == 4 else 1e-5)


def test_a_smaller_subset_that_alone_is_right_is_spared() -> None:
    larger, smaller = torch.log(torch.tensor([[0.4, 0.6]])), torch.log(torch.tensor([[0.9, 0.1]]))
    labels = torch.tensor([0])
    assert rise_of_confidence(larger, smaller, labels, spares_right=True).item() == 0
    assert rise_of_confidence(larger, smaller, labels, spares_right=False).item() == pytest.approx(0.3)


def test_a_modality_that_is_never_right_has_the_probability_zero_and_finite_coefficients() -> None:
    z = {"audio": torch.tensor([[-1000.0, 0.0]]), "visual": torch.tensor([[0.0, 0.0]])}
    assert true_probabilities(z, torch.tensor([0]))["audio"].item() == 0
    for k in build("agm").coefficients(z, torch.tensor([0])).values():
        assert k.isfinite()


def test_the_window_of_a_trace_closes_when_its_last_ten_grow_no_more() -> None:
    # S(e) = 2 and S(e - 1) = 1 while it fills; then eleven equal traces: S(e) = S(e - 1) = 10.
    filling, full = torch.full([1, 11], torch.nan), torch.ones(1, 11)
    filling[0, -2:] = 1.0
    assert relative_growth(torch.cat([filling, full])).tolist() == [0.5, 0.0]
