from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from avbalance.errors import UserError
from avbalance.results.columns.base import find_column
from avbalance.results.leaderboard import Standing
from avbalance.results.plots.base import FigureRow, Numbers
from avbalance.results.plots.leaderboard import Leaderboard, draw_leaderboard, limits_of
from avbalance.results.runs import Runs
from avbalance.results.statistics import Difference

LABELS = [0, 1, 2, 0, 1, 2, 0, 1]
PublishRow = Callable[..., FigureRow]


def right(number: int) -> dict[str, Any]:
    """A seed of which the first `number` of eight clips are right."""
    return {"test_label": LABELS, "test_logits": [c if i < number else (c + 1) % 3 for i, c in enumerate(LABELS)]}


@pytest.fixture
def rows(publish_row: PublishRow) -> dict[str, FigureRow]:
    """Clips right of eight with each of two seeds, on digits and letters; passes and seconds."""
    number: dict[str, dict[str, list[int]]] = {
        "digits": {"joint": [4, 5], "joint_twice": [5, 5], "ensemble": [6, 6], "ogm": [8, 7], "umt": [3, 5]},
        "letters": {"joint": [2, 2], "joint_twice": [4, 3], "ensemble": [3, 3], "ogm": [5, 7]},
    }
    passes = {"joint_twice": 20.0, "umt": 30.0}
    return {
        f"t_{data}_{method}": publish_row(
            f"{data.capitalize()}: {method.capitalize()}",
            *map(right, seeds),
            data=data,
            metrics={
                "passes": passes.get(method, 10.0),
                "train_seconds": 6 * passes.get(method, 10.0),
                "val_accuracy": 0.9 if method == "ensemble" else 0.8,
            },
        )
        for data, methods in number.items()
        for method, seeds in methods.items()
    }


def draw(rows: dict[str, FigureRow], **options: Any) -> tuple[Figure, str, Numbers]:  # noqa: ANN401
    drawn = Leaderboard(["joint", "joint_twice"], ["ensemble"], **options).draw(rows, Runs())
    assert len(drawn) == 3
    figure, caption, numbers = drawn
    return figure, caption, numbers._replace(frame=numbers.frame[numbers.frame["dataset"] == "all"])


def test_methods_stand_in_the_order_of_their_gains_with_their_numbers(rows: dict[str, FigureRow]) -> None:
    figure, _, numbers = draw(rows)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Ogm", "Ensemble", "Joint", "Joint_twice", "Umt"]
    # Right clips of eight, less those of joint training: OGM 7.5 - 4.5 and 6 - 2, the ensemble 6 - 4.5 and 3 - 2; UMT,
    # with 30 passes, 4 - 5 on digits.
    assert numbers.frame["gain"].tolist() == [43.75, 15.625, 0, 0, -12.5]
    assert numbers.frame["datasets"].tolist() == [2, 2, 2, 2, 1]
    written = [text.get_text() for text in axes.texts]
    assert written[:5] == ["+43.75", "1.0", "2", "1.00", "1.00"]
    assert written[10:15] == ["–", "4.0", "2", "1.00", "1.00"]
    assert written[20:25] == ["−12.50", "5.0", "1", "3.00", "3.00"]
    assert written[25:] == ["gain", "rank", "passes", "seconds", "datasets"]
    assert [text.get_text() for text in figure.legends[0].texts] == [
        "method", "reference", "joint training, its own budget"
    ]  # fmt: skip


def test_lines_are_the_simultaneous_intervals_and_references_are_marked(rows: dict[str, FigureRow]) -> None:
    figure, _, numbers = draw(rows)
    intervals = [line.get_xdata() for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    ogm = numbers.frame.iloc[0]
    assert ogm["low"] < ogm["gain"] < ogm["high"]
    assert tuple(intervals[0]) == (ogm["low"], ogm["high"])
    dotted = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [15.625]


def test_the_caption_says_what_is_compared_and_who_lacks_data(rows: dict[str, FigureRow]) -> None:
    _, caption, _ = draw(rows)
    assert caption.startswith(
        "Test accuracy (Digits; Letters): gain over joint training of equal budget, mean over 2 datasets."
    )
    assert "intervals that hold for all 3 rows at once (Bonferroni)" in caption
    assert "of seeds and test clips; other datasets would add theirs" in caption
    assert caption.endswith("On fewer datasets, with which their numbers cannot be compared strictly: Umt.")


def test_one_seed_has_intervals_of_clips_alone(rows: dict[str, FigureRow]) -> None:
    once = {name: FigureRow(row.label, row.entries[:1]) for name, row in rows.items()}
    _, caption, numbers = draw(once)
    assert "test clips alone; one seed does not show" in caption
    # Digits 8 - 4 of eight clips, letters 5 - 2: variances of the paired differences over clips, between both ends.
    ogm = numbers.frame.iloc[0]
    differences = [np.repeat([0, 100], 4), np.repeat([0, 100, 0], [2, 3, 3])]
    total = sum(each.var(ddof=1) / 8 for each in differences) / 4
    assert ogm["gain"] == pytest.approx(43.75)
    assert ogm["high"] - ogm["gain"] > 1.96 * np.sqrt(total)


def test_one_seed_of_a_column_without_values_of_clips_has_no_interval(rows: dict[str, FigureRow]) -> None:
    once = {name: FigureRow(row.label, row.entries[:1]) for name, row in rows.items()}
    figure, caption, numbers = draw(once, column="macro_f1")
    assert "One seed, so no interval." in caption
    assert numbers.frame.loc[numbers.frame["role"] != "baseline", "low"].isna().all()
    assert [len(line.get_xdata()) for line in figure.axes[0].lines].count(2) == 2  # the line at 0 and a reference


def test_columns_of_the_baseline_are_references_of_its_budget(rows: dict[str, FigureRow]) -> None:
    for name, row in rows.items():
        start = "_".join(name.split("_")[:2])
        for entry in row.entries:  # audio alone is as accurate as the ensemble, visual as OGM
            others = {"audio": rows[f"{start}_ensemble"], "visual": rows[f"{start}_ogm"]}
            entry["alone"] = {modality: other.entries[entry["seed"]]["run"] for modality, other in others.items()}
    _, _, numbers = draw(rows, columns=["acc_strongest_alone"])
    frame = numbers.frame.set_index("method")
    # Validation prefers audio, the ensemble's runs.
    assert frame["gain"]["acc_strongest_alone"] == frame["gain"]["ensemble"] == 15.625
    assert frame["role"]["acc_strongest_alone"] == "reference"
    assert frame["label"]["acc_strongest_alone"] == "Strongest alone"
    assert frame["passes"]["acc_strongest_alone"] == 1
    assert np.isnan(frame["seconds"]["acc_strongest_alone"])


def test_one_dataset_needs_no_title(rows: dict[str, FigureRow]) -> None:
    digits = {name: FigureRow(row.label[8:], row.entries) for name, row in rows.items() if "digits" in name}
    _, caption, numbers = draw(digits)
    assert caption.startswith("Test accuracy: gain over joint training of equal budget. The baseline")
    assert "datasets" not in caption
    assert numbers.frame["label"].tolist()[:2] == ["Ogm", "Ensemble"]


def test_a_far_gain_does_not_squeeze_the_others() -> None:
    near = [Standing(str(n), str(n), "method", gain=Difference(n / 4, n / 4 - 1, n / 4 + 1)) for n in range(8)]
    far = Standing("far", "far", "method", gain=Difference(-60.0, -62.0, -58.0))
    low, high = limits_of([*near, far])
    assert limits_of(near) == pytest.approx((-1 - 0.06 * 3.75, 2.75 + 0.06 * 3.75))
    assert -10 < low < -1
    assert high == pytest.approx(2.75 + 0.06 * (high - low) / 1.12)
    for standing in (*near, far):
        standing.ranks, standing.passes, standing.seconds = [1.0], [1.0], [1.0]
    (axes,) = draw_leaderboard([*near, far], find_column("accuracy")).axes
    (arrow,) = (line for line in axes.lines if line.get_marker() == "<")
    assert arrow.get_xdata() == [low]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"column": "gflops"}, "column 'gflops' has no better or worse to compare by"),
        ({"columns": ["loss"]}, "column 'loss' differs in unit from 'accuracy'"),
        ({"column": "accurcy"}, "column 'accurcy' does not exist; did you mean 'accuracy'"),
        ({"column": "acc_audio_masked"}, "'joint' has no value of 'acc_audio_masked' on any dataset"),
    ],
)
def test_a_column_that_cannot_be_compared_is_an_error(
    rows: dict[str, FigureRow], options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(UserError, match=expected):
        draw(rows, **options)


def test_a_baseline_without_runs_is_an_error(rows: dict[str, FigureRow]) -> None:
    with pytest.raises(UserError, match="no dataset has a run of 'joint', with which"):
        draw({name: row for name, row in rows.items() if not name.endswith("_joint")})
