from collections.abc import Callable

import numpy as np
import pytest

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.curves import Curves, TrainingCurves, draw_curves
from avbalance.results.runs import Runs


def test_curves_show_every_seed_and_mark_the_chosen_epoch() -> None:
    history = {"epoch": np.array([1.0, 2, 3]), "train_loss": np.array([3.0, 2, 1])}
    history |= {"val_loss": np.array([3.0, 1, 2]), "val_accuracy": np.array([0.1, 0.9, 0.8])}
    drawn = draw_curves([TrainingCurves(seed, history, 2) for seed in (0, 1)])
    losses, accuracy = drawn.axes
    dots = [line.get_xydata().tolist() for line in losses.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert dots == [[[2.0, 1.0]], [[2.0, 1.0]]]
    assert sum(len(line.get_xdata()) == 3 for line in losses.lines) == 4
    assert [line.get_ydata().tolist() for line in accuracy.lines if len(line.get_xdata()) == 3] == [[10, 90, 80]] * 2


def test_the_caption_says_how_the_epoch_was_chosen(publish_row: Callable[..., FigureRow]) -> None:
    run = {"test_label": [0], "test_logits": [0]}
    history = {name: [2.0, 1.0] for name in ("epoch", "train_loss", "val_loss", "val_accuracy")}
    for select, words in {"best": "epoch with the lowest validation loss", "last": "last epoch"}.items():
        row = publish_row(select, run, run, history=history, training={"select": select} if select == "last" else {})
        _, caption = Curves().draw({"row": row}, Runs())
        assert caption.startswith(f"Seed 0 bold, seed 1 thin. A dot marks the {words}, whose weights are used.")


def test_further_panels_have_a_line_a_modality(publish_row: Callable[..., FigureRow]) -> None:
    history = {name: [2.0, 1.0] for name in ("epoch", "train_loss", "val_loss", "val_accuracy")}
    history |= {"grad_norm_audio": [4.0, 3.0], "grad_norm_visual": [2.0, 1.0], "weight_joint": [0.5, 0.25]}
    norms = {"weight_norm_audio": np.array([[1.0, 3.0], [2.0, 6.0]])}
    run = {"test_label": [0], "test_logits": [0]}
    row = publish_row("Row", run, run, history=history, norms=norms)
    figure, caption = Curves(also=["grad_norm", "weight_norm", "weight"]).draw({"row": row}, Runs())
    shown = [{tuple(line.get_ydata()) for line in axes.lines if len(line.get_ydata())} for axes in figure.axes[2:]]
    assert shown == [{(4, 3), (2, 1)}, {(2, 4)}, {(0.5, 0.25)}]  # means over classes of 1 and 3, of 2 and 6
    assert [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes[2:]] == [
        ["audio", "visual"], ["audio"], ["joint"]
    ]  # fmt: skip
    assert "Gradient norms: as the balancer left them" in caption
    with pytest.raises(UserError, match="row 'row' has no coefficient_<modality>"):
        Curves(also=["coefficient"]).draw({"row": row}, Runs())
