from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from avbalance.results.statistics import (
    ALPHA,
    Contrast,
    Difference,
    Sample,
    Spread,
    benjamini_hochberg,
    contrast,
    difference,
    holm,
    mcnemar,
    mean_difference,
    plain_tests,
    sample,
    t_interval,
)


def test_t_interval_of_three_seeds_by_hand() -> None:
    # mean 2, s = 1, t_{0.975, 2} = 4.302653: half width 4.302653 / sqrt(3) = 2.484138.
    mean, half_width, n = t_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, n) == (2.0, 3)
    assert half_width == pytest.approx(2.484138, abs=1e-6)


def test_t_interval_is_that_of_scipy() -> None:
    values = np.array([91.2, 92.8, 90.1, 93.3, 92.0])
    mean, half_width, _ = t_interval(values)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half_width, mean + half_width) == pytest.approx((low, high))


def test_one_seed_has_no_interval() -> None:
    mean, half_width, n = t_interval(np.array([91.0]))
    assert (mean, n) == (91.0, 1)
    assert np.isnan(half_width)


def numbers(**rows: list[float]) -> dict[str, Sample]:
    """Rows of a single number a seed."""
    return sample({row: np.array(values)[:, None] for row, values in rows.items()})


def test_two_rows_have_the_test_of_welch() -> None:
    left, right = [5.0, 7.0, 6.5, 8.0], [4.0, 6.5, 1.0]
    rows = numbers(left=left, right=right)
    found = difference(rows["left"], rows["right"])
    expected = stats.ttest_ind(left, right, equal_var=False)
    assert found.difference == pytest.approx(np.mean(left) - np.mean(right))
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-8)


def test_one_row_has_the_t_test_against_0() -> None:
    values = [0.4, 1.1, -0.2, 0.9]
    found = difference(numbers(row=values)["row"])
    expected = stats.ttest_1samp(values, 0)
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-8)


def test_a_stable_row_is_moderated_and_an_unstable_one_stays() -> None:
    rows = numbers(stable=[10, 10, 10], usual=[9, 10, 11], loose=[8, 10, 12], wild=[0, 10, 20])
    # Variances 0, 1, 4 and 100. The upper tertile of three is a third of the way from the second to the last: 36 of 1,
    # 4 and 100, and of 0, 4 and 100; 34 of 0, 1 and 100; 2 of 0, 1 and 4. It is weighed as one seed beside two.
    spreads = {row: each.seeds for row, each in rows.items()}
    assert spreads["stable"] == pytest.approx(((2 * 0 + 36) / 3 / 3, 3))
    assert spreads["usual"] == pytest.approx(((2 * 1 + 36) / 3 / 3, 3))
    assert spreads["loose"] == pytest.approx(((2 * 4 + 34) / 3 / 3, 3))
    assert spreads["wild"] == pytest.approx((100 / 3, 2))


def test_two_rows_or_the_same_runs_in_many_lend_nothing() -> None:
    rows = numbers(a=[1, 2, 3], again=[1, 2, 3], b=[2, 6, 10], once_more=[2, 6, 10], single=[4])
    assert {row: each.seeds for row, each in rows.items()} == {
        "a": (1 / 3, 2), "again": (1 / 3, 2), "b": (16 / 3, 2), "once_more": (16 / 3, 2), "single": None
    }  # fmt: skip


def test_the_variance_of_seeds_and_clips_is_that_of_a_crossed_design() -> None:
    # y = seed + clip + rest: mean squares of a two-way layout by hand, E(MS) = S s_C^2 + C s_S^2 + s_rest^2.
    rng = np.random.default_rng(3)
    left = rng.normal(0, 2, (4, 1)) + rng.normal(0, 3, 50) + rng.normal(0, 1, (4, 50))
    found = difference(sample({"left": left})["left"])
    S, C = left.shape
    of_seeds = C * ((left.mean(axis=1) - left.mean()) ** 2).sum() / (S - 1)
    of_clips = S * ((left.mean(axis=0) - left.mean()) ** 2).sum() / (C - 1)
    rest = ((left - left.mean()) ** 2).sum() - of_seeds * (S - 1) - of_clips * (C - 1)
    rest /= (S - 1) * (C - 1)
    variance = (of_seeds + of_clips - rest) / (S * C)
    df = variance**2 / ((of_seeds / (S * C)) ** 2 / (S - 1) + ((of_clips - rest) / (S * C)) ** 2 / (C - 1))
    half_width = stats.t.ppf(0.975, df) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((left.mean() - half_width, left.mean() + half_width))


def test_one_seed_has_the_paired_t_test_over_clips() -> None:
    rng = np.random.default_rng(1)
    rows = {row: rng.random((1, 400)) for row in ("left", "right")}
    found = difference(*sample(rows).values())
    expected = stats.ttest_rel(rows["left"][0], rows["right"][0])
    assert found.p == pytest.approx(expected.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)), abs=1e-8)


def test_one_seed_of_right_and_wrong_clips_has_the_exact_test_of_mcnemar() -> None:
    left, right = (100.0 * np.array([clips]) for clips in ([1] * 8 + [0] * 4, [0] * 7 + [1] * 2 + [0] * 3))
    found = difference(*sample({"left": left, "right": right}).values())
    # Only left is right about 7 clips, only right about 1: 2 (1 + 8) / 2^8.
    assert found.p == pytest.approx(18 / 256, abs=1e-9)
    assert mcnemar(np.zeros(3, bool), np.zeros(3, bool)) == 1.0


@pytest.mark.parametrize("left", [[[2.0]], [[100.0, 0.0, 100.0]]])
def test_one_seed_is_not_tested_against_several_nor_a_single_number_at_all(left: list[list[float]]) -> None:
    right = np.array([left[0]] if len(left[0]) == 1 else [left[0], left[0][::-1]]) - 1
    found = difference(*sample({"left": np.array(left), "right": right}).values())
    assert found == Difference(1.0, -np.inf, np.inf)


@pytest.mark.parametrize(("shift", "p"), [(0.0, 1.0), (0.5, 0.0)])
def test_values_without_spread_are_sure(shift: float, p: float) -> None:
    rows = sample({"left": np.full((3, 4), 1 + shift), "right": np.full((3, 4), 1.0)})
    assert difference(rows["left"], rows["right"]) == Difference(shift, shift, shift, p)


def test_plain_tests_are_those_of_scipy_over_seeds() -> None:
    left, right = {0: 5.0, 1: 7.0, 2: 6.5, 7: 8.0}, {2: 1.0, 1: 6.5, 0: 4.0}
    welch_p, paired_p = plain_tests(left, right)
    a, b = list(left.values()), list(right.values())
    assert welch_p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, abs=1e-9)
    assert paired_p == pytest.approx(stats.ttest_rel([5.0, 7.0, 6.5], [4.0, 6.5, 1.0]).pvalue, abs=1e-9)
    assert plain_tests(left, dict.fromkeys(left, 0.0)) == pytest.approx([stats.ttest_1samp(a, 0).pvalue] * 2, abs=1e-9)


def test_plain_tests_need_two_seeds_and_are_sure_without_spread() -> None:
    assert plain_tests({0: 5.0}, {0: 4.0, 1: 2.0}) == (None, None)
    assert plain_tests({0: 5.0, 1: 4.0}, {2: 4.0, 3: 4.5})[1] is None
    assert plain_tests({0: 5.0, 1: 5.0}, {0: 4.0, 1: 4.0}) == (0.0, 0.0)
    assert plain_tests({0: 5.0, 1: 5.0}, {0: 5.0, 1: 5.0}) == (1.0, 1.0)


def test_the_interval_leaves_0_out_where_p_is_below_5_percent() -> None:
    rng = np.random.default_rng(2)
    found = [difference(sample({"row": rng.normal(shift, 1, (3, 20))})["row"]) for shift in np.linspace(-1, 1, 60)]
    decided = [each.p is not None and each.p < 0.05 for each in found]
    assert 10 < sum(decided) < 50
    assert [each.low > 0 or each.high < 0 for each in found] == decided


def test_pairing_by_clip_matters() -> None:
    # Both rows fail on the same hard clips; unpaired, a difference of 1 point would drown in their spread.
    hard = np.random.default_rng(6).random((1, 1000)) < 0.3
    right = np.repeat(~hard, 3, axis=0).astype(float)
    left = right.copy()
    left[:, np.flatnonzero(hard[0])[:10]] = 1.0
    found = difference(*sample({"left": left, "right": right}).values())
    assert found.difference == pytest.approx(0.01)
    assert found.low > 0
    assert stats.ttest_ind(left[0], right[0]).pvalue > 0.5


def test_holm_by_hand() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and the last is raised to 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_benjamini_and_hochberg_are_those_of_scipy() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4/1, 4/2, 4/3, 4/4: 0.02, 0.02, 0.04, 0.04.
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    p_values = np.random.default_rng(3).random(40) ** 3
    assert benjamini_hochberg(list(p_values)) == pytest.approx(stats.false_discovery_control(p_values))
    assert benjamini_hochberg([]) == []


def test_holm_is_the_closure_of_bonferroni() -> None:
    # The closure principle: a hypothesis falls where every set of hypotheses with it falls, a set of size k having
    # the p value k times its least. Among the sets of one size that with the other least p values decides.
    p_values = np.random.default_rng(3).random(7) ** 4
    adjusted = [
        max(
            min(1, len(chosen) * min(p_values[list(chosen)]))
            for size in range(1, 8)
            for chosen in combinations(range(7), size)
            if place in chosen
        )
        for place in range(7)
    ]
    assert holm(list(p_values)) == pytest.approx(adjusted)


NUM_ROWS, NUM_CLIPS = 9, 300
STABLE = np.full(NUM_ROWS, 0.1)
REGIMES = {
    # Seeds, and each row's deviation between them in evidence; of clips, 1 what all rows share and 1 the rest. Of real
    # rows 0.2 to 5 points of accuracy: 0.1 are 1.6 points here.
    "three seeds": (3, STABLE),
    "the first row unstable": (3, np.where(np.arange(NUM_ROWS) == 0, 0.6, STABLE)),
    "the last row unstable": (3, np.where(np.arange(NUM_ROWS) == 8, 0.6, STABLE)),
    "half of the rows unstable": (3, np.where(np.arange(NUM_ROWS) < 5, STABLE, 0.4)),
    "seeds agree": (3, 0 * STABLE),
    "five seeds": (5, np.geomspace(0.02, 0.6, NUM_ROWS)),
}


def tables(num_seeds: int, by_seed: NDArray[np.float64], number: int) -> Iterator[list[NDArray[np.float64]]]:
    """Rows of right (100) and wrong (0) clips, [seeds, clips], of which none is better."""
    rng = np.random.default_rng(7)
    for _ in range(number):
        hard, of_row = rng.normal(0, 1, NUM_CLIPS), rng.normal(0, 0.3, (NUM_ROWS, 1, NUM_CLIPS))
        evidence = hard + of_row + rng.normal(0, 1, (NUM_ROWS, num_seeds, NUM_CLIPS))
        # The more its seeds vary, the nearer a row is to one half, if nothing is done about it.
        evidence += np.sqrt((2.09 + by_seed**2) / 2.09)[:, None, None] * 1.2
        evidence += (by_seed[:, None] * rng.normal(0, 1, (NUM_ROWS, num_seeds)))[:, :, None]
        yield list(100.0 * (evidence > 0))


def compared(rows: list[NDArray[np.float64]], first: int = 0) -> list[Difference]:
    """A row against each other one."""
    samples = sample({str(place): row for place, row in enumerate(rows)})
    return [difference(samples[str(first)], samples[row]) for row in samples if row != str(first)]


def corrected(found: list[Difference]) -> list[float]:
    return holm([each.p for each in found if each.p is not None])


@pytest.mark.parametrize("regime", REGIMES)
def test_intervals_cover_no_difference_and_corrected_tests_find_none(regime: str) -> None:
    found, false, false_best = [], [], []
    for rows in tables(*REGIMES[regime], number=150):
        found.append(compared(rows))
        false.append(min(corrected(found[-1])) < ALPHA)
        best = int(np.argmax([row.mean() for row in rows]))
        false_best.append(min(corrected(compared(rows, best))) < ALPHA)
    covered = np.mean([each.low <= 0 <= each.high for table in found for each in table])
    # Two standard errors of 150 tables are 0.036; an unstable first row is common to all comparisons of its table.
    assert covered > 0.95 - 0.036
    assert np.mean(false) < ALPHA + 0.036
    assert np.mean(false_best) < ALPHA + 0.036  # the row that looks best is chosen by the same runs


def test_uncorrected_tests_would_find_differences_that_are_none() -> None:
    found = [compared(rows) for rows in tables(3, STABLE, number=100)]
    assert np.mean([any(each.p is not None and each.p < ALPHA for each in table) for table in found]) > 0.1


def test_other_rows_lend_power() -> None:
    # Of the wrong clips, one in five, half are set right: 10 points, 6 deviations of the seeds.
    both, alone = [], []
    for rows in tables(3, STABLE, number=40):
        better = 100.0 * (np.random.default_rng(len(both)).random(rows[0].shape) < 0.5)
        rows[0] = np.maximum(rows[0], better)
        both.append(np.mean([p < ALPHA for p in corrected(compared(rows))]))
        seeds = [stats.ttest_rel(rows[0].mean(axis=1), row.mean(axis=1)).pvalue for row in rows[1:]]
        alone.append(np.mean([p < ALPHA for p in holm(seeds)]))
    assert np.mean(both) > 0.6 > 0.3 > np.mean(alone)


def test_the_mean_of_one_difference_is_that_difference() -> None:
    rng = np.random.default_rng(0)
    rows = sample({row: rng.normal(0, 1, (3, 50)) for row in "abc"})
    assert mean_difference([contrast(rows["a"], rows["b"])]) == difference(rows["a"], rows["b"])


def test_the_mean_over_datasets_by_hand() -> None:
    # Means 1 and 4. Variance (0.5 + 0.3 + 1.2) / 4 = 0.5; df 0.25 / (0.125^2 / 4 + 0.075^2 / 2 + 0.3^2 / 9).
    contrasts = [Contrast(1.0, [Spread(0.5, 4), Spread(0.3, 2)]), Contrast(4.0, [Spread(1.2, 9)])]
    df = 0.25 / (0.125**2 / 4 + 0.075**2 / 2 + 0.3**2 / 9)
    for compared in (1, 40):
        found = mean_difference(contrasts, compared)
        half_width = stats.t.ppf(1 - 0.025 / compared, df) * np.sqrt(0.5)
        assert found[:3] == pytest.approx((2.5, 2.5 - half_width, 2.5 + half_width), abs=1e-8)
        assert found.p == pytest.approx(min(1, compared * 2 * stats.t.sf(2.5 / np.sqrt(0.5), df)), abs=1e-7)


def test_a_mean_with_a_dataset_of_unknown_spread_has_no_interval() -> None:
    found = mean_difference([Contrast(1.0, [Spread(0.5, 4)]), Contrast(2.0, None)])
    assert found == Difference(1.5, -np.inf, np.inf)


def test_simultaneous_intervals_of_means_over_datasets_cover_all_in_95_of_100_tables() -> None:
    rng = np.random.default_rng(0)
    num_rows, covered = 10, []
    for _ in range(100):
        samples = []
        for deviation in (1.0, 3.0):  # a dataset each; clips are shared by the rows, seeds are not
            clips, seeds = rng.normal(0, 2, 40), rng.normal(0, deviation, (num_rows, 3, 1))
            values = clips + seeds + rng.normal(0, 2, (num_rows, 3, 40))
            samples.append(sample({str(row): each for row, each in enumerate(values)}))
        means = [
            mean_difference([contrast(of[str(row)], of["0"]) for of in samples], num_rows - 1)
            for row in range(1, num_rows)
        ]
        covered.append(all(each.low <= 0 <= each.high for each in means))
    assert sum(covered) >= 92  # of 100; with a probability of 0.95 fewer would come by chance in 6 of 100
