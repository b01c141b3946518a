"""Properties of every registered balancer on unusual batches, and in bfloat16."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from affine import AT_WORK, DIMS, LATE, build, packed_loaders, random_batch, sgd, start
from avbalance.balancers.base import Balancer
from avbalance.errors import UserError
from avbalance.registry import Spec, find
from avbalance.types import Batch
from registered import names

every_balancer = pytest.mark.parametrize("name", names("balancer"))


def labelled(balancer: Balancer, batch: Batch, choose: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """The clips with labels that follow from the model's logits, whose head is very sure."""
    for weight in balancer.model.head.parameters():
        weight.data *= 300
    with torch.no_grad():
        logits = balancer.model(batch.inputs).logits
    return Batch(batch.inputs, choose(logits), batch.index)


def one_clip(balancer: Balancer, batch: Batch) -> Batch:
    return Batch({m: value[:1] for m, value in batch.inputs.items()}, batch.labels[:1], batch.index[:1])


def one_class(balancer: Balancer, batch: Batch) -> Batch:
    return Batch(batch.inputs, torch.zeros_like(batch.labels), batch.index)


def all_right(balancer: Balancer, batch: Batch) -> Batch:
    return labelled(balancer, batch, lambda logits: logits.argmax(dim=1))


def all_wrong(balancer: Balancer, batch: Batch) -> Batch:
    return labelled(balancer, batch, lambda logits: logits.argmin(dim=1))


def nothing_to_see(balancer: Balancer, batch: Batch) -> Batch:
    return Batch({m: torch.zeros_like(value) for m, value in batch.inputs.items()}, batch.labels, batch.index)


def equal_losses(balancer: Balancer, batch: Batch) -> Batch:
    for weight in balancer.parameters():  # all logits are 0, so that every loss is that of a uniform guess
        weight.data.zero_()
    return batch


@every_balancer
@pytest.mark.parametrize("of", [one_clip, one_class, all_right, all_wrong, nothing_to_see, equal_losses])
def test_every_number_stays_finite(name: str, of: Callable[[Balancer, Batch], Batch]) -> None:
    balancer = build({name: AT_WORK.get(name, {})})
    batch = of(balancer, random_batch())
    balancer.expect(len(batch.labels))
    optimizer = sgd(balancer, lr=1e-5)
    for epoch in (0, LATE):
        start(balancer, batch, epoch)
        for _ in range(2):
            terms = balancer.step(batch, optimizer)
            assert all(value.isfinite() for value in terms.values()), terms
            for key, weight in balancer.named_parameters():
                assert weight.isfinite().all(), key
                assert weight.grad is None or weight.grad.isfinite().all(), key
        assert all(abs(value) < float("inf") for value in balancer.curves().values())


MEASURING: list[Spec] = [
    {"lfm": {"schedule": "learned"}},
    {"mslr": {"window": 1}},
    {"relearning": {"every": 1, "times": 9}},
    {"valuation": {"level": "modality", "warmup": 0}},
    {"valuation": {"level": "sample", "warmup": 0}},
]
"""Balancers with options by which they measure whole splits."""


@pytest.mark.parametrize("spec", [*({name: AT_WORK.get(name, {})} for name in names("balancer")), *MEASURING], ids=str)
@pytest.mark.parametrize("num_clips", [1, 2])
def test_splits_of_a_clip_or_two_train(spec: Spec, num_clips: int, tmp_path: Path) -> None:
    """Fewer clips than classes, clusters and held-out clips; classes that are absent from train."""
    balancer, loaders = build(spec), packed_loaders(tmp_path, num_clips)
    balancer.expect(num_clips)
    optimizer = sgd(balancer, lr=1e-3)
    for epoch in (0, 1, 2, LATE):
        balancer.train().start_epoch(epoch, loaders, optimizer)
        batches = list(balancer.batches(loaders.train))
        assert sum(len(batch.labels) for batch in batches) >= num_clips
        for batch in batches:
            terms = balancer.step(batch, optimizer)
            assert all(value.isfinite() for value in terms.values()), terms
        assert all(weight.isfinite().all() for weight in balancer.parameters())
        assert all(abs(value) < float("inf") for value in balancer.curves().values())


@every_balancer
def test_what_other_runs_have_to_bring_is_missed_in_one_line(name: str) -> None:
    balancer, batch = build(name), random_batch()
    if balancer.uses_teachers:
        balancer.receive_teachers({})
    if balancer.uses_blend:
        balancer = type(balancer)(balancer.model, balancer.loss)
    if not (balancer.uses_teachers or balancer.uses_blend):
        start(balancer, batch)
        return
    with pytest.raises(UserError, match=r"balancer .* has no (teachers|blend weights); `receive") as error:
        start(balancer, batch)
    assert "\n" not in str(error.value)


DECIDING = [
    name for name in names("balancer") if "coefficient_<modality>" in getattr(find("balancer", name), "curve_names", ())
]


@pytest.mark.parametrize("name", [*DECIDING, "inforeg", "mmpareto"])
def test_decisions_in_bfloat16_are_those_in_float32(name: str) -> None:
    curves = []
    for enabled in (False, True):
        balancer, batches = build({name: AT_WORK.get(name, {})}), [random_batch(30, seed) for seed in (3, 4)]
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            start(balancer, batches[0], LATE)
            for batch in batches:
                balancer.step(batch, sgd(balancer, lr=1e-3))
        curves.append(balancer.curves())
        for key, value in balancer.state_dict().items():
            assert value.dtype != torch.bfloat16, key
    assert curves[1] == pytest.approx(curves[0], rel=0.05, abs=0.05)
    for m in DIMS:
        first, second = (each.get(f"coefficient_{m}", each.get(f"conflict_{m}", 0.0)) for each in curves)
        assert (first < 1, first > 1) == (second < 1, second > 1)
