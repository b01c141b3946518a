from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from avbalance.errors import UserError
from avbalance.results.over_methods import ranks
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.ranks import Ranks, caption_of, draw_ranks, groups
from avbalance.results.runs import Runs

LABELS = [0, 1, 2, 0, 1, 2, 0, 1]


def right(number: int) -> dict[str, Any]:
    """A seed of which the first `number` of eight clips are right."""
    return {"test_label": LABELS, "test_logits": [c if i < number else (c + 1) % 3 for i, c in enumerate(LABELS)]}


@pytest.fixture
def rows(publish_row: Callable[..., FigureRow]) -> dict[str, FigureRow]:
    """Clips right, on three datasets of digits and three of letters: a 8 and 6, b 7 and 7, c 5 and 5, d 5 and 1."""
    number = {f"digits{n}": {"a": 8, "b": 7, "c": 5, "d": 5} for n in range(3)}
    number |= {f"letters{n}": {"a": 6, "b": 7, "c": 5, "d": 1} for n in range(3)}
    return {
        f"{data}_{method}": publish_row(f"{data.upper()}: Method {method}", right(n), data=data)
        for data, methods in number.items()
        for method, n in methods.items()
    }


def test_methods_stand_at_their_average_rank_and_the_caption_says_what_is_decided(rows: dict[str, FigureRow]) -> None:
    figure, caption = Ranks().draw(rows, Runs())
    said = [text.get_text() for text in figure.axes[0].texts]
    # Ranks 1, 2, 3.5, 3.5 and 2, 1, 3, 4.
    assert said[4:] == [
        "critical difference 1.91", "Method a  1.50", "Method b  1.50", "3.25  Method c", "3.75  Method d"
    ]  # fmt: skip
    assert caption.startswith(
        "Test accuracy of 4 methods, ranked on each of 6 datasets (DIGITS0; DIGITS1; DIGITS2; LETT"
    )
    assert caption.endswith("by less than Nemenyi's critical difference at 5 %, 1.91.")


def test_a_method_without_a_run_on_some_data_is_left_out(rows: dict[str, FigureRow]) -> None:
    del rows["letters0_b"]
    figure, caption = Ranks().draw(rows, Runs())
    assert "Method a  1.00" in [text.get_text() for text in figure.axes[0].texts]
    assert caption.endswith("Left out, without a value on some data: Method b.")
    del rows["letters0_a"]
    with pytest.raises(
        UserError, match="three methods or more with a value on all of 6 datasets or more, found 2 on 6"
    ):
        Ranks().draw(rows, Runs())


def test_lower_is_better_where_the_column_says_so(rows: dict[str, FigureRow]) -> None:
    figure, _ = Ranks(column="loss").draw(rows, Runs())
    assert "Method a  1.50" in [text.get_text() for text in figure.axes[0].texts]


def test_what_cannot_be_ranked_is_an_error(rows: dict[str, FigureRow]) -> None:
    with pytest.raises(UserError, match="no better or worse to rank by"):
        Ranks(column="gflops").draw(rows, Runs())
    with pytest.raises(UserError, match="found 4 on 5; figure 'leaderboard' takes any number of datasets"):
        Ranks().draw({name: row for name, row in rows.items() if not name.startswith("digits1")}, Runs())


def test_bars_join_the_largest_groups_of_neighbours() -> None:
    average = np.array([1.0, 1.5, 2.4, 4.0, 4.2])
    assert groups(average, 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert groups(average, 0.1) == []
    assert groups(average, 9.0) == [(0, 4)]


def test_friedman_by_hand() -> None:
    # Demsar 2006, section 3.2.2: chi-square 12 N / (k (k + 1)) (sum of squared average ranks - k (k + 1)^2 / 4). Three
    # methods always in one order on eight data sets: 12 * 8 / 12 * (1 + 4 + 9 - 12) = 16, p = exp(-8).
    found = ranks(np.tile([3.0, 2.0, 1.0], (8, 1)))
    assert found.mean(axis=0).tolist() == [1, 2, 3]
    assert stats.friedmanchisquare(*found.T).statistic == pytest.approx(16)
    assert "chi-square 16.0, p < 0.001" in caption_of("Test accuracy", found, list("abcdefgh"))


def test_many_methods_have_ticks_that_can_be_read() -> None:
    figure = draw_ranks([f"Method {n}" for n in range(50)], np.linspace(4, 48, 50), 20.0)
    ticks = [text.get_text() for text in figure.axes[0].texts][:10]
    assert ticks == [str(5 * n) for n in range(1, 11)]
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(figure.bbox.containsx(x) for box in boxes for x in (box.x0, box.x1))
