"""The picture of gains: places by hand, a far interval that does not squeeze the others, methods without a run."""

from typing import Any

import pytest

from avbalance.results.web.gains import picture


def line(method: str, dataset: str, gain: float, low: float | None, high: float | None, role: str) -> dict[str, Any]:
    return {
        "method": method,
        "label": method.upper(),
        "dataset": dataset,
        "role": role,
        "gain": gain,
        "low": low,
        "high": high,
    }


LINES = [
    line("joint", "all", 0.0, None, None, "baseline"),
    line("a", "all", 2.0, 1.0, 3.0, "method"),
    line("ensemble", "all", 1.0, -1.0, 3.0, "reference"),
    line("a", "Letters", 4.0, 3.0, 5.0, "method"),
    line("ensemble", "Letters", 1.0, None, None, "reference"),
    line("b", "all", -1.0, -2.0, 0.5, "method"),
]


def test_panels_are_the_datasets_and_then_the_mean() -> None:
    drawn = picture(LINES)
    assert [panel["title"] for panel in drawn["panels"]] == ["Letters", "Mean"]
    assert [row["label"] for row in drawn["rows"]] == ["A", "ENSEMBLE", "B"]  # the baseline is the line at 0
    assert [panel["references"][0]["label"] for panel in drawn["panels"]] == ["ENSEMBLE", "ENSEMBLE"]


def test_places_are_per_cent_of_a_panel() -> None:
    """Mean: -2 to 3 with a margin of 0.25 at both ends, so that 0 lies at 2.25 / 5.5 and A at 4.25 / 5.5."""
    drawn = picture(LINES)
    mean = drawn["panels"][1]
    assert mean["zero"] == pytest.approx(40.91)
    cell = drawn["rows"][0]["cells"][1]
    assert (cell["low"], cell["gain"], cell["high"]) == pytest.approx((59.09, 77.27, 95.45))
    assert (cell["text"], cell["is_sure"]) == ("+2.0 [+1.0, +3.0]", True)
    assert all(0 < tick["place"] < 100 for tick in mean["ticks"])


def test_a_method_without_a_run_has_no_cell_and_one_seed_no_interval() -> None:
    drawn = picture(LINES)
    ensemble, b = drawn["rows"][1]["cells"], drawn["rows"][2]["cells"]
    assert b[0] is None
    assert (ensemble[0]["text"], ensemble[0]["is_sure"]) == ("+1.0", False)
    assert ensemble[1]["is_sure"] is False  # its interval holds 0


def test_a_far_interval_ends_at_the_edge() -> None:
    near = [line(f"m{number}", "all", 1.0, 0.0, 2.0, "method") for number in range(7)]
    drawn = picture([*near, line("far", "all", -50.0, -90.0, -10.0, "method")])
    far, cell = drawn["rows"][-1]["cells"][0], drawn["rows"][0]["cells"][0]
    assert far["low"] == far["gain"] == 0.0
    assert cell["high"] - cell["low"] > 30
