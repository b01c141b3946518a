from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.gains import Gains
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
LABELS = [0, 1, 2, 0]


def said(joint: list[int], audio: list[int]) -> dict[str, Any]:
    return {"test_label": LABELS, "test_logits": joint, "test_masked_audio": audio}


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Of four clips right, jointly and by audio, seeds 0 and 1: plain 2, 3 and 1, 1; other 4, 4 and 1, 0."""
    plain = publish_row("Plain", said([0, 1, 0, 1], [0, 0, 0, 1]), said([0, 1, 2, 1], [0, 0, 0, 1]))
    other = publish_row("Other", said(LABELS, [0, 0, 0, 1]), said(LABELS, [1, 0, 0, 1]))
    return {"plain": plain, "other": other}


def bars(figure: Figure) -> list[float]:
    return [round(bar.get_width(), 9) for bar in figure.axes[0].patches]


def test_bars_are_the_differences_from_the_baseline(rows: dict[str, FigureRow]) -> None:
    figure, caption = Gains("plain", ["accuracy", "acc_audio_masked"]).draw(rows, Runs())
    # Joint: (100 - 50 + 100 - 75) / 2 = 37.5; audio: (25 - 25 + 0 - 25) / 2 = -12.5.
    assert bars(figure) == [37.5, -12.5]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["+37.5", "−12.5"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Other"]
    assert axes.get_xlabel() == "change against Plain, points"
    assert [text.get_text() for text in figure.legends[0].texts] == ["Test accuracy", "Audio masked"]
    assert caption.startswith("Difference from Plain. Whiskers: its 95 % interval. Tests are t-tests of a difference")


def test_whiskers_are_the_interval(rows: dict[str, FigureRow]) -> None:
    figure, _ = Gains("plain", ["accuracy"]).draw(rows, Runs())
    (whisker,) = (line for line in figure.axes[0].lines if line.get_marker() == "|")
    low, high = whisker.get_xdata()
    # Seeds: of Plain 50 and 75, variance 312.5 / 2; of Other none. Clips gain 0, 0, 50 and 100: variance 2291.67 / 4,
    # less the residual. Plain's seeds differ in one clip, 37.5 there and 12.5 in three: 2 (37.5^2 + 3 12.5^2) / 3 / 8.
    seeds, clips = 312.5 / 2, 2291.6667 / 4 - 156.25
    df = (seeds + clips) ** 2 / (seeds**2 / 1 + clips**2 / 3)
    half_width = stats.t.ppf(0.975, df) * np.sqrt(seeds + clips)
    assert (low, high) == pytest.approx((37.5 - half_width, 37.5 + half_width), rel=1e-5)


def test_one_seed_is_not_tested_against_several(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["late"] = publish_row("Late", {}, said([1, 1, 2, 1], LABELS))
    del rows["other"]
    figure, _ = Gains("plain", ["accuracy"]).draw(rows, Runs())
    assert bars(figure) == [-12.5]  # 50 less the mean of 50 and 75
    assert not [line for line in figure.axes[0].lines if line.get_marker() == "|"]


def test_of_one_seed_the_interval_speaks_of_clips_alone(publish_row: PublishRow) -> None:
    rows = {label: publish_row(label, said(LABELS, LABELS)) for label in ("a", "b")}
    _, caption = Gains("a", ["accuracy"]).draw(rows, Runs())
    assert "one seed does not show the spread" in caption


def test_a_column_that_a_row_lacks_has_no_bar(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["alone"] = publish_row("Alone", *[{"test_label": LABELS, "test_logits": LABELS}] * 2)
    figure, caption = Gains("plain", ["acc_audio_masked"]).draw(rows, Runs())
    assert bars(figure) == [-12.5]
    assert [text.get_text() for text in figure.axes[0].texts] == ["−12.5", "–"]
    assert caption.endswith("No value: 1 of 2 bars.")


def test_columns_without_any_value_are_an_error(rows: dict[str, FigureRow]) -> None:
    with pytest.raises(UserError, match="no row has a value of a column"):
        Gains("plain", ["acc_visual_masked"]).draw(rows, Runs())


def test_columns_of_several_units_are_an_error(rows: dict[str, FigureRow]) -> None:
    with pytest.raises(UserError, match="columns accuracy, loss differ in unit"):
        Gains("plain", ["accuracy", "loss"]).draw(rows, Runs())


def test_rows_of_other_data_than_the_baseline_are_an_error(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["far"] = publish_row("Far", said(LABELS, LABELS), data="elsewhere")
    with pytest.raises(UserError, match="row 'far' is trained on other data than the baseline 'plain'"):
        Gains("plain", ["accuracy"]).draw(rows, Runs())
