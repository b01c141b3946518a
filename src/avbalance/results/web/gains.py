"""The picture on the first screen: methods by gain over joint training, a panel for each dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from avbalance.results.formats import number

Lines = Sequence[Mapping[str, Any]]
MOST_WIDE = 5
"""Largest number of panels that have room for three ticks."""


def picture(lines: Lines) -> dict[str, Any]:
    """Return what the template draws of a leaderboard's numbers.

    Args:
        lines: Lines of its figure: "label", "role", "dataset", "gain", "low", "high"; those of "all" stand in order of
            their gain.

    Returns:
        {"panels": [{"title", "zero", "ticks": [{"place", "text"}], "references": [{"label", "place"}]}],
        "rows": [{"label", "role", "cells": [{"gain", "low", "high", "text", "is_sure"} or None]}]}; places are in per
        cent of a panel's width.
    """
    shown = [line for line in lines if line["role"] != "baseline"]
    titles = list(dict.fromkeys(line["dataset"] for line in shown))
    titles = [*titles[1:], *titles[:1]]  # the mean over datasets stands last
    by_method: dict[str, dict[str, Mapping[str, Any]]] = {}
    for line in shown:
        by_method.setdefault(line["method"], {})[line["dataset"]] = line
    num_ticks = 3 if len(titles) <= MOST_WIDE else 1
    ends = [_ends([line for line in shown if line["dataset"] == title]) for title in titles]
    return {
        "panels": [
            _panel(title, [line for line in shown if line["dataset"] == title], limits, num_ticks)
            for title, limits in zip(titles, ends, strict=True)
        ],
        "rows": [
            {
                "label": of_method["all"]["label"],
                "role": of_method["all"]["role"],
                "cells": [_cell(of_method.get(title), limits) for title, limits in zip(titles, ends, strict=True)],
            }
            for of_method in by_method.values()
        ],
    }


def _ends(lines: Lines) -> tuple[float, float]:
    """Ends of a panel's axis; a few far intervals do not squeeze all others."""
    numbers = np.array([[line[key] for key in ("gain", "low", "high")] for line in lines], np.float64)
    numbers = np.where(np.isnan(numbers), numbers[:, :1], numbers)
    reach = 1.5 * float(np.quantile(np.abs(numbers).max(axis=1), 0.75)) or 1.0
    low, high = max(float(numbers.min()), -reach), min(float(numbers.max()), reach)
    margin = 0.05 * max(high - low, 1e-9)
    return min(low, 0.0) - margin, max(high, 0.0) + margin


def _panel(title: str, lines: Lines, limits: tuple[float, float], num_ticks: int) -> dict[str, Any]:
    ticks = [
        tick
        for tick in MaxNLocator(num_ticks, steps=[1, 2, 5, 10]).tick_values(*limits)
        if limits[0] < tick < limits[1]
    ]
    return {
        "title": "Mean" if title == "all" else title,
        "zero": _place(0.0, limits),
        "ticks": [{"place": _place(tick, limits), "text": number(float(tick), 0, sign=True)} for tick in ticks],
        "references": [
            {"label": line["label"], "place": _place(line["gain"], limits)}
            for line in lines
            if line["role"] == "reference"
        ],
    }


def _cell(line: Mapping[str, Any] | None, limits: tuple[float, float]) -> dict[str, Any] | None:
    """Interval and gain of one method on one dataset; None where it has no run."""
    if line is None:
        return None
    has_interval = line["low"] is not None
    low, high = (line["low"], line["high"]) if has_interval else (line["gain"], line["gain"])
    text = number(line["gain"], 1, sign=True)
    text += f" [{number(low, 1, sign=True)}, {number(high, 1, sign=True)}]" if has_interval else ""
    places = {key: _place(value, limits) for key, value in (("gain", line["gain"]), ("low", low), ("high", high))}
    return places | {"text": text, "is_sure": has_interval and (low > 0 or high < 0)}


def _place(value: float, limits: tuple[float, float]) -> float:
    """Place in a panel in per cent, at its edge for what lies beyond."""
    return round(float(np.clip(100 * (value - limits[0]) / (limits[1] - limits[0]), 0, 100)), 2)
