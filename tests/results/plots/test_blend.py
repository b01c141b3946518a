from collections.abc import Callable
from itertools import pairwise

import pytest

from avbalance.errors import UserError
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.blend import Blend
from avbalance.results.runs import Runs

PublishRow = Callable[..., FigureRow]
HISTORY: dict[str, list[float]] = {
    "epoch": [1, 2, 3, 4, 5, 6],
    "val_accuracy": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    "weight_joint": [0.5, 0.5, 0.5, 0.2, 0.2, 0.1],
    "weight_audio": [0.25, 0.25, 0.25, 0.3, 0.3, 0.9],
    "weight_visual": [0.25, 0.25, 0.25, 0.5, 0.5, 0.0],
    "fallback": [0, 0, 0, 0, 0, 0],
    "naive_val_accuracy": [0.25, 0.25, 0.25, 0.35, 0.35, 0.9],
}
ONLINE = {"g_blend_online": {"first": 3, "then": 2}}
RUN = {"test_label": [0], "test_logits": [0]}


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Super-epochs of epochs 1 to 3, 4 and 5, and a third that ended after its first, epoch 6."""
    return {"online": publish_row("Online", RUN, RUN, history=HISTORY, balancer=ONLINE)}


def test_weights_are_stacked_by_epoch(rows: dict[str, FigureRow]) -> None:
    figure, _ = Blend().draw(rows, Runs())
    stacked = [patch.get_data() for patch in figure.axes[0].patches]
    assert stacked[0].edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert stacked[0].values.tolist() == HISTORY["weight_audio"]
    for lower, upper in pairwise(stacked):
        assert upper.baseline.tolist() == lower.values.tolist()
    assert stacked[-1].values.tolist() == pytest.approx([1.0] * 6)
    assert stacked[-1].values - stacked[-1].baseline == pytest.approx(HISTORY["weight_joint"])


def test_epochs_with_equal_weights_for_want_of_a_head_that_generalises_are_hatched(publish_row: PublishRow) -> None:
    history = HISTORY | {"fallback": [0, 0, 0, 1, 1, 0]}
    figure, caption = Blend().draw({"online": publish_row("Online", RUN, history=history, balancer=ONLINE)}, Runs())
    plain, hatched = (
        [patch for patch in figure.axes[0].patches if bool(patch.get_hatch()) is is_hatched]
        for is_hatched in (False, True)
    )
    assert len(plain) == 3
    (path,) = (patch.get_path() for patch in hatched)
    assert path.vertices[:, 0].min() == 3.5  # epochs 4 and 5
    assert path.vertices[:, 0].max() == 5.5
    assert path.vertices[:, 1].max() == pytest.approx(1.0)
    assert "no head generalised" in figure.legends[0].get_texts()[3].get_text()
    assert "Hatched: no head generalised, so weights are equal." in caption


def test_accuracies_are_compared_at_the_ends_of_complete_super_epochs(rows: dict[str, FigureRow]) -> None:
    figure, caption = Blend().draw(rows, Runs())
    blended, naive = figure.axes[1].lines
    assert blended.get_xydata().tolist() == [[3, 30], [5, 50]]
    assert naive.get_xydata().tolist() == [[3, 25], [5, 35]]
    assert "not classifiers finetuned on frozen encoders: a departure from the paper" in caption


def test_a_row_without_super_epochs_is_named(publish_row: PublishRow) -> None:
    rows = {"joint": publish_row("Joint", RUN, history=HISTORY, balancer={"g_blend": {}})}
    with pytest.raises(UserError, match="row 'joint': no super-epoch is complete; its balancer has none"):
        Blend().draw(rows, Runs())


def test_training_that_ended_within_the_first_super_epoch_is_an_error(publish_row: PublishRow) -> None:
    balancer = {"g_blend_online": {"first": 10, "then": 5}}
    rows = {"online": publish_row("Online", RUN, history=HISTORY, balancer=balancer)}
    with pytest.raises(UserError, match="row 'online': no super-epoch is complete"):
        Blend().draw(rows, Runs())


def test_a_run_without_the_naive_accuracy_is_named(publish_row: PublishRow) -> None:
    history = {name: HISTORY[name] for name in ("epoch", "val_accuracy", "fallback", "weight_joint")}
    rows = {"online": publish_row("Online", RUN, history=history, balancer=ONLINE)}
    with pytest.raises(UserError, match="row 'online' was trained without naive_val_accuracy"):
        Blend().draw(rows, Runs())
