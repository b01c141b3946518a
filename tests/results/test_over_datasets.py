import numpy as np
import pytest

from avbalance.errors import UserError
from avbalance.results.measure import Measured, Values
from avbalance.results.over_datasets import check_methods, prefix_of, split_datasets


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["t_joint", "t_ogm"], "t_"),
        (["joint", "ogm"], ""),
        (["t_x_joint", "t_joint", "t_ogm"], "t_"),  # t_x_joint is another method
        (["t_x_joint", "t_ogm"], None),
        (["digits_joint"], "digits_"),
        (["t_rejoint", "t_ogm"], None),
        ([], None),
    ],
)
def test_the_prefix_of_a_dataset_is_what_all_its_rows_share(names: list[str], expected: str | None) -> None:
    assert prefix_of(names, "joint") == expected


def test_a_method_that_no_dataset_has_is_named_with_the_nearest() -> None:
    datasets = {"digits": ["a_joint", "a_ogm"], "letters": ["b_joint", "b_pmr"], "faces": ["c_ogm"]}
    check_methods(["joint", "ogm", "pmr"], datasets)
    with pytest.raises(UserError, match="no row is named 'pmrr'; did you mean 'pmr'"):
        check_methods(["joint", "pmrr"], datasets)
    with pytest.raises(UserError, match="no row is named 'joined'; did you mean 'joint'"):
        check_methods(["joined"], {"digits": ["joint", "ogm"]})
    with pytest.raises(UserError, match="no row is named 'c_ogm'"):
        check_methods(["joint", "c_ogm"], datasets)


def values_of(*rows: str) -> Values:
    return {row: {"accuracy": Measured({0: np.array([50.0])}, 1)} for row in rows}


def test_rows_of_two_tables_are_one_method_by_their_names() -> None:
    labels = {
        "a_joint": "Digits: Joint",
        "a_ogm": "Digits: OGM: a",
        "b_joint": "Letters: Joint",
        "b_ogm": "Letters: OGM",
    }
    data = {row: row[0] for row in labels}
    digits, letters = split_datasets(labels, data, values_of(*labels), "joint")
    assert (digits.title, digits.labels) == ("Digits", {"joint": "Joint", "ogm": "OGM: a"})
    assert (letters.title, letters.labels) == ("Letters", {"joint": "Joint", "ogm": "OGM"})
    assert list(letters.cells("accuracy")) == ["joint", "ogm"]


def test_labels_of_one_dataset_have_no_title() -> None:
    labels = {"joint": "Joint: as usual", "ogm": "Joint: OGM"}
    (only,) = split_datasets(labels, dict.fromkeys(labels, "a"), values_of(*labels), "joint")
    assert (only.title, only.labels) == ("", labels)


def test_a_dataset_without_the_baseline_is_left_out() -> None:
    labels = {"a_joint": "Digits: Joint", "b_ogm": "Letters: OGM"}
    data = {row: row[0] for row in labels}
    (digits,) = split_datasets(labels, data, values_of(*labels), "joint")
    assert digits.title == "Digits"
    with pytest.raises(UserError, match="no dataset has a run of 'pmr'"):
        split_datasets(labels, data, values_of(*labels), "pmr")
