from collections.abc import Callable
from typing import Any

import pytest

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.sensitivity import Sensitivity
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
LABELS = [0, 1, 2, 0]


def right(number: int) -> dict[str, Any]:
    """Of four clips, as many right."""
    return {"test_label": LABELS, "test_logits": LABELS[:number] + [(label + 1) % 3 for label in LABELS[number:]]}


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Softmax, and MMCosine with s = 10 before s = 2."""
    return {
        "softmax": publish_row("Softmax", right(2), right(3), head={"linear": {}}),
        "s10": publish_row("s = 10", right(4), right(3), head={"cosine": {"scale": 10.0}}),
        "s2": publish_row("s = 2", right(1), right(1), head={"cosine": {"scale": 2.0}}),
    }


def test_points_are_means_by_rising_scale(rows: dict[str, FigureRow]) -> None:
    figure, _ = Sensitivity("softmax").draw(rows, Runs())
    (axes,) = figure.axes
    (container,) = axes.containers
    line, _, (whiskers,) = container.lines
    assert line.get_xydata().tolist() == [[2, 25], [10, 87.5]]  # (100 + 75) / 2
    assert axes.get_xscale() == "log"
    assert axes.get_ylabel() == "Test accuracy, %"
    # s = 10: deviations ±12.5, so std 12.5 sqrt(2), half width t_{0.975,1} 12.5 sqrt(2) / sqrt(2) = 12.706 * 12.5.
    low, high = whiskers.get_segments()[1][:, 1]
    assert (high - low) / 2 == pytest.approx(12.7062 * 12.5, rel=1e-5)


def test_the_baseline_is_a_band(rows: dict[str, FigureRow]) -> None:
    figure, _ = Sensitivity("softmax").draw(rows, Runs())
    (axes,) = figure.axes
    level = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1 < len(line.get_ydata())]
    assert level == [62.5]
    (band,) = axes.patches
    assert band.get_y() + band.get_height() / 2 == pytest.approx(62.5)  # (50 + 75) / 2
    assert band.get_height() == pytest.approx(2 * 12.7062 * 12.5, rel=1e-5)


def test_both_lower_bounds_are_drawn(rows: dict[str, FigureRow]) -> None:
    figure, caption = Sensitivity("softmax", probability=0.9).draw(rows, Runs())
    upright = [line.get_xdata()[0] for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1]
    # C = 3, p = 0.9: ln(2 * 0.9 / 0.1) = ln 18 = 2.8904; printed 2 / 8 of it, derived 2 / 6 of it.
    assert upright == pytest.approx([0.7226, 0.9635], abs=1e-4)
    assert caption.endswith("for 3 classes and p = 0.9: 0.72 (as printed) and 0.96 (as derived from CosFace).")


def test_one_seed_has_no_interval(publish_row: PublishRow) -> None:
    rows = {
        "softmax": publish_row("Softmax", right(2), head={"linear": {}}),
        "s10": publish_row("s = 10", right(4), head={"cosine": {"scale": 10.0}}),
    }
    figure, caption = Sensitivity("softmax").draw(rows, Runs())
    assert caption.startswith("One seed, so no interval.")
    assert not figure.axes[0].patches


def test_a_row_without_a_scale_is_named(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["mlp"] = publish_row("MLP", right(2), head={"mlp": {}})
    with pytest.raises(UserError, match="row 'mlp' has the head 'mlp', which has no scale"):
        Sensitivity("softmax").draw(rows, Runs())


@pytest.mark.parametrize("probability", [1 / 3, 1.0, 2.0])
def test_a_probability_without_a_bound_is_an_error(rows: dict[str, FigureRow], probability: float) -> None:
    with pytest.raises(UserError, match="is not between 1 / 3 and 1"):
        Sensitivity("softmax", probability=probability).draw(rows, Runs())
