import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.classes import Classes, extremes
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
LABELS = [0, 0, 1, 1, 2, 2]


def said(*classes: int, **others: list[int]) -> dict[str, Any]:
    return {"test_label": LABELS, "test_logits": list(classes), **others}


@pytest.fixture
def publish_data(publish_row: PublishRow) -> Callable[..., None]:
    """Publishes the prepared data."""

    def publish(**description: object) -> None:
        with store.publish(Path("results/prep/demo"), {"step": "pack"}) as out:
            described = {"modalities": {"audio": {}, "visual": {}}, **description}
            (out / "dataset.json").write_text(json.dumps(described), encoding="utf-8")

    return publish


@pytest.fixture
def rows(publish_row: PublishRow, publish_data: Callable[..., None]) -> dict[str, FigureRow]:
    """Right of two clips a class, seeds 0 and 1: RGB 2, 1, 0 and 2, 1, 1; blended 1, 2, 1 and 2, 2, 0."""
    publish_data(classes=["clapping", "texting", "busking"])
    return {
        "rgb": publish_row("RGB", said(0, 0, 1, 0, 0, 0), said(0, 0, 1, 0, 2, 0)),
        "blended": publish_row("Blended", said(0, 1, 1, 1, 2, 0), said(0, 0, 1, 1, 0, 0)),
    }


def test_bars_are_mean_differences_of_class_accuracies_from_the_highest(rows: dict[str, FigureRow]) -> None:
    figure, caption = Classes("rgb", num_classes=1).draw(rows, Runs())
    (axes,) = figure.axes
    # clapping: (50 - 100 + 100 - 100) / 2 = -25; texting: (50 + 50) / 2 = 50; busking: (50 - 50) / 2 = 0.
    assert [bar.get_width() for bar in axes.patches] == [50, -25]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["texting", "clapping"]
    assert [text.get_text() for text in axes.texts] == ["+50.0", "−25.0"]
    assert axes.get_xlabel() == "Blended against RGB, points"
    assert caption.startswith("The 1 classes that gain most and the 1 that lose most: accuracy on test clips")


def test_few_classes_are_all_shown_once(rows: dict[str, FigureRow]) -> None:
    figure, caption = Classes("rgb").draw(rows, Runs())
    assert [bar.get_width() for bar in figure.axes[0].patches] == [50, 0, -25]
    assert caption == "All classes: accuracy on test clips, Blended minus RGB, mean over seeds 0, 1."


def test_the_ends_are_told_apart_by_value_then_number() -> None:
    change = np.array([1.0, np.nan, 5, 1, -2, 1])
    best, worst = extremes(change, 2)
    assert (best.tolist(), worst.tolist()) == ([2, 0], [5, 4])
    best, worst = extremes(change, 3)
    assert (best.tolist(), worst.tolist()) == ([2, 0, 3, 5, 4], [])  # class 1 has no test clip


def test_videos_count_where_there_are_some(publish_row: PublishRow, publish_data: Callable[..., None]) -> None:
    publish_data()
    videos = {"test_video": [0, 0, 1, 1, 2, 2]}
    rows = {
        "rgb": publish_row("RGB", said(0, 0, 0, 0, 2, 2, **videos)),
        "blended": publish_row("Blended", said(0, 1, 1, 1, 2, 2, **videos)),
    }
    figure, caption = Classes("rgb").draw(rows, Runs())
    # Of the first video the clips say 0 and 1, equally sure: the first of equals, 0, is right; the second gains.
    assert [bar.get_width() for bar in figure.axes[0].patches] == [100, 0, 0]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["1", "0", "2"]
    assert "accuracy on test videos" in caption


def test_three_rows_are_an_error(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["third"] = publish_row("Third", said(*LABELS))
    with pytest.raises(UserError, match="rows rgb, blended, third: give a baseline and one other row"):
        Classes("rgb").draw(rows, Runs())


def test_rows_without_a_common_seed_are_an_error(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    rows["blended"] = publish_row("Late", {}, {}, said(*LABELS))
    with pytest.raises(UserError, match="no seed has a run of both the baseline 'rgb' and the other row"):
        Classes("rgb").draw(rows, Runs())
