from collections.abc import Callable

import pytest

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.errors import Errors
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
HISTORY = {"epoch": [1, 2], "val_accuracy": [0.5, 0.75], "seen_accuracy": [0.5, 1.0]}
RUN = {"test_label": [0], "test_logits": [0]}


def test_training_is_dashed_and_validation_solid(publish_row: PublishRow) -> None:
    rows = {"rgb": publish_row("RGB", RUN, history=HISTORY)}
    figure, caption = Errors().draw(rows, Runs())
    (axes,) = figure.axes
    assert {line.get_linestyle(): line.get_ydata().tolist() for line in axes.lines} == {"--": [50, 0], "-": [50, 25]}
    assert [text.get_text() for text in figure.legends[0].texts] == ["RGB", "training", "validation"]
    assert caption == "Error after each epoch, in evaluation mode: dashed on clips of training, solid on validation."


def test_the_first_seed_is_bold(publish_row: PublishRow) -> None:
    figure, caption = Errors().draw({"rgb": publish_row("RGB", RUN, RUN, history=HISTORY)}, Runs())
    widths = [line.get_linewidth() for line in figure.axes[0].lines]
    assert len(widths) == 4
    assert min(widths[:2]) > max(widths[2:])
    assert caption.endswith("First seed bold, others thin.")


def test_each_data_set_has_a_panel_and_a_method_one_colour(publish_row: PublishRow) -> None:
    rows = {
        f"{data}_{method}": publish_row(f"{data}: {method}", RUN, history=HISTORY, data=data)
        for data, methods in {"Kinetics": ("audio", "RGB"), "mini-Sports": ("RGB",)}.items()
        for method in methods
    }
    figure, _ = Errors().draw(rows, Runs())
    kinetics, sports = figure.axes
    assert [axes.get_title("left") for axes in figure.axes] == ["Kinetics", "mini-Sports"]
    audio, rgb = ({line.get_color() for line in lines} for lines in (kinetics.lines[:2], kinetics.lines[2:]))
    assert audio != rgb
    assert {line.get_color() for line in sports.lines} == rgb
    assert [text.get_text() for text in figure.legends[0].texts] == ["audio", "RGB", "training", "validation"]


def test_a_run_that_was_not_monitored_is_named(publish_row: PublishRow) -> None:
    history = {name: HISTORY[name] for name in ("epoch", "val_accuracy")}
    with pytest.raises(UserError, match=r"row 'rgb' was trained without seen_accuracy, which needs .*monitor: true"):
        Errors().draw({"rgb": publish_row("RGB", RUN, history=history)}, Runs())
