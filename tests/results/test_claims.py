import numpy as np
import pytest

from avbalance.cli import UserError
from avbalance.results.claims import Result, judge
from avbalance.results.columns import Measured, Values, computed, describe

COLUMNS = {name: describe(name) for name in ("accuracy", "loss", "probe_gap")}


def clips(share: float, num_seeds: int = 3) -> Measured:
    """Accuracies of 400 clips of which the first `share` are right, the same for every seed."""
    values = 100.0 * (np.arange(400) < share * 400)
    return Measured(dict.fromkeys(range(num_seeds), values), num_seeds)


def rows(**accuracies: float) -> Values:
    return {row: {"accuracy": clips(share)} for row, share in accuracies.items()}


def verdict(
    values: Values, left: str | list[str], relation: str, right: str | list[str], metric: str = "accuracy"
) -> Result:
    claim = {"text": "", "metric": metric, "relation": relation, "left": left, "right": right}
    return judge("claim", claim, values, COLUMNS, {})


@pytest.mark.parametrize(
    ("left", "relation", "right", "expected"),
    [
        ("high", ">", "low", "holds"),
        ("low", "<", "high", "holds"),
        ("low", ">", "high", "fails"),
        ("high", "<", "low", "fails"),
        # One clip of 400 differs: resamples without it have no difference, so the interval touches 0.
        ("high", ">", "near", "undecided"),
        ("high", ">", "high", "undecided"),
    ],
)
def test_a_claim_is_decided_by_where_its_interval_lies(left: str, relation: str, right: str, expected: str) -> None:
    values = rows(high=0.9, near=0.8975, low=0.6)
    assert verdict(values, left, relation, right).verdict == expected


def test_difference_and_interval_are_in_points() -> None:
    result = verdict(rows(high=0.9, low=0.6), "high", ">", "low")
    assert result.difference == pytest.approx(30)
    assert result.unit == "points"
    assert result.low is not None
    # 30 % of 400 clips differ: deviation 100 sqrt(0.3 * 0.7 / 400) = 2.29 points.
    assert result.low == pytest.approx(30 - 1.96 * 2.29, abs=0.6)


def test_one_row_against_a_list_must_beat_every_row_of_it() -> None:
    values = rows(best=0.9, middle=0.8, worst=0.6)
    assert verdict(values, "best", ">", ["middle", "worst"]).verdict == "holds"
    result = verdict(values, "middle", ">", ["worst", "best"])
    assert (result.verdict, result.right) == ("fails", "best")
    assert [pair["verdict"] for pair in result.pairs] == ["holds", "fails"]


def test_the_weakest_pair_is_shown() -> None:
    result = verdict(rows(best=0.9, middle=0.8, worst=0.6), "best", ">", ["worst", "middle"])
    assert (result.left, result.right) == ("best", "middle")
    assert result.difference == pytest.approx(10)
    result = verdict(rows(best=0.9, middle=0.8, worst=0.6), "worst", "<", ["best", "middle"])
    assert result.right == "middle"


def test_a_list_is_undecided_if_one_pair_is_and_none_fails() -> None:
    values = rows(best=0.9, near=0.8975, worst=0.6)
    assert verdict(values, "best", ">", ["worst", "near"]).verdict == "undecided"


def test_two_lists_are_compared_pair_by_pair() -> None:
    values = rows(a=0.9, a_base=0.8, b=0.7, b_base=0.6)
    result = verdict(values, ["a", "b"], ">", ["a_base", "b_base"])
    # b would lose against a_base: all against all would fail.
    assert result.verdict == "holds"
    assert [(pair["left"], pair["right"]) for pair in result.pairs] == [("a", "a_base"), ("b", "b_base")]


def test_two_lists_of_different_length_are_an_error() -> None:
    with pytest.raises(UserError, match="left has 2 rows and right 3"):
        verdict(rows(a=0.9, b=0.8, c=0.7), ["a", "b"], ">", ["a", "b", "c"])


def test_only_seeds_that_both_rows_have_are_compared() -> None:
    values = rows(left=0.9, right=0.6)
    values["left"]["accuracy"].values[7] = np.zeros(400)
    assert verdict(values, "left", ">", "right").difference == pytest.approx(30)


def test_a_row_without_runs_leaves_the_claim_undecided() -> None:
    values = rows(left=0.9) | {"right": {"accuracy": Measured({}, 3)}}
    result = verdict(values, "left", ">", "right")
    assert (result.verdict, result.difference) == ("undecided", None)


def test_a_column_without_values_for_clips_is_compared_over_seeds() -> None:
    def gaps(*values: float) -> dict[str, Measured]:
        return {"probe_gap": Measured({seed: np.array([value]) for seed, value in enumerate(values)}, len(values))}

    values = {"small": gaps(5.0, 6.0, 5.5), "large": gaps(20.0, 22.0, 20.5)}
    # Differences -15, -16, -15: mean -15.33, s = 0.577, half width 4.303 * 0.577 / sqrt(3) = 1.434.
    result = verdict(values, "small", "<", "large", "probe_gap")
    assert result.verdict == "holds"
    assert (result.low, result.high) == pytest.approx((-16.768, -13.899), abs=0.002)
    one_seed = {"small": gaps(5.0), "large": gaps(20.0)}
    assert verdict(one_seed, "small", "<", "large", "probe_gap").verdict == "undecided"


def test_two_columns_of_one_row_can_be_compared() -> None:
    values: Values = {"row": {"accuracy": clips(0.9), "loss": clips(0.6)}}
    claim = {"text": "", "metric": "accuracy", "right_metric": "loss", "relation": ">", "left": "row"}
    assert judge("claim", claim, values, COLUMNS, {}).verdict == "holds"


@pytest.mark.parametrize(("tolerance", "expected"), [(0.0005, "holds"), (0.0003, "fails")])
def test_equals_paper_looks_at_the_largest_deviation(tolerance: float, expected: str) -> None:
    values = {row: {"f": Measured({0: np.array([value])}, 1, exact=True)} for row, value in (("a", 0.1), ("b", 0.2004))}
    claim = {"text": "", "metric": "f", "relation": "equals_paper", "tolerance": tolerance}
    paper = {"a": {"f": 0.1}, "b": {"f": 0.2}}
    result = judge("claim", claim, values, {"f": computed("f")}, paper)
    assert result.verdict == expected
    assert (result.left, result.difference) == ("b", pytest.approx(0.0004))
