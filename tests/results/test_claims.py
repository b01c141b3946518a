import re
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from avbalance.configuration.table_schema import Claim
from avbalance.errors import UserError
from avbalance.results.claims import Result, judge
from avbalance.results.columns.base import Header, find_column
from avbalance.results.comparisons import compare_columns
from avbalance.results.measure import Measured, Values

COLUMNS = {name: find_column(name).header for name in ("accuracy", "loss", "probe_gap")}


def gaps(*values: float) -> dict[str, Measured]:
    return {"probe_gap": Measured({seed: np.array([value]) for seed, value in enumerate(values)}, len(values))}


def clips(share: float, num_seeds: int = 3) -> Measured:
    """Accuracies of 400 clips of which the first `share` are right, the same for every seed."""
    values = 100.0 * (np.arange(400) < share * 400)
    return Measured(dict.fromkeys(range(num_seeds), values), num_seeds)


def rows(**accuracies: float) -> Values:
    return {row: {"accuracy": clips(share)} for row, share in accuracies.items()}


def claim(left: str | list[str], relation: str, right: str | list[str], metric: str = "accuracy") -> dict[str, Any]:
    return {"text": "A sentence.", "metric": metric, "relation": relation, "left": left, "right": right}


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


def test_rows_are_compared_by_all_their_seeds_and_columns_by_those_of_both() -> None:
    values: Values = rows(left=0.9, right=0.6)
    values["left"]["accuracy"].values[7] = np.zeros(400)
    values["left"]["loss"] = clips(0.6)
    values["right"]["loss"] = clips(0.6)
    # 90 three times and 0 once, less 60
    assert verdict(values, "left", ">", "right").difference == pytest.approx(67.5 - 60)
    of_columns = {"text": "A sentence.", "metric": "accuracy", "right_metric": "loss", "relation": ">", "left": "left"}
    (result,) = judge({"claim": of_columns}, values, COLUMNS, {})
    assert (result.difference, result.verdict) == (pytest.approx(30), "holds")


def test_a_row_without_runs_leaves_the_claim_undecided() -> None:
    values = rows(left=0.9) | {"right": {"accuracy": Measured({}, 3)}}
    result = verdict(values, "left", ">", "right")
    assert (result.verdict, result.difference) == ("undecided", None)


def test_a_column_without_values_for_clips_is_compared_over_seeds() -> None:
    values = {"small": gaps(5.0, 6.0, 5.5), "large": gaps(20.0, 22.0, 20.5)}
    result = verdict(values, "small", "<", "large", "probe_gap")
    welch = stats.ttest_ind([5.0, 6.0, 5.5], [20.0, 22.0, 20.5], equal_var=False)
    assert (result.verdict, result.p) == ("holds", pytest.approx(welch.pvalue, abs=1e-9))
    assert (result.low, result.high) == pytest.approx(tuple(welch.confidence_interval(0.95)))
    one_seed = {"small": gaps(5.0), "large": gaps(20.0)}
    assert verdict(one_seed, "small", "<", "large", "probe_gap").verdict == "undecided"


def test_two_columns_of_one_row_can_be_compared() -> None:
    values: Values = {"row": {"accuracy": clips(0.9), "loss": clips(0.6)}}
    of_columns = {"text": "A sentence.", "metric": "accuracy", "right_metric": "loss", "relation": ">", "left": "row"}
    (result,) = judge({"claim": of_columns}, values, COLUMNS, {})
    assert result.verdict == "holds"


@pytest.mark.parametrize(("tolerance", "expected"), [(0.0005, "holds"), (0.0003, "fails")])
def test_equals_paper_looks_at_the_largest_deviation(tolerance: float, expected: str) -> None:
    values = {row: {"f": Measured({0: np.array([value])}, 1, exact=True)} for row, value in (("a", 0.1), ("b", 0.2004))}
    equal = {"text": "A sentence.", "metric": "f", "relation": "equals_paper", "tolerance": tolerance}
    paper = {"a": {"f": 0.1}, "b": {"f": 0.2}}
    (result,) = judge({"claim": equal}, values, {"f": Header("f", "f", "", 3, 0)}, paper)
    assert result.verdict == expected
    assert (result.left, result.difference) == ("b", pytest.approx(0.0004))


def test_p_is_corrected_for_the_number_of_claims() -> None:
    # Differences 10, 11, 12: t = 11 / (1 / sqrt(3)) = 19.05 with 2 degrees of freedom, p = 0.00274.
    values: Values = {"wide": gaps(10, 11, 12), "narrow": gaps(0, 0, 0)}
    clear = claim("wide", ">", "narrow", "probe_gap")
    (alone,) = judge({"clear": clear}, values, COLUMNS, {})
    assert (alone.p, alone.adjusted_p) == pytest.approx((0.00274, 0.00274), abs=1e-5)
    # Three claims: the first by size has 3 times 0.00274, the second takes that over; the third's p is 1.
    claims = {"clear": clear, "again": clear, "doubtful": claim("narrow", ">", "narrow", "probe_gap")}
    results = judge(claims, values, COLUMNS, {})
    assert [result.adjusted_p for result in results] == pytest.approx([3 * 0.00274, 3 * 0.00274, 1.0], abs=1e-4)
    # By Benjamini and Hochberg the second of three has 3/2 times its p, which the first takes over.
    by_rate = [result.others["fdr"]["adjusted_p"] for result in results]
    assert by_rate == pytest.approx([1.5 * 0.00274, 1.5 * 0.00274, 1.0], abs=1e-4)
    assert [result.verdict for result in results] == ["holds", "holds", "undecided"]


def test_a_claim_that_its_own_interval_would_decide_is_undecided_among_many() -> None:
    # Differences 4, 5, 6: t = 5 sqrt(3) = 8.66, p = 0.0131, which times 8 is 0.105.
    values: Values = {"wide": gaps(4, 5, 6), "narrow": gaps(0, 0, 0)}
    none = claim("narrow", ">", "narrow", "probe_gap")
    claims = {"clear": claim("wide", ">", "narrow", "probe_gap"), **{str(number): none for number in range(7)}}
    result = judge(claims, values, COLUMNS, {})[0]
    assert result.low is not None
    assert result.low > 0
    assert (result.verdict, result.adjusted_p) == ("undecided", pytest.approx(0.105, abs=1e-3))


def test_where_all_rows_must_win_the_largest_p_counts_and_a_loss_is_corrected_for_their_number() -> None:
    values: Values = {
        "best": gaps(20, 21, 22), "wide": gaps(10, 11, 12), "near": gaps(9, 11, 9), "narrow": gaps(0, 0, 0)
    }  # fmt: skip
    result = verdict(values, "wide", ">", ["narrow", "near"], "probe_gap")
    narrow, near = (pair["p"] for pair in result.pairs)
    assert narrow < 0.01 < 0.1 < near
    assert (result.p, result.right, result.verdict) == (near, "near", "undecided")
    result = verdict(values, "wide", ">", ["narrow", "best"], "probe_gap")
    assert (result.p, result.right, result.verdict) == (2 * result.pairs[1]["p"], "best", "fails")


def test_exact_differences_are_decided_by_their_sign_without_a_test() -> None:
    values: Values = {
        row: {"gflops": Measured(dict.fromkeys((0, 1), np.array([number])), 2, exact=True)}
        for row, number in (("small", 1.5), ("large", 2.0))
    }
    (result,) = judge(
        {"claim": claim("small", "<", "large", "gflops")}, values, {"gflops": find_column("gflops").header}, {}
    )
    assert (result.verdict, result.difference, result.p, result.adjusted_p) == ("holds", -0.5, None, None)


def test_rows_on_other_data_are_not_compared() -> None:
    values = rows(left=0.9, right=0.6)
    values["left"]["accuracy"].data = "others"
    assert verdict(values, "left", ">", "right").difference is None


def test_columns_of_clips_and_of_videos_are_compared_by_their_means() -> None:
    clip = Measured({seed: np.array([100.0, 0.0, 100.0, 0.0]) for seed in range(3)}, 3)
    video = Measured({seed: np.array([80.0 + seed, 80.0 + seed]) for seed in range(3)}, 3)
    # 80, 81 and 82 less 50: mean 31, s = 1
    found = compare_columns("row", {"row": video}, {"row": clip})
    assert found is not None
    assert (found.difference, found.high) == pytest.approx((31, 31 + 4.302653 / np.sqrt(3)), abs=1e-6)


def falling(*left: str, metric: str = "accuracy") -> dict[str, Any]:
    return {"text": "A sentence.", "metric": metric, "relation": "falls", "left": list(left)}


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
    # Variances 1, 1 and 0, of which the last is moderated: (0 + 1) / 3 with 3 degrees of freedom. So V = (1 + 1/3) / 3
    # of first - last and of the rise low - last, with V^2 / ((1/3)^2 / 2 + (1/9)^2 / 3) = 3.31 degrees of freedom.
    p = 2 * stats.t.sf(11 / np.sqrt(4 / 9), (4 / 9) ** 2 / (1 / 18 + 1 / 243))
    values: Values = {"first": gaps(10, 11, 12), "low": gaps(-1, -2, -3), "last": gaps(0, 0, 0)}
    claims = {"falls": falling("first", "low", "last", metric="probe_gap")}
    (alone,) = judge(claims, values, COLUMNS, {})
    assert (alone.verdict, alone.p) == ("holds", pytest.approx(p, abs=1e-8))
    assert alone.adjusted_p == pytest.approx(2 * p, abs=1e-8)  # the rise's is 3 * 0.05
    assert [(pair["left"], pair["right"]) for pair in alone.pairs] == [
        ("first", "last"),
        ("first", "low"),
        ("low", "last"),
    ]
    falls, _ = judge({**claims, "same": claim("first", ">", "last", "probe_gap")}, values, COLUMNS, {})
    assert falls.adjusted_p == pytest.approx(3 * p, abs=1e-8)  # the smallest of three


def test_a_claim_shows_each_part_and_the_verdicts_by_other_tests() -> None:
    values: Values = {"a": gaps(5, 6, 8), "b": gaps(1, 1, 3), "c": gaps(4, 6, 6), "d": gaps(9, 9.5, 9.2)}
    (result,) = judge({"claim": claim("a", ">", ["b", "c", "d"], "probe_gap")}, values, COLUMNS, {})
    assert [pair["verdict"] for pair in result.pairs] == ["holds", "undecided", "undecided"]
    for pair, other in zip(result.pairs, "bcd", strict=True):
        left, right = (list(values[row]["probe_gap"].means()) for row in ("a", other))
        assert pair["welch_p"] == pytest.approx(stats.ttest_ind(left, right, equal_var=False).pvalue, abs=1e-8)
        assert pair["paired_p"] == pytest.approx(stats.ttest_rel(left, right).pvalue, abs=1e-8)
    # One of three pairs is against the claim, which therefore fails, with three times the p of that pair.
    against = result.pairs[2]
    for rule, p in (("welch", "welch_p"), ("paired", "paired_p"), ("fdr", "p")):
        assert result.others[rule]["p"] == pytest.approx(3 * against[p])
    assert [result.others[rule]["verdict"] for rule in ("welch", "paired", "fdr")] == ["undecided"] * 3


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
    (result,) = judge({"claim": falling(*cells, metric="gflops")}, values, {"gflops": find_column("gflops").header}, {})
    assert result.verdict == expected


def exact(metric: str, **numbers: float) -> Values:
    return {row: {metric: Measured({0: np.array([number])}, 1, exact=True)} for row, number in numbers.items()}


def judged(values: Values, metric: str, **keys: Any) -> Result:  # noqa: ANN401
    """The verdict on one claim, which has to be one that a table may hold."""
    said = Claim(text="A sentence.", metric=metric, **keys).model_dump(exclude_none=True)
    known = metric in ("accuracy", "probe_gap", "parameters")
    column = find_column(metric).header if known else Header(metric, metric, "", 3, 0)
    (result,) = judge({"claim": said}, values, {metric: column}, {})
    return result


@pytest.mark.parametrize(("at_least", "expected"), [(1, "holds"), (2, "holds"), (3, "fails"), (None, "fails")])
def test_mostly_counts_exact_pairs(at_least: int | None, expected: str) -> None:
    values = exact("f", base=1.0, a=0.5, b=0.7, c=1.2)
    keys = {"left": ["a", "b", "c"], "relation": "<", "right": "base"}
    assert judged(values, "f", **keys, **({"at_least": at_least} if at_least else {})).verdict == expected


def test_an_exact_tie_is_on_no_side() -> None:
    values = exact("f", base=1.0, a=0.5, b=1.0, c=1.2)
    keys = {"left": ["a", "b", "c"], "relation": "<", "right": "base"}
    assert [judged(values, "f", **keys, at_least=k).verdict for k in (1, 2, 3)] == ["holds", "undecided", "fails"]


def test_that_k_of_n_pairs_are_on_a_side_has_the_p_of_a_partial_conjunction() -> None:
    values: Values = {
        "base": gaps(0, 0.1, 0.2), "far": gaps(20, 21, 22), "wide": gaps(10, 11, 12), "near": gaps(-1, 1, 1),
        "low": gaps(-9, -10, -11),
    }  # fmt: skip
    left = ["near", "far", "low", "wide"]
    result = judged(values, "probe_gap", left=left, relation=">", right="base", at_least=2)
    p = {pair["left"]: pair["p"] for pair in result.pairs}
    assert p["far"] < p["wide"] < 0.02 < p["near"]
    # The second smallest of those that are above, times 4 - 2 + 1.
    assert (result.p, result.left, result.verdict) == (pytest.approx(3 * p["wide"]), "wide", "holds")
    assert result.condition == "at least 2 of 4"
    # Three of four would need "near" too, which is above, but not surely.
    result = judged(values, "probe_gap", left=left, relation=">", right="base", at_least=3)
    assert (result.p, result.left, result.verdict) == (pytest.approx(min(1, 2 * p["near"])), "near", "undecided")
    # All four: one is below, and its p counts four times.
    result = judged(values, "probe_gap", left=left, relation=">", right="base")
    assert (result.p, result.left, result.verdict) == (pytest.approx(4 * p["low"]), "low", "fails")
    # Two of four smaller: that two are above decides, at (4 - 2 + 1) times the second smallest ... of three needed.
    result = judged(values, "probe_gap", left=left, relation="<", right="base", at_least=2)
    assert (result.p, result.left) == (pytest.approx(min(1, 2 * p["near"])), "near")


@pytest.mark.parametrize(("by", "expected"), [(10, "holds"), (40, "fails"), (30, "undecided")])
def test_by_asks_for_a_size(by: float, expected: str) -> None:
    result = judged(rows(high=0.9, low=0.6), "accuracy", left="high", relation=">", right="low", by=by)
    assert (result.verdict, result.condition) == (expected, f"by more than {by}")
    assert result.difference == pytest.approx(30 - by)
    assert (
        judged(rows(high=0.9, low=0.6), "accuracy", left="low", relation="<", right="high", by=by).verdict == expected
    )


@pytest.mark.parametrize(
    ("numbers", "exceptions", "expected"),
    [
        ([9, 8, 8.5, 7], None, "fails"),
        ([9, 8, 8.5, 7], 1, "holds"),
        ([9, 8, 8.5, 7, 7.5, 1], 1, "fails"),
        ([9, 8, 8.5, 7, 7.5, 1], 2, "holds"),
        ([8, 7, 9], 1, "fails"),  # the last is above the first
    ],
)
def test_almost_monotonic_allows_a_number_of_rises(numbers: list[float], exceptions: int | None, expected: str) -> None:
    values = exact("f", **{f"r{i}": number for i, number in enumerate(numbers)})
    keys = {"exceptions": exceptions} if exceptions else {}
    assert judged(values, "f", left=list(values), relation="falls", **keys).verdict == expected


def test_of_the_rises_the_first_beyond_the_exceptions_decides() -> None:
    shares = {"a": 0.9, "b": 0.5, "c": 0.8, "d": 0.4, "e": 0.5, "f": 0.1}
    result = judged(rows(**shares), "accuracy", left=list(shares), relation="falls")
    assert (result.left + result.right, result.verdict) == ("bc", "fails")
    result = judged(rows(**shares), "accuracy", left=list(shares), relation="falls", exceptions=1)
    assert (result.left + result.right, result.verdict) == ("de", "fails")
    result = judged(rows(**shares), "accuracy", left=list(shares), relation="falls", exceptions=2)
    assert (result.left + result.right, result.verdict, result.condition) == ("af", "holds", "all rows but 2")


@pytest.mark.parametrize(
    ("where", "expected", "other"), [("b", "holds", "d"), ("d", "fails", "b"), ("c", "fails", "b")]
)
def test_the_biggest_fall_is_deeper_than_every_other(where: str, expected: str, other: str) -> None:
    # Falls of 40, -10, 20 points.
    result = judged(rows(a=0.9, b=0.5, c=0.6, d=0.4), "accuracy", left=list("abcd"), relation="falls_most", right=where)
    assert (result.verdict, result.left, result.right) == (expected, where, other)
    assert result.difference == pytest.approx({"b": 40 - 20, "c": -10 - 40, "d": 20 - 40}[where])


def test_falls_are_compared_seed_by_seed() -> None:
    # Seeds differ by 100, and the falls of each by little: 10, 11, 12 against 5.
    values: Values = {
        "a": gaps(110, 211, 312), "b": gaps(100, 200, 300), "c": gaps(95, 195, 295),
    }  # fmt: skip
    result = judged(values, "probe_gap", left=list("abc"), relation="falls_most", right="b")
    assert (result.difference, result.verdict) == (pytest.approx(6), "holds")
    assert result.p == pytest.approx(stats.ttest_1samp([5, 6, 7], 0).pvalue, abs=1e-8)


@pytest.mark.parametrize(("tolerance", "expected"), [(0.25, "holds"), (0.2, "fails")])
def test_times_is_a_ratio_within_a_tolerance(tolerance: float, expected: str) -> None:
    values = exact("parameters", large=177.0, small=100.0)
    result = judged(values, "parameters", left="large", relation="times", right="small", factor=2, tolerance=tolerance)
    assert (result.verdict, result.difference, result.unit) == (expected, pytest.approx(1.77), "times")
    assert (result.basis, result.condition) == ("formula", f"2 ± {tolerance} times")


def test_a_verdict_says_whether_it_rests_on_data_on_none_or_on_generated_ones() -> None:
    more = claim("a", ">", "b")
    assert [result.basis for result in judge({"more": more}, rows(a=0.9, b=0.5), COLUMNS, {})] == ["experiment"]
    assert [result.basis for result in judge({"more": more}, exact("accuracy", a=1, b=0), COLUMNS, {})] == ["formula"]
    shrunk = judge({"more": more}, exact("accuracy", a=1, b=0), COLUMNS, {}, generated=True)
    assert [result.basis for result in shrunk] == ["generated"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"relation": ">", "left": "a"}, "give either right or right_metric"),
        ({"relation": ">", "right": "a"}, "> needs left"),
        ({"relation": ">", "left": "a", "right": "b", "factor": 2}, "> has no factor; it may have at_least, by, left"),
        ({"relation": ">", "left": ["a", "b"], "right": "c", "at_least": 3}, "at_least is 3, and there are 2 pairs"),
        ({"relation": "falls", "left": ["a"]}, "falls needs left: two rows or more, in order"),
        ({"relation": "falls", "left": ["a", "b"], "exceptions": 1}, "exceptions is 1, and there are 1 steps"),
        ({"relation": "falls_most", "left": ["a", "b", "c"], "right": "a"}, "right: one of them, but not the first"),
        ({"relation": "times", "left": "a", "right": "b", "factor": 2}, "times needs tolerance"),
        ({"relation": "equals_paper"}, "equals_paper needs tolerance"),
    ],
)
def test_a_claim_that_is_not_complete_is_an_error(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        Claim(text="A sentence.", metric="accuracy", **keys)
