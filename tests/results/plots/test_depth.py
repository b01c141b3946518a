import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.depth import Depth
from avbalance.results.runs import Runs
from avbalance.results.statistics import t_interval

PublishRow = Callable[..., FigureRow]
NAMES = ["conv1", "mixed.a", "aux.0", "aux.1", "mixed.b"]


@pytest.fixture
def row(publish_row: PublishRow) -> FigureRow:
    """Two seeds; probes on five layers, of which two are a branch behind `mixed.a`, after 7 steps and in the end."""
    row = publish_row("A network", {"test_label": [0, 1]}, {"test_label": [0, 1]})
    for entry, errors in zip(row.entries, ([0.5, 0.4, 0.3, 0.2, 0.1], [0.7, 0.4, 0.3, 0.2, 0.1]), strict=True):
        folder = Path(f"results/probes/{entry['seed']}")
        with store.publish(folder, {"step": "probe", "settings": {"dataset": "demo"}, "inputs": {}}) as out:
            np.savez(out / "predictions.npz", test_label=[0, 1])
            figures = {
                layer: {moment: {"test_error": error, "gradient_norm": 0.0} for moment in ("7", "trained")}
                for layer, error in zip(NAMES, errors, strict=True)
            }
            (out / "metrics.json").write_text(json.dumps(figures), encoding="utf-8")
        entry["layers"] = {"probe": str(folder), "layers": ["*", "*.*"], "snapshot": 7}
    return row


def lines_of(row: FigureRow, **options: str) -> tuple[Any, str]:
    figure, caption = Depth(**options).draw({"a": row}, Runs())
    return figure.axes[0], caption


def test_a_line_is_the_mean_over_seeds_in_percent_in_the_order_of_the_network(row: FigureRow) -> None:
    axes, caption = lines_of(row)
    (line,) = axes.lines
    np.testing.assert_allclose(line.get_xydata(), list(enumerate([60, 40, 30, 20, 10])))
    assert [label.get_text() for label in axes.get_xticklabels()] == NAMES
    assert "95 % t-interval" in caption
    half_width = t_interval(np.array([50.0, 70.0])).half_width
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(60 + half_width)


def test_a_branch_is_dashed_from_the_layer_that_it_hangs_on(row: FigureRow) -> None:
    axes, caption = lines_of(row, branch="aux")
    aside, main = axes.lines
    np.testing.assert_allclose(main.get_xdata(), [0, 1, 4])
    np.testing.assert_allclose(aside.get_xdata(), [1, 2, 3])
    assert aside.get_linestyle() == "--"
    assert "auxiliary branch" in caption


def test_the_moment_is_told_beside_the_label(row: FigureRow) -> None:
    figure, _ = Depth().draw({"a": row}, Runs())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["A network (7 steps)"]


def test_the_error_of_the_model_itself_is_a_level_line(row: FigureRow, publish_row: PublishRow) -> None:
    right = {"test_label": [0, 1, 2, 0], "test_logits": [0, 1, 2, 0]}
    model = publish_row("Itself", right, right | {"test_logits": [0, 2, 1, 0]}, data="others")
    figure, caption = Depth(baseline="model").draw({"model": model, "a": row}, Runs())
    probes, level = figure.axes[0].lines
    np.testing.assert_allclose(level.get_ydata(), 25)
    assert len(probes.get_xdata()) == 5
    assert figure.axes[0].get_ylim()[1] > 60
    assert [text.get_text() for text in figure.legends[0].texts] == ["A network (7 steps)", "Itself"]
    assert "Level line: Itself, 25.00 %." in caption
    with pytest.raises(UserError, match="column is 'probe_loss'"):
        Depth(column="probe_loss", baseline="model")
