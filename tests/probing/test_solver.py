"""The convex problem: against scikit-learn, automatic differentiation and solutions worked out by hand."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from avbalance import metrics
from avbalance.data.array_writer import ArrayWriter
from avbalance.errors import UserError
from avbalance.probing import solver
from avbalance.probing.extraction import MIB, path_of
from avbalance.probing.features import Features
from avbalance.probing.fitting import GRADIENT_TOLERANCE, L2_GRID, Probe, check_memory, fit_probe
from avbalance.probing.solver import Problem
from avbalance.reductions.full import Full
from avbalance.reductions.projection import Projection
from avbalance.reductions.subset import Subset

Clips = tuple[NDArray[np.float64], NDArray[np.int64]]
Solve = Callable[..., tuple[NDArray[np.float64], float]]


def write(path: Path, features: NDArray[Any]) -> Path:
    writer = ArrayWriter(path, features.shape[1:], "<f4")
    writer.append(features)
    writer.close()
    return path


@pytest.fixture
def solve(tmp_path: Path) -> Solve:
    """(features, labels, num_classes, l2, start or None) -> the solution [num_classes * (dim + 1)] and its gradient."""

    def run(
        features: NDArray[Any], labels: NDArray[Any], num_classes: int, l2: float, start: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float64], float]:
        problem = Problem(Features(write(tmp_path / "x.npy", features), "x", MIB), labels, num_classes, 64 * MIB)
        begin = (
            problem.start() if start is None else torch.from_numpy(start.reshape(num_classes, -1).astype(np.float64))
        )
        solution = problem.solve(l2, begin, GRADIENT_TOLERANCE)
        return solution.weight.numpy().ravel(), solution.gradient_norm

    return run


@pytest.fixture
def fitted(tmp_path: Path) -> Callable[..., Probe]:
    """(train, val, num_classes, test features) -> the probe of a layer."""

    def run(train: Clips, val: Clips, num_classes: int, test: NDArray[Any] | None = None, mib: float = 64) -> Probe:
        for split, features in (("train", train[0]), ("val", val[0]), ("test", val[0] if test is None else test)):
            write(path_of(tmp_path, "layer", split), np.asarray(features))
        return fit_probe(tmp_path, "layer", {"train": train[1], "val": val[1]}, num_classes, int(mib * MIB))

    return run


def clips(num_clips: int, dim: int, seed: int, signal: float = 1.0) -> Clips:
    """Gaussian features of three classes; `signal` times the classes' means, which are the same for every seed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=num_clips)
    means = np.random.default_rng(0).normal(size=(3, dim))
    scales = np.linspace(0.1, 30, dim)
    return scales * (signal * means[labels] + rng.normal(size=(num_clips, dim))) + 5, labels


def standardise(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """In float32, as features are."""
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    return standard.astype(np.float32).astype(np.float64)


def objective(flat: NDArray[np.float64], features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> Any:  # noqa: ANN401
    """J and its gradient by automatic differentiation."""
    weight = torch.tensor(flat.reshape(3, -1), requires_grad=True)
    logits = torch.from_numpy(features) @ weight[:, :-1].T + weight[:, -1]
    value = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)) + l2 / 2 * weight[:, :-1].square().sum()
    return value.item(), torch.autograd.grad(value, weight)[0].abs().max().item()


def sklearn_probe(features: NDArray[np.float64], labels: NDArray[np.int64], l2: float) -> LogisticRegression:
    """scikit-learn minimises C sum CE + 1/2 |W|^2, which is J / l2 where C = 1 / (n l2)."""
    probe = LogisticRegression(C=1 / (len(labels) * l2), solver="newton-cg", tol=1e-10, max_iter=10_000)
    return probe.fit(features, labels)


@pytest.mark.parametrize("l2", L2_GRID)
def test_the_solution_is_that_of_scikit_learn(solve: Solve, l2: float) -> None:
    features, labels = clips(90, 5, seed=1)
    features = standardise(features)
    flat, _ = solve(features, labels, 3, l2)
    theirs = sklearn_probe(features, labels, l2)
    ours = flat.reshape(3, 6)
    np.testing.assert_allclose(ours[:, :-1], theirs.coef_, atol=1e-4)
    # biases are free up to a common constant
    np.testing.assert_allclose(
        ours[:, -1] - ours[:, -1].mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4
    )


@pytest.mark.parametrize("l2", L2_GRID)
@pytest.mark.parametrize(
    ("num_clips", "dim", "signal"),
    [(90, 5, 1.0), (90, 5, 0.0), (90, 5, 10.0), (20, 60, 1.0)],
    ids=["overlapping", "no signal", "separable", "more features than clips"],
)
def test_the_gradient_vanishes_at_the_solution(
    solve: Solve, l2: float, num_clips: int, dim: int, signal: float
) -> None:
    features, labels = clips(num_clips, dim, seed=1, signal=signal)
    features = standardise(features)
    flat, gradient_norm = solve(features, labels, 3, l2)
    assert gradient_norm <= 1e-6
    assert gradient_norm == pytest.approx(objective(flat, features, labels, l2)[1], abs=1e-9)


def test_the_optimum_does_not_depend_on_where_the_search_begins(solve: Solve) -> None:
    features, labels = clips(90, 5, seed=1)
    features = standardise(features)
    starts = [np.zeros(18), np.random.default_rng(2).normal(size=18) * 10]
    solutions = [solve(features, labels, 3, 1e-2, start)[0].reshape(3, 6)[:, :-1] for start in starts]
    np.testing.assert_allclose(solutions[0], solutions[1], atol=1e-4)


def test_two_clips_give_the_weight_worked_out_by_hand(solve: Solve) -> None:
    # x = -1 of class 0 and x = 1 of class 1. By symmetry W = [-w, w] and b_0 = b_1:
    #     J = log(1 + exp(-2 w)) + l2 w^2,   dJ/dw = 0  <=>  l2 w = 1 / (1 + exp(2 w)).
    # l2 = 1 / (2 log 3) is solved by w = log(3) / 2: both sides are 1/4. The odds are exp(2 w) = 3 to 1.
    features, labels = np.array([[-1.0], [1.0]]), np.array([0, 1])
    flat, _ = solve(features, labels, 2, 1 / (2 * math.log(3)))
    weight, bias = flat.reshape(2, 2).T
    np.testing.assert_allclose(weight, [-math.log(3) / 2, math.log(3) / 2], atol=1e-6)
    assert bias[0] == pytest.approx(bias[1], abs=1e-6)


def test_without_information_the_unpenalised_bias_gives_the_frequencies_of_the_classes(solve: Solve) -> None:
    labels = np.array([0, 0, 0, 1])
    flat, _ = solve(np.zeros((4, 1)), labels, 2, 0.1)
    weight, bias = flat.reshape(2, 2).T
    np.testing.assert_allclose(weight, 0, atol=1e-6)
    assert bias[0] - bias[1] == pytest.approx(math.log(3), abs=1e-5)  # 3 clips to 1


def test_a_constant_feature_gets_no_weight_and_changes_no_logit(fitted: Callable[..., Probe]) -> None:
    (train, labels), (val, val_labels) = clips(60, 4, seed=1), clips(30, 4, seed=2)
    plain = fitted((train, labels), (val, val_labels), 3)
    wide, wide_val = (np.insert(part.astype(np.float32), 2, np.float32(0.1), axis=1) for part in (train, val))
    # test clips in which the feature is not constant
    probe = fitted((wide, labels), (wide_val, val_labels), 3, wide_val + np.float32([0, 0, 1, 0, 0]))
    assert (probe.weight[:, 2] == 0).all()
    np.testing.assert_array_equal(probe.logits["test"], probe.logits["val"])
    np.testing.assert_allclose(centred(probe.logits["val"]), centred(plain.logits["val"]), atol=1e-4)


def centred(logits: NDArray[Any]) -> NDArray[Any]:
    """Logits are free up to a constant of each clip."""
    return logits - logits.mean(axis=1, keepdims=True)


def test_the_scale_and_offset_of_a_feature_do_not_matter(fitted: Callable[..., Probe]) -> None:
    train, val = clips(60, 4, seed=1), clips(30, 4, seed=2)
    probes = [fitted((a * train[0] + b, train[1]), (a * val[0] + b, val[1]), 3) for a, b in ((1, 0), (100, -7))]
    np.testing.assert_allclose(probes[0].weight, probes[1].weight, atol=1e-4)


@pytest.mark.parametrize(
    ("signal", "dim", "expected"),
    [(10.0, 5, 1e-4), (0.0, 40, 1e-1)],
    ids=["clear classes want no penalty", "noise wants the strongest"],
)
def test_l2_is_chosen_by_the_validation_loss(
    fitted: Callable[..., Probe], signal: float, dim: int, expected: float
) -> None:
    train, val = clips(60, dim, seed=1, signal=signal), clips(60, dim, seed=2, signal=signal)
    assert fitted(train, val, 3).l2 == expected


def test_weaker_penalties_are_not_tried_once_validation_has_become_worse(
    fitted: Callable[..., Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    solve = Problem.solve
    monkeypatch.setattr(Problem, "solve", lambda self, l2, *rest: tried.append(l2) or solve(self, l2, *rest))
    assert fitted(clips(60, 40, seed=1, signal=0.0), clips(60, 40, seed=2, signal=0.0), 3).l2 == 0.1
    assert tried == [0.1, 0.01, 0.1]  # the last is to the optimum


def test_an_l2_between_the_ends_is_chosen_where_it_gives_the_lowest_validation_loss(
    fitted: Callable[..., Probe],
) -> None:
    train, val = clips(120, 6, seed=1, signal=0.8), clips(120, 6, seed=2, signal=0.8)
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0)
    losses = {}
    for l2 in L2_GRID:
        probe = sklearn_probe((train[0] - mean) / deviation, train[1], l2)
        losses[l2] = metrics.cross_entropy(probe.decision_function((val[0] - mean) / deviation), val[1])
    best = min(losses, key=losses.__getitem__)
    assert best not in (max(L2_GRID), min(L2_GRID))
    probe = fitted(train, val, 3)
    assert probe.l2 == best
    assert metrics.cross_entropy(probe.logits["val"], val[1]) == pytest.approx(losses[best], abs=1e-5)


def clips_of_several(num_clips: int, seed: int) -> Clips:
    """Gaussian features of three classes of which a clip has any number: the sum of their means."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=(num_clips, 3), dtype=np.uint8)
    means = np.random.default_rng(0).normal(size=(3, 5))
    return labels @ means + rng.normal(size=(num_clips, 5)), labels


@pytest.mark.parametrize("l2", L2_GRID)
def test_the_probe_of_several_classes_is_one_of_scikit_learn_for_each_class(solve: Solve, l2: float) -> None:
    features, labels = clips_of_several(90, seed=1)
    features = standardise(features)
    flat, gradient_norm = solve(features, labels, 3, l2)
    assert gradient_norm <= 1e-6
    for ours, label in zip(flat.reshape(3, 6), labels.T, strict=True):
        theirs = sklearn_probe(features, label, l2)
        np.testing.assert_allclose(ours[:-1], theirs.coef_[0], atol=1e-4)
        assert ours[-1] == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_the_gradient_of_several_classes_is_that_of_automatic_differentiation(solve: Solve) -> None:
    features, labels = clips_of_several(40, seed=1)
    features = features.astype(np.float32).astype(np.float64)
    flat, gradient_norm = solve(features, labels, 3, 1e-2)
    weight = torch.tensor(flat.reshape(3, 6), requires_grad=True)
    logits = torch.from_numpy(features) @ weight[:, :-1].T + weight[:, -1]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels).double())
    value = 3 * loss + 1e-2 / 2 * weight[:, :-1].square().sum()  # the sum over classes, not the mean
    (gradient,) = torch.autograd.grad(value, weight)
    assert gradient_norm == pytest.approx(gradient.abs().max().item(), abs=1e-9)


def test_a_class_that_no_training_clip_has_is_never_said(fitted: Callable[..., Probe]) -> None:
    (features, labels), val = clips_of_several(60, seed=1), clips_of_several(60, seed=2)
    labels[:, 2] = 0
    probe = fitted((features, labels), val, 3)
    assert probe.gradient_norm <= 1e-6
    assert (probe.logits["val"][:, 2] < -5).all()


@pytest.mark.parametrize("num_training", [0, 1])
def test_a_class_with_no_or_one_training_clip_gives_finite_numbers(
    fitted: Callable[..., Probe], num_training: int
) -> None:
    train, val = clips(80, 4, seed=1), clips(40, 4, seed=2)
    kept = (train[1] != 2) | (np.arange(80) == np.flatnonzero(train[1] == 2)[0]) & (num_training == 1)
    assert (train[1][kept] == 2).sum() == num_training
    probe = fitted((train[0][kept], train[1][kept]), val, 3)
    assert probe.gradient_norm <= GRADIENT_TOLERANCE
    assert torch.isfinite(probe.weight).all()
    assert np.isfinite(probe.logits["val"]).all()
    if num_training == 0:
        assert not (probe.logits["val"].argmax(axis=1) == 2).any()


@pytest.mark.parametrize("split", ["train", "val", "test"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_told_with_their_layer(
    fitted: Callable[..., Probe], split: str, value: float
) -> None:
    parts = {name: clips(30, 4, seed)[0] for seed, name in enumerate(("train", "val", "test"))}
    labels = clips(30, 4, 0)[1]
    parts[split][7, 2] = value
    with pytest.raises(UserError, match=f"layer 'layer', {split}: .*are not finite"):
        fitted((parts["train"], labels), (parts["val"], labels), 3, parts["test"])


def test_features_that_are_read_in_pieces_give_the_solution_of_those_in_memory(
    fitted: Callable[..., Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avbalance.probing.features.CHUNK_BYTES", 4 * 40 * 100)
    train, val = clips(700, 40, seed=1), clips(150, 40, seed=2)
    mib = solver.least_bytes(700, 40, 3) / MIB
    in_memory, in_pieces = fitted(train, val, 3, mib=mib + 1), fitted(train, val, 3, mib=mib)
    assert in_memory.l2 == in_pieces.l2
    np.testing.assert_allclose(in_memory.logits["val"], in_pieces.logits["val"], atol=2e-3)


def test_products_with_the_hessian_are_those_of_automatic_differentiation(tmp_path: Path) -> None:
    for labels, loss in (
        (clips(50, 4, 1)[1], torch.nn.functional.cross_entropy),
        (
            clips_of_several(50, 1)[1],
            lambda z, y: 3 * torch.nn.functional.binary_cross_entropy_with_logits(z, y.double()),
        ),
    ):
        x = standardise(clips(50, 4, 1)[0])
        problem = Problem(Features(write(tmp_path / "x.npy", x), "x", MIB), labels, 3, MIB)
        weight, direction = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

        def objective(flat: torch.Tensor) -> torch.Tensor:
            logits = torch.from_numpy(x) @ flat[:, :-1].T + flat[:, -1]  # noqa: B023
            penalty = 0.01 / 2 * flat[:, :-1].square().sum()
            return loss(logits, torch.from_numpy(labels)) + penalty  # noqa: B023

        _, expected = torch.autograd.functional.hvp(objective, weight, direction)
        _, p = problem._look(weight, 0.01)
        torch.testing.assert_close(
            problem._product(p, direction.float(), 0.01).double(), expected, atol=1e-6, rtol=1e-5
        )


def test_with_all_terms_the_preconditioner_is_the_inverse_of_the_hessian(tmp_path: Path) -> None:
    x, labels = clips(60, 4, 1)
    for targets in (labels, clips_of_several(60, 1)[1]):
        problem = Problem(Features(write(tmp_path / "x.npy", standardise(x)), "x", MIB), targets, 3, 64 * MIB)
        assert problem.num_terms == 60 * 3
        _, p = problem._look(problem.start(), 0.1)
        r = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
        r[:, -1] = 0
        solved = problem._preconditioner(p, 0.1)(r)
        product = problem._product(p, solved, 0.1)
        product[:, -1] += 0.1 * solved[:, -1]  # the bias is penalised in the preconditioner
        torch.testing.assert_close(product, r, atol=1e-4, rtol=1e-4)


def test_a_layer_with_more_features_than_memory_allows_is_told_how_many_it_may_have() -> None:
    layers = {"pool": Full((64,)), "conv1": Full((64, 112, 112))}
    with pytest.raises(UserError) as error:
        check_memory(layers, 50_000, 1000, 2048 * MIB)
    numbers = re.fullmatch(
        r"layer 'conv1' has 802816 features; a probe of them with 1000 classes and 50000 clips takes (\d+) MiB, and "
        r"--memory allows 2048; allow that, or set probe.reduction to mean or {subset: {num: (\d+)}} or less",
        str(error.value),
    )
    assert numbers
    # six vectors in float64 and four in float32 of 1000 * 802817 numbers are 58 GB
    assert 55_000 < int(numbers[1]) < 60_000
    check_memory(layers, 50_000, 1000, int(numbers[1]) * MIB)
    num = int(numbers[2])
    check_memory({"conv1": Subset((64, 112, 112), num)}, 50_000, 1000, 2048 * MIB)
    with pytest.raises(UserError, match=f"has {num + 1} features"):
        check_memory({"conv1": Subset((64, 112, 112), num + 1)}, 50_000, 1000, 2048 * MIB)
    with pytest.raises(UserError, match=r"allow that$"):
        check_memory({"pool": Full((64,))}, 50_000, 1000, MIB)
    with pytest.raises(UserError, match="its random numbers take 3063 MiB for 1 layers, and --memory allows 2048"):
        check_memory({"conv1": Projection((64, 112, 112), 1000)}, 50_000, 1000, 2048 * MIB)
