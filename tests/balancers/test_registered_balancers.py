"""What holds for every registered balancer; test_combinations.py has what holds with every fusion, head and loss."""

import ast
from collections.abc import Callable
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from affine import AT_WORK, DIMS, LATE, build, random_batch, train_one_step
from avbalance.balancers.base import Balancer
from avbalance.registry import locate
from avbalance.types import Loaders
from registered import names

every_balancer = pytest.mark.parametrize("name", names("balancer"))
# What a balancer may import of the package: nothing that can open a split.
IMPORTABLE = (
    "balancers",
    "cli",
    "errors",
    "encoders.base",
    "fusions",
    "heads",
    "losses",
    "model",
    "ranges",
    "types",
)


@every_balancer
def test_within_four_epochs_every_parameter_gets_a_finite_gradient_and_moves(name: str) -> None:
    balancer = build(name)
    before = {key: parameter.detach().clone() for key, parameter in balancer.named_parameters()}
    for epoch in range(4):
        terms = train_one_step(balancer, random_batch(), epoch)
        assert terms
        assert all(value.isfinite() and not value.requires_grad for value in terms.values()), terms
    for key, parameter in balancer.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert not torch.equal(parameter, before[key]), key


@every_balancer
def test_in_evaluation_the_output_is_the_models(name: str) -> None:
    balancer, batch = build(name).eval(), random_batch()
    assert torch.equal(balancer(batch).logits, balancer.model(batch.inputs).logits)


@every_balancer
def test_curves_have_the_same_names_and_finite_values_in_every_epoch(name: str) -> None:
    balancer, curve_names = build(name).train(), set()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.1)
    for epoch in range(3):
        batch = random_batch()
        balancer.start_epoch(epoch, Loaders([batch], [batch], [batch]), optimizer)
        balancer.step(batch, optimizer)
        curves = balancer.curves()
        assert all(isinstance(value, float) and abs(value) < float("inf") for value in curves.values())
        curve_names.add(tuple(curves))
    assert len(curve_names) == 1
    declared = {
        each.replace("<modality>", m).replace("<head>", m)
        for each in getattr(balancer, "curve_names", ())
        for m in (["joint"] if "<head>" in each else []) + list(DIMS)
    }
    assert set(curve_names.pop()) == declared


@every_balancer
def test_the_state_holds_all_tensors_of_the_method(name: str) -> None:
    balancer = build(name)
    train_one_step(balancer, random_batch())
    saved = balancer.state_dict()
    own = {key for key, value in vars(balancer).items() if isinstance(value, Tensor)}
    assert not own  # tensors outside of buffers would be lost
    assert {key for key, _ in balancer.named_buffers()} <= set(saved)


class Reads(TorchDispatchMode):
    """Collect the operations that wait for a device, because their size or their result has to be known."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        name = str(func).removeprefix("aten.").partition(".")[0]
        if name in ("_local_scalar_dense", "bincount", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


CONVERSIONS = ("item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__")
"""Methods of a tensor that wait for its device."""
ALLOWED = {"cml": {"tolist"}}
"""Conversions of numbers that a method draws on the CPU."""
SOLVING = ("jacobian_descent",)
"""Methods that solve a problem of a few numbers on the CPU in each step, as their docstrings say."""


@pytest.mark.parametrize("name", [name for name in names("balancer") if name not in SOLVING])
def test_no_step_waits_for_the_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    balancer, batch = build({name: AT_WORK.get(name, {})}).train(), random_batch()
    optimizer = torch.optim.SGD(balancer.parameters(), lr=0.1)

    def wait(*_: object) -> None:
        raise AssertionError("a GPU would have to finish before this number is known")

    for epoch in (0, 1, LATE):
        balancer.start_epoch(epoch, Loaders([batch], [batch], [batch]), optimizer)
        with monkeypatch.context() as on_a_gpu, Reads() as reads:
            for conversion in set(CONVERSIONS) - ALLOWED.get(name, set()):
                on_a_gpu.setattr(Tensor, conversion, wait)
            balancer.step(batch, optimizer)
        assert not reads.found


@every_balancer
def test_a_balancer_cannot_open_a_split(name: str) -> None:
    source = Path(import_module(locate("balancer", name)[0]).__file__ or "").read_text(encoding="utf-8")
    imported = {
        module.removeprefix("avbalance.")
        for node in ast.walk(ast.parse(source))
        for module in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in getattr(node, "names", [])]
        )
        if isinstance(node, (ast.Import, ast.ImportFrom)) and module.startswith("avbalance")
    }
    assert imported
    assert all(module.startswith(IMPORTABLE) for module in imported), imported


def test_loaders_have_no_test_split() -> None:
    assert [field.name for field in fields(Loaders)] == ["train", "plain", "val"]


def test_joint_training_descends_the_sum_of_all_terms() -> None:
    balancer, batch = build("joint", loss="unimodal"), random_batch()
    output = balancer(batch)
    objective = sum(balancer.losses(output, batch).values())
    gradients = torch.autograd.grad(objective, list(balancer.parameters()))
    train_one_step(balancer, batch)
    torch.testing.assert_close([parameter.grad for parameter in balancer.parameters()], list(gradients))


@every_balancer
def test_a_gradient_of_the_objective_s_direction_has_its_length_unless_the_method_declares_that_it_scales(
    name: str,
) -> None:
    balancer, batch = build(name).train(), random_batch()
    balancer.start_epoch(0, Loaders([batch], [batch], [batch]), torch.optim.SGD(balancer.parameters(), lr=0.1))
    output = balancer(batch)
    losses = balancer.losses(output, batch)
    weights = list(balancer.parameters())
    plain_losses = Balancer.losses(balancer, output, batch) if balancer.scales_gradients else losses
    plain = torch.autograd.grad(sum(plain_losses.values()), weights, retain_graph=True, materialize_grads=True)
    balancer.backward(losses, output, batch)
    pairs = [(weight.grad, grad) for weight, grad in zip(weights, plain, strict=True) if weight.grad is not None]
    if balancer.scales_gradients:
        assert not all(torch.equal(found, expected) for found, expected in pairs)
        return
    for found, expected in pairs:
        is_parallel = torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.9999
        assert torch.allclose(found, expected) or not is_parallel, "declare scales_gradients"


@every_balancer
def test_losses_compute_in_float32_under_autocast(name: str) -> None:
    balancer, batch = build(name), random_batch()
    train_one_step(balancer, batch)
    output = balancer.eval()(batch)
    torch.manual_seed(0)
    exact = balancer.losses(output, batch)
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = balancer.losses(output, batch)
    for term, value in terms.items():  # a teacher's encoder computes as the student's
        assert value == exact[term] or (balancer.uses_teachers and term.startswith("distance")), term
