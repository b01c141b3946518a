"""Interval plots by hand, texts of tests, and the columns that say one thing in every row."""

from typing import Any

from avbalance.results.columns.base import Header
from avbalance.results.web.cells import find_shared, p_values, spans


def record(mean: float, half_width: float | None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {
        "mean": mean,
        "half_width": half_width,
        "std": 1.0,
        "n": 3,
        "num_seeds": 3,
        "exact": False,
        "expected": None,
        "label": "letters: row",
        **more,
    }


def test_an_interval_lies_on_the_scale_of_its_column() -> None:
    """Means 10 and 20 with the median half width 5: the scale is 5 to 25."""
    drawn = spans({"a": [record(10.0, 5.0)], "b": [record(20.0, 5.0)]})
    assert drawn == {"a": ["--l:0;--m:25;--h:50"], "b": ["--l:50;--m:75;--h:100"]}


def test_a_wide_interval_ends_at_the_edge_and_one_seed_has_none() -> None:
    drawn = spans(
        {"a": [record(10.0, 5.0)], "b": [record(20.0, 5.0)], "c": [record(15.0, 90.0)], "d": [record(1, None)]}
    )
    assert drawn["c"] == ["--l:0;--m:50;--h:100"]
    assert drawn["d"] == [""]


def test_p_values_name_the_test_and_leave_out_what_was_not_compared() -> None:
    shown = p_values({"a": [record(1.0, 0.1, p=0.031, welch_p=0.04, paired_p=None)], "b": [record(1.0, 0.1)]})
    assert list(shown["a"][0]) == ["p", "welch_p"]
    assert shown["b"] == [{}]


COLUMNS = [Header("accuracy", "acc", "%", 1, 1), Header("acc_audio_alone", "audio alone", "%", 1, 1)]


def test_a_column_of_models_alone_is_shared_if_every_row_of_a_dataset_says_the_same() -> None:
    records = {
        "a": [record(80.0, 1.0), record(60.0, 2.0)],
        "b": [record(90.0, 1.0), record(60.0, 2.0)],
        "c": [record(90.0, 1.0, label="digits: row"), record(70.0, 2.0, label="digits: row")],
    }
    names, shared = find_shared(records, COLUMNS, {"a": "letter", "b": "letter", "c": "digit"})
    assert names == {"acc_audio_alone"}
    assert [each["dataset"] for each in shared] == ["letters", "digits"]
    assert [text for each in shared for _, text in each["cells"]] == ["60.0 ± 2.0", "70.0 ± 2.0"]


def test_a_column_with_two_values_or_a_number_of_the_paper_is_not_shared() -> None:
    records = {"a": [record(80.0, 1.0), record(60.0, 2.0)], "b": [record(90.0, 1.0), record(61.0, 2.0)]}
    assert find_shared(records, COLUMNS, {"a": None, "b": None})[0] == set()
    records = {"a": [record(80.0, 1.0), record(60.0, 2.0, expected=58.0)]}
    assert find_shared(records, COLUMNS, {"a": None})[0] == set()
