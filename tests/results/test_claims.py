from typing import Any

import numpy as np
import pytest

from avbalance.cli import UserError
from avbalance.results.claims import Result, compare, judge
from avbalance.results.columns import computed, describe
from avbalance.results.measure import Measured, Values

COLUMNS = {name: describe(name) for name in ("accuracy", "loss", "probe_gap")}


def gaps(*values: float) -> dict[str, Measured]:
    return {"probe_gap": Measured({seed: np.array([value]) for seed, value in enumerate(values)}, len(values))}


def clips(share: float, num_seeds: int = 3) -> Measured:
    """Accuracies of 400 clips of which the first `share` are right, the same for every seed."""
    values = 100.0 * (np.arange(400) < share * 400)
    return Measured(dict.fromkeys(range(num_seeds), values), num_seeds)


def rows(**accuracies: float) -> Values:
    return {row: {"accuracy": clips(share)} for row, share in accuracies.items()}


def claim(left: str | list[str], relation: str, right: str | list[str], metric: str = "accuracy") -> dict[str, Any]:
    return {"text": "", "metric": metric, "relation": relation, "left": left, "right": right}


def verdict(
    values: Values, left: str | list[str], relation: str, right: str | list[str], metric: str = "accuracy"
) -> Result:
    (result,) = judge({"claim": claim(left, relation, right, metric)}, values, COLUMNS, {})
    return result


@pytest.mark.parametrize(
    ("left", "relation", "right", "expected"),
    [
        ("high", ">", "low", "holds"),
        ("low", "<", "high", "holds"),
        ("low", ">", "high", "fails"),
        ("high", "<", "low", "fails"),
        # One clip of 400 differs, so over clips t = 1.
        ("high", ">", "near", "undecided"),
        ("high", ">", "high", "undecided"),
    ],
)
def test_a_claim_is_decided_by_sign_and_p(left: str, relation: str, right: str, expected: str) -> None:
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
    assert [pair["difference"] > 0 for pair in result.pairs] == [True, False]


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
    values = {"small": gaps(5.0, 6.0, 5.5), "large": gaps(20.0, 22.0, 20.5)}
    # Differences -15, -16, -15: mean -15.33, s = 0.577, half width 4.303 * 0.577 / sqrt(3) = 1.434.
    result = verdict(values, "small", "<", "large", "probe_gap")
    assert result.verdict == "holds"
    assert (result.low, result.high) == pytest.approx((-16.768, -13.899), abs=0.002)
    one_seed = {"small": gaps(5.0), "large": gaps(20.0)}
    assert verdict(one_seed, "small", "<", "large", "probe_gap").verdict == "undecided"


def test_two_columns_of_one_row_can_be_compared() -> None:
    values: Values = {"row": {"accuracy": clips(0.9), "loss": clips(0.6)}}
    of_columns = {"text": "", "metric": "accuracy", "right_metric": "loss", "relation": ">", "left": "row"}
    (result,) = judge({"claim": of_columns}, values, COLUMNS, {})
    assert result.verdict == "holds"


@pytest.mark.parametrize(("tolerance", "expected"), [(0.0005, "holds"), (0.0003, "fails")])
def test_equals_paper_looks_at_the_largest_deviation(tolerance: float, expected: str) -> None:
    values = {row: {"f": Measured({0: np.array([value])}, 1, exact=True)} for row, value in (("a", 0.1), ("b", 0.2004))}
    equal = {"text": "", "metric": "f", "relation": "equals_paper", "tolerance": tolerance}
    paper = {"a": {"f": 0.1}, "b": {"f": 0.2}}
    (result,) = judge({"claim": equal}, values, {"f": computed("f")}, paper)
    assert result.verdict == expected
    assert (result.left, result.difference) == ("b", pytest.approx(0.0004))


def test_p_is_corrected_for_the_number_of_claims() -> None:
    # Differences 10, 11, 12: t = 11 / (1 / sqrt(3)) = 19.05 with 2 degrees of freedom, p = 0.00274.
    values: Values = {"wide": gaps(10, 11, 12), "narrow": gaps(0, 0, 0), "none": gaps(0, 1, -1)}
    clear = claim("wide", ">", "narrow", "probe_gap")
    (alone,) = judge({"clear": clear}, values, COLUMNS, {})
    assert (alone.p, alone.adjusted_p) == pytest.approx((0.00274, 0.00274), abs=1e-5)
    # Three claims: 3 times 0.00274, the second raised to the first; the third's p is 1.
    claims = {"clear": clear, "again": clear, "doubtful": claim("none", ">", "narrow", "probe_gap")}
    results = judge(claims, values, COLUMNS, {})
    assert [result.adjusted_p for result in results] == pytest.approx([3 * 0.00274, 3 * 0.00274, 1.0], abs=1e-4)
    assert [result.verdict for result in results] == ["holds", "holds", "undecided"]


def test_a_claim_that_its_own_interval_would_decide_is_undecided_among_many() -> None:
    # Differences 4, 5, 6: t = 5 sqrt(3) = 8.66, p = 0.0131, which times 8 is 0.105.
    values: Values = {"wide": gaps(4, 5, 6), "narrow": gaps(0, 0, 0), "none": gaps(0, 1, -1)}
    none = claim("none", ">", "narrow", "probe_gap")
    claims = {"clear": claim("wide", ">", "narrow", "probe_gap"), **{str(number): none for number in range(7)}}
    result = judge(claims, values, COLUMNS, {})[0]
    assert result.low is not None
    assert result.low > 0
    assert (result.verdict, result.adjusted_p) == ("undecided", pytest.approx(0.105, abs=1e-3))


def test_where_all_rows_must_win_the_largest_p_counts_and_a_loss_is_corrected_for_their_number() -> None:
    values: Values = {
        "best": gaps(20, 21, 22), "wide": gaps(10, 11, 12), "near": gaps(9, 11, 9), "narrow": gaps(0, 0, 0)
    }  # fmt: skip
    # wide - near: 1, 0, 3: mean 1.333, s = 1.528, t = 1.512, p = 0.27.
    result = verdict(values, "wide", ">", ["narrow", "near"], "probe_gap")
    assert (result.p, result.right, result.verdict) == (pytest.approx(0.27, abs=0.005), "near", "undecided")
    # best - wide is 10 three times; shifted a little, so that it has a spread: 10, 10, 13: mean 11, s = 1.732,
    # t = 11, p = 0.00816; of two comparisons one is against the claim: 2 * 0.00816.
    values["best"] = gaps(20, 21, 25)
    result = verdict(values, "wide", ">", ["narrow", "best"], "probe_gap")
    assert (result.p, result.right, result.verdict) == (pytest.approx(0.01632, abs=1e-4), "best", "fails")


def test_exact_differences_are_decided_by_their_sign_without_a_test() -> None:
    values: Values = {
        row: {"gflops": Measured(dict.fromkeys((0, 1), np.array([number])), 2, exact=True)}
        for row, number in (("small", 1.5), ("large", 2.0))
    }
    (result,) = judge({"claim": claim("small", "<", "large", "gflops")}, values, {"gflops": describe("gflops")}, {})
    assert (result.verdict, result.difference, result.p, result.adjusted_p) == ("holds", -0.5, None, None)


def test_rows_on_other_data_are_not_compared() -> None:
    values = rows(left=0.9, right=0.6)
    values["left"]["accuracy"].data = "others"
    assert verdict(values, "left", ">", "right").difference is None


def test_columns_of_clips_and_of_videos_are_compared_by_their_means() -> None:
    clip = Measured({seed: np.array([100.0, 0.0, 100.0, 0.0]) for seed in range(3)}, 3)
    video = Measured({seed: np.array([80.0 + seed, 80.0 + seed]) for seed in range(3)}, 3)
    # 80, 81 and 82 less 50: mean 31, s = 1
    found = compare(video, clip)
    assert found is not None
    assert (found.difference, found.high) == pytest.approx((31, 31 + 4.302653 / np.sqrt(3)), abs=1e-6)


def falling(*left: str, metric: str = "accuracy") -> dict[str, Any]:
    return {"text": "", "metric": metric, "relation": "falls", "left": list(left)}


@pytest.mark.parametrize(
    ("order", "expected", "decisive"),
    [
        ("abc", "holds", "ac"),
        # One clip of 400 higher than its predecessor, so over clips t = 1: no rise that counts.
        ("axbc", "holds", "ac"),
        ("acb", "fails", "cb"),
        ("ca", "fails", "ca"),
        ("ax", "undecided", "ax"),
        ("aa", "undecided", "aa"),
    ],
)
def test_what_falls_ends_below_its_start_and_does_not_rise_between(order: str, expected: str, decisive: str) -> None:
    values = rows(a=0.9, x=0.8975, b=0.9, c=0.6) if "x" in order else rows(a=0.9, b=0.8, c=0.6)
    (result,) = judge({"claim": falling(*order)}, values, COLUMNS, {})
    assert (result.verdict, result.left + result.right) == (expected, decisive)


def test_both_p_values_of_falling_are_corrected_with_the_others() -> None:
    # Differences first - last 10, 11, 12: p = 0.00274 as above. Rises 1, 2, 3: t = 2 sqrt(3), p = 0.0742, times 3.
    values: Values = {"first": gaps(10, 11, 12), "low": gaps(-1, -2, -3), "last": gaps(0, 0, 0)}
    claims = {"falls": falling("first", "low", "last", metric="probe_gap")}
    (alone,) = judge(claims, values, COLUMNS, {})
    assert (alone.verdict, alone.p) == ("holds", pytest.approx(0.00274, abs=1e-5))
    assert alone.adjusted_p == pytest.approx(2 * 0.00274, abs=2e-5)
    assert [(pair["left"], pair["right"]) for pair in alone.pairs] == [
        ("first", "last"),
        ("first", "low"),
        ("low", "last"),
    ]
    clear = claim("first", ">", "last", "probe_gap")
    falls, _ = judge({**claims, "clear": clear}, values, COLUMNS, {})
    assert falls.adjusted_p == pytest.approx(3 * 0.00274, abs=3e-5)


def test_a_row_without_runs_leaves_falling_undecided() -> None:
    values = rows(a=0.9, c=0.6) | {"b": {"accuracy": Measured({}, 3)}}
    (result,) = judge({"claim": falling("a", "b", "c")}, values, COLUMNS, {})
    assert (result.verdict, result.p) == ("undecided", None)


@pytest.mark.parametrize(
    ("numbers", "expected"), [([3, 2, 2], "holds"), ([3, 1, 2], "fails"), ([2, 2, 2], "undecided")]
)
def test_exact_numbers_fall_by_their_signs(numbers: list[float], expected: str) -> None:
    cells = {str(i): Measured({0: np.array([x])}, 1, exact=True) for i, x in enumerate(numbers)}
    values = {row: {"gflops": cell} for row, cell in cells.items()}
    (result,) = judge({"claim": falling(*cells, metric="gflops")}, values, {"gflops": describe("gflops")}, {})
    assert result.verdict == expected
