from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from avbalance.errors import UserError
from avbalance.results.plots.balance_accuracy import BalanceAccuracy
from avbalance.results.plots.base import FigureRow, Numbers
from avbalance.results.runs import Runs

LABELS = [i % 3 for i in range(20)]
ACCURACY = [10, 12, 9, 15, 13, 11, 18, 14, 16, 8]
AUDIO = [9, 8, 7, 9, 11, 6, 12, 10, 13, 5]
"""Clips right of twenty: of each method, jointly and by the probe of audio; visual has 15 always."""


def seed(accuracy: int, audio: int) -> dict[str, Any]:
    def said(number: int) -> list[int]:
        return [c if i < number else (c + 1) % 3 for i, c in enumerate(LABELS)]

    probes = {"test_probe_audio": said(audio), "test_probe_visual": said(15)}
    return {"test_label": LABELS, "test_logits": said(accuracy), **probes}


@pytest.fixture
def rows(publish_row: Callable[..., FigureRow]) -> dict[str, FigureRow]:
    """Joint training and nine methods on digits; on letters each has one more clip right, and the last is missing."""
    return {
        f"t_{data}_{name}": publish_row(f"{data.capitalize()}: {name.upper()}", seed(own + more, audio), data=data)
        for data, more in (("digits", 0), ("letters", 1))
        for name, own, audio in zip(["joint", *"abcdefghi"], ACCURACY, AUDIO, strict=True)
        if (data, name) != ("letters", "i")
    }


def draw(rows: dict[str, FigureRow], *columns: str, baseline: str = "joint") -> tuple[Figure, str, Numbers]:
    drawn = BalanceAccuracy(baseline, list(columns) or ["probe_gap", "accuracy"]).draw(rows, Runs())
    assert len(drawn) == 3
    return drawn


def test_a_point_is_a_method_at_its_changes_from_the_baseline(rows: dict[str, FigureRow]) -> None:
    _, _, numbers = draw(rows)
    digits = numbers.frame[numbers.frame["dataset"] == "Digits"]
    assert digits["label"].tolist()[:2] == ["Digits: A", "Digits: B"]
    # The gap is 15 - audio, so it changes by 9 - audio of twenty clips.
    assert digits["probe_gap"].to_numpy() == pytest.approx(5 * (9 - np.array(AUDIO[1:])))
    assert digits["accuracy"].to_numpy() == pytest.approx(5 * (np.array(ACCURACY[1:]) - 10))
    assert len(numbers.frame) == 17


def test_the_correlation_of_each_dataset_stands_on_its_panel_and_in_the_caption(rows: dict[str, FigureRow]) -> None:
    figure, caption, _ = draw(rows)
    digits, letters = (
        f"{stats.spearmanr(9 - np.array(AUDIO[1:last]), ACCURACY[1:last]).statistic:+.2f}".replace("-", "−")
        for last in (10, 9)
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Digits", "Letters"]
    said = [axes.texts[0].get_text() for axes in figure.axes]
    assert said[0].startswith(f"ρ {digits} (−")
    assert said[0].endswith("9 methods")
    assert said[1].startswith(f"ρ {letters} (−")
    assert said[1].endswith("8 methods")
    assert f"Digits: {said[0]}; Letters: {said[1]}. Mean over datasets" in caption
    assert "A negative ρ: methods that improve one improve the other." in caption
    assert figure.get_supxlabel() == "change of probe gap, points, against JOINT"


def test_labels_overlap_neither_each_other_nor_a_point(rows: dict[str, FigureRow]) -> None:
    figure, _, _ = draw(rows)
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts[1:]]
        assert len(boxes) >= 5
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        assert all(axes.bbox.containsx(x) for box in boxes for x in (box.x0, box.x1))
        points = [axes.transData.transform(point) for line in axes.lines[2:] for point in line.get_xydata()]
        assert not any(box.contains(x, y) for box in boxes for x, y in points)


def test_few_methods_have_no_correlation(rows: dict[str, FigureRow]) -> None:
    few = {name: row for name, row in rows.items() if name[-1] in "tabc"}
    figure, caption, _ = draw(few)
    assert figure.axes[0].texts[0].get_text() == "no ρ, for fewer than 8 methods differ"
    assert "No correlation is shown" in caption
    assert "ρ:" not in caption


def test_a_method_without_probes_has_no_point(rows: dict[str, FigureRow]) -> None:
    entries = [{**entry, "probe": None} for entry in rows["t_digits_a"].entries]
    _, _, numbers = draw(rows | {"t_digits_a": FigureRow("Digits: A", entries)})
    assert "Digits: A" not in numbers.frame["label"].tolist()
    with pytest.raises(UserError, match="no row has values of masked_gap and accuracy that 'joint' has on its data"):
        draw(rows, "masked_gap", "accuracy")


def test_a_method_far_from_the_others_stands_at_the_edge(
    publish_row: Callable[..., FigureRow], rows: dict[str, FigureRow]
) -> None:
    digits = {name: row for name, row in rows.items() if "digits" in name}
    far = {"t_digits_far": publish_row("Digits: FAR", seed(0, 0), data="digits")}
    figure, _, numbers = draw(digits | far)
    (axes,) = figure.axes
    (edge,) = (line for line in axes.lines if line.get_marker() == "^")
    assert edge.get_xydata().shape == (1, 2)
    assert axes.get_ylim()[0] > -50  # FAR loses 50 points
    assert numbers.frame["accuracy"].min() == -50
