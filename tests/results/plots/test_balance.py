from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes

from avbalance.errors import UserError
from avbalance.results.plots.balance import Balance
from avbalance.results.plots.base import FigureRow
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
HISTORY: dict[str, list[float]] = {
    "epoch": [1, 2],
    "val_accuracy": [0.5, 0.75],
    "val_acc_masked_audio": [0.5, 0.7],
    "val_acc_masked_visual": [0.2, 0.25],
    "val_logit_audio": [1.0, 3.0],
    "val_logit_visual": [0.5, 0.25],
}
NORMS = {
    "weight_norm_audio": np.array([[1, 1, 1], [4, 5, 6]], np.float32),
    "weight_norm_visual": np.array([[1, 1, 1], [1.5, 1.25, 1]], np.float32),
}
RUN = {"test_label": [0], "test_logits": [0]}


def lines(axes: Axes) -> list[list[float]]:
    return [line.get_ydata().tolist() for line in axes.lines]


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Two rows; the second learns half as well."""
    half = {name: [value / 2 if name != "epoch" else value for value in values] for name, values in HISTORY.items()}
    return {
        "softmax": publish_row("Softmax", RUN, RUN, history=HISTORY, norms=NORMS),
        "mmcosine": publish_row("MMCosine", RUN, history=half, norms={name: NORMS[name] / 2 for name in NORMS}),
    }


def test_each_row_has_a_column_of_four_panels(rows: dict[str, FigureRow]) -> None:
    figure, caption = Balance().draw(rows, Runs())
    softmax, mmcosine = np.array(figure.axes).reshape(4, 2).T
    assert lines(softmax[0]) == [[50, 75], [50, 70], [20, 25]]
    assert lines(softmax[1]) == [[1, 3], [0.5, 0.25]]
    assert lines(softmax[2]) == [[1, 4], [1, 5], [1, 6]]
    assert lines(softmax[3]) == [[1, 1.5], [1, 1.25], [1, 1]]
    assert lines(mmcosine[1]) == [[0.5, 1.5], [0.25, 0.125]]
    assert [axes.get_title("left") for axes in mmcosine] == [
        "(a) Validation accuracy, %",
        "(b) Logit of the true class",
        "(c) Weight norms, audio",
        "(d) Weight norms, visual",
    ]
    assert [axes.texts[0].get_text() for axes in (softmax[0], mmcosine[0])] == ["Softmax", "MMCosine"]
    assert caption.startswith("On validation clips, seed 0.")


def test_what_is_to_be_compared_has_one_scale(rows: dict[str, FigureRow]) -> None:
    figure, _ = Balance().draw(rows, Runs())
    panels = np.array(figure.axes).reshape(4, 2)
    assert panels[0, 0].get_ylim() == panels[0, 1].get_ylim()
    assert panels[0, 0].get_ylim()[1] > 75
    for column, top in zip(panels.T, (6, 3), strict=True):
        assert column[2].get_ylim() == column[3].get_ylim() == pytest.approx((0, 1.05 * top))


def test_a_row_whose_head_has_one_stream_has_a_panel_less(publish_row: PublishRow, rows: dict[str, FigureRow]) -> None:
    norms = {"weight_norm_joint": np.ones((2, 3), np.float32)}
    rows["mixed"] = publish_row("Mixed", RUN, history=HISTORY, norms=norms)
    figure, _ = Balance().draw(rows, Runs())
    mixed = np.array(figure.axes).reshape(4, 3)[:, 2]
    assert [axes.axison for axes in mixed] == [True, True, True, False]
    assert mixed[2].get_xlabel() == "epoch"


def test_a_run_without_the_curves_is_named(publish_row: PublishRow) -> None:
    history = {name: HISTORY[name] for name in ("epoch", "val_accuracy")}
    rows = {"old": publish_row("Old", RUN, history=history, norms=NORMS)}
    with pytest.raises(UserError, match=r"row 'old' was trained without val_acc_masked_audio.* remove results/"):
        Balance().draw(rows, Runs())


def test_a_run_without_weight_norms_is_named(publish_row: PublishRow) -> None:
    rows = {"mlp": publish_row("MLP", RUN, history=HISTORY)}
    with pytest.raises(UserError, match=r"row 'mlp' has no weight_norms\.npz"):
        Balance().draw(rows, Runs())
