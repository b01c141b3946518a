"""NT-Xent and NT-Logistic: problem 2 of the AV-MNIST study."""

from collections.abc import Callable
from math import log
from types import ModuleType

import pytest
import torch
from torch import Tensor

from avbalance.losses import nt_logistic, nt_xent

Objective = Callable[[Tensor, Tensor, Tensor, float], Tensor]
OBJECTIVES: list[tuple[Objective, Objective]] = [
    (nt_xent.nt_xent, nt_xent.nt_xent_gradient),
    (nt_logistic.nt_logistic, nt_logistic.nt_logistic_gradient),
]
# sim(u, v+), sim(u, v-), f_Xent, f_Log
TABLE_2 = torch.tensor(
    [
        [0.99, 0.5, -0.380, -0.622],
        [0.5, 0.5, -0.5, -0.622],
        [0.01, 0.5, -0.620, -0.622],
        [-0.5, 0.5, -0.731, -0.622],
        [0.99, -0.5, -0.184, -0.378],
        [0.5, -0.5, -0.269, -0.378],
        [0.01, -0.5, -0.375, -0.378],
        [-0.5, -0.5, -0.5, -0.378],
    ],
    dtype=torch.float64,
)
# Dot products u . v+ = 0.6 * 1 = 0.6 and u . v- = 0.8.
U, V_POSITIVE, V_NEGATIVE = torch.tensor([[0.6, 0.8], [1, 0], [0, 1]], dtype=torch.float64)


def test_values_are_those_worked_by_hand() -> None:
    # tau = 0.2: sim / tau = 3 and 4. NT-Xent = 3 - ln(e^3 + e^4) = -ln(1 + e) = -1.313262
    assert nt_xent.nt_xent(U, V_POSITIVE, V_NEGATIVE, 0.2).item() == pytest.approx(-1.313262, abs=1e-6)
    # NT-Log = -ln(1 + e^-3) - ln(1 + e^4) = -0.048587 - 4.018150
    assert nt_logistic.nt_logistic(U, V_POSITIVE, V_NEGATIVE, 0.2).item() == pytest.approx(-4.066737, abs=1e-6)


@pytest.mark.parametrize(("objective", "gradient"), OBJECTIVES)
@pytest.mark.parametrize("tau", [0.05, 1.0, 30.0])
def test_the_derived_gradient_equals_automatic_differentiation(
    objective: Objective, gradient: Objective, tau: float
) -> None:
    torch.manual_seed(0)
    u, v_positive, v_negative = torch.randn(3, 4, 8, dtype=torch.float64).requires_grad_()
    (automatic,) = torch.autograd.grad(objective(u, v_positive, v_negative, tau).sum(), u)
    torch.testing.assert_close(gradient(u, v_positive, v_negative, tau), automatic)


@pytest.mark.parametrize(("module", "column"), [(nt_xent, 2), (nt_logistic, 3)])
def test_factors_of_the_negative_are_those_of_table_2(module: ModuleType, column: int) -> None:
    factors = module.negative_factor(TABLE_2[:, 0], TABLE_2[:, 1])
    assert (factors - TABLE_2[:, column]).abs().max() <= 0.0005


def test_factors_have_the_closed_forms_of_section_2c() -> None:
    sim_positive, sim_negative = TABLE_2[:, 0], TABLE_2[:, 1]
    torch.testing.assert_close(
        nt_xent.negative_factor(sim_positive, sim_negative), -torch.sigmoid(sim_negative - sim_positive)
    )
    torch.testing.assert_close(
        nt_logistic.negative_factor(sim_positive, sim_negative, tau=0.5),
        -torch.sigmoid(sim_negative / 0.5) / 0.5,
    )


@pytest.mark.parametrize(
    ("objective", "gradient", "limit"), [(*OBJECTIVES[0], -log(2)), (*OBJECTIVES[1], 2 * log(0.5))]
)
def test_at_a_high_temperature_the_value_is_constant_and_the_gradient_vanishes(
    objective: Objective, gradient: Objective, limit: float
) -> None:
    assert objective(U, V_POSITIVE, V_NEGATIVE, 1e9).item() == pytest.approx(limit, abs=1e-8)
    assert gradient(U, V_POSITIVE, V_NEGATIVE, 1e9).norm() < 1e-8


def test_at_a_low_temperature_only_what_is_ordered_wrongly_counts() -> None:
    # NT-Xent: zero if sim+ > sim-, else (sim+ - sim-) / tau = (0.6 - 0.8) / 1e-3.
    assert nt_xent.nt_xent(U, V_NEGATIVE, V_POSITIVE, 1e-3).item() == pytest.approx(0, abs=1e-8)
    assert nt_xent.nt_xent(U, V_POSITIVE, V_NEGATIVE, 1e-3).item() == pytest.approx(-200)
    # NT-Log: zero if sim+ > 0 > sim-; a negative of sim- > 0 costs sim- / tau = 0.8 / 1e-3.
    assert nt_logistic.nt_logistic(U, V_POSITIVE, -V_NEGATIVE, 1e-3).item() == pytest.approx(0, abs=1e-8)
    assert nt_logistic.nt_logistic(U, V_POSITIVE, V_NEGATIVE, 1e-3).item() == pytest.approx(-800)
    # The derived gradients stay finite: NT-Xent (v+ - v-) / tau, NT-Log -v- / tau.
    expected = (V_POSITIVE - V_NEGATIVE) / 1e-3
    torch.testing.assert_close(nt_xent.nt_xent_gradient(U, V_POSITIVE, V_NEGATIVE, 1e-3), expected)
    torch.testing.assert_close(nt_logistic.nt_logistic_gradient(U, V_POSITIVE, V_NEGATIVE, 1e-3), -V_NEGATIVE / 1e-3)
