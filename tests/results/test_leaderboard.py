import numpy as np
import pytest
from scipy import stats

from avbalance.errors import UserError
from avbalance.results.columns.base import find_column
from avbalance.results.leaderboard import Standing, equal_budget, frame_of, geometric_mean, rank_methods
from avbalance.results.measure import Measured
from avbalance.results.over_datasets import OnDataset
from avbalance.results.statistics import mean_difference

ACCURACY = find_column("accuracy").header
BASELINES = ["joint", "twice"]


def on_dataset(title: str, **rows: tuple[list[float], float, float]) -> OnDataset:
    """Rows given as (a value a seed, passes, seconds)."""

    def cell(*values: float) -> Measured:
        return Measured({seed: np.array([value]) for seed, value in enumerate(values)}, len(values), title)

    values = {
        row: {"accuracy": cell(*accuracies), "passes": cell(*[passes] * 2), "train_seconds": cell(seconds)}
        for row, (accuracies, passes, seconds) in rows.items()
    }
    return OnDataset(title, {row: row.upper() for row in rows}, values)


DIGITS = on_dataset(
    "Digits",
    joint=([50, 52, 54], 10, 100),
    twice=([55, 57, 59], 20, 210),
    cheap=([60, 61, 65], 10.4, 150),
    dear=([56, 60, 64], 11, 300),
    dearest=([70, 71, 72], 40, 400),
)
LETTERS = on_dataset(
    "Letters", joint=([20, 22, 23], 30, 50), twice=([25, 24, 29], 60, 90), cheap=([19, 24, 27], 30, 25)
)


def found(*datasets: OnDataset) -> dict[str, Standing]:
    return {each.method: each for each in rank_methods(datasets, ACCURACY, BASELINES, ["dear"])}


def test_a_method_is_compared_with_the_joint_training_of_its_budget() -> None:
    standings = found(DIGITS)
    # 10.4 passes are within 5 % of 10, 11 are not; 40 are more than any baseline has.
    assert {name: each.budgets for name, each in standings.items()} == {
        "joint": [], "twice": [], "cheap": ["JOINT"], "dear": ["TWICE"], "dearest": ["TWICE"]
    }  # fmt: skip
    assert {name: each.gain.difference for name, each in standings.items()} == {
        "joint": 0, "twice": 0, "cheap": 10, "dear": 3, "dearest": 14
    }  # fmt: skip
    assert list(standings) == ["dearest", "cheap", "dear", "joint", "twice"]
    assert [each.role for each in standings.values()] == ["method", "method", "reference", "baseline", "baseline"]


@pytest.mark.parametrize(
    ("passes", "expected"),
    [(10.5, "a"), (10.51, "b"), (5, "a"), (99, "b"), (float("nan"), "b")],
)
def test_equal_budget_has_the_fewest_passes_that_suffice(passes: float, expected: str) -> None:
    assert equal_budget({"a": 10.0, "b": 20.0, "c": float("nan"), "m": passes}, ["b", "a", "c"], "m") == expected


def test_without_any_passes_the_first_baseline_is_meant() -> None:
    nothing = float("nan")
    assert equal_budget({"a": nothing, "b": nothing, "m": nothing}, ["a", "b"], "m") == "a"


def test_the_interval_of_the_mean_gain_by_hand() -> None:
    cheap = found(DIGITS, LETTERS)["cheap"]

    # Gains of 10 and 5/3. Variances between seeds, each below the upper tertile of the others as if that were a fourth.
    def variances(dataset: OnDataset) -> dict[str, tuple[float, float]]:
        own = {row: np.var(cells["accuracy"].means(), ddof=1) for row, cells in dataset.values.items()}
        usual = {row: np.quantile([own[other] for other in own if other != row], 2 / 3) for row in own}
        return {
            row: ((2 * own[row] + usual[row]) / 3 / 3, 3.0) if own[row] < usual[row] else (own[row] / 3, 2.0)
            for row in own
        }

    # `joint` and `twice` of DIGITS have equal variances but other means, so both count.
    parts = [variances(dataset)[row] for dataset in (DIGITS, LETTERS) for row in ("cheap", "joint")]
    total = sum(v for v, _ in parts) / 4
    df = total**2 / sum((v / 4) ** 2 / d for v, d in parts)
    half_width = stats.t.ppf(1 - 0.05 / 3 / 2, df) * np.sqrt(total)  # three rows are compared
    assert cheap.gain[:3] == pytest.approx((35 / 6, 35 / 6 - half_width, 35 / 6 + half_width), abs=1e-6)
    assert cheap.gain.p == pytest.approx(min(1, 3 * 2 * stats.t.sf(35 / 6 / np.sqrt(total), df)), abs=1e-6)


def test_ranks_and_costs_are_means_over_the_datasets_that_a_method_has() -> None:
    frame = frame_of(list(found(DIGITS, LETTERS).values()))
    frame = frame[frame["dataset"] == "all"].set_index("method")
    # Digits: dearest 71, cheap 62, dear 60, twice 57, joint 52. Letters: twice 26, cheap 23.3, joint 21.7.
    assert frame["rank"].to_dict() == {"dearest": 1, "cheap": 2, "dear": 3, "twice": 2.5, "joint": 4}
    assert frame["datasets"].to_dict() == {"dearest": 1, "cheap": 2, "dear": 1, "twice": 2, "joint": 2}
    assert frame["passes"]["cheap"] == pytest.approx(np.sqrt(1.04 * 1))
    assert frame["seconds"]["cheap"] == pytest.approx(np.sqrt(1.5 * 0.5))
    assert frame["seconds"]["twice"] == pytest.approx(np.sqrt(2.1 * 1.8))
    assert frame["gain"]["dearest"] == 14  # of digits alone
    assert frame["compared_with"]["cheap"] == "JOINT"


def test_the_gain_on_each_dataset_has_the_interval_that_it_has_alone() -> None:
    frame = frame_of(list(found(DIGITS, LETTERS).values()))
    letters = frame[frame["dataset"] == "Letters"].set_index("method")
    assert letters["gain"].to_dict() == pytest.approx({"cheap": 5 / 3})
    (alone,) = [each for each in rank_methods([LETTERS], ACCURACY, BASELINES, []) if each.method == "cheap"]
    contrast = alone.contrasts[0]  # one row is compared there, three in both together
    assert tuple(letters.loc["cheap", ["low", "high"]]) == mean_difference([contrast], 3)[1:3]
    assert (letters["rank"] == 2).all()
    assert "dataset" in frame_of(list(found(DIGITS).values()))
    assert len(frame_of(list(found(DIGITS).values()))) == 5  # of one dataset the means say all


def test_a_method_leads_over_the_hardest_reference() -> None:
    standings = {each.method: each for each in rank_methods([DIGITS], ACCURACY, BASELINES, ["dear", "twice"])}
    assert {name: each.hardest for name, each in standings.items()} == {
        "joint": "", "twice": "", "cheap": "dear", "dear": "", "dearest": "dear"
    }  # fmt: skip
    assert standings["cheap"].lead.difference == 2  # 62 - 60; over `twice` it is 5
    assert standings["dearest"].lead.difference == 11
    both = standings["cheap"].over["dear"]
    assert standings["cheap"].lead == mean_difference(both, 2)  # two methods are compared
    record = frame_of(list(standings.values())).set_index("method").loc["cheap"]
    assert (record["hardest"], record["lead"]) == ("dear", 2)
    assert record["lead_low"] < 2 < record["lead_high"]


def test_a_lower_error_is_a_gain() -> None:
    column = find_column("error").header
    datasets = [dataset._replace(values={
        row: {**cells, "error": cells["accuracy"]} for row, cells in dataset.values.items()
    }) for dataset in (DIGITS,)]  # fmt: skip
    standings = {each.method: each for each in rank_methods(datasets, column, BASELINES, [])}
    assert standings["cheap"].gain.difference == -10
    assert standings["cheap"].ranks == [4]
    assert standings["joint"].ranks == [1]


def test_one_seed_without_values_of_clips_has_no_interval() -> None:
    one = on_dataset("One", joint=([50], 10, 100), cheap=([60], 10, 100))
    cheap = found(one)["cheap"].gain
    assert (cheap.difference, cheap.low, cheap.high, cheap.p) == (10, -np.inf, np.inf, None)
    assert frame_of([found(one)["cheap"]]).loc[0, ["low", "high", "adjusted_p"]].isna().all()


def test_a_dataset_without_an_interval_leaves_the_mean_without_one() -> None:
    one = on_dataset("One", joint=([50], 10, 100), cheap=([60], 10, 100))
    assert np.isinf(found(DIGITS, one)["cheap"].gain.high)
    assert found(DIGITS, one)["cheap"].gain.difference == 10


def test_a_column_that_the_baseline_lacks_is_an_error() -> None:
    empty = OnDataset("x", {"joint": "Joint"}, {"joint": {"accuracy": Measured()}})
    with pytest.raises(UserError, match="'joint' has no value of 'accuracy' on any dataset"):
        found(empty)
    assert list(found(DIGITS, empty)) == list(found(DIGITS))


def test_unknown_costs_do_not_enter_a_mean() -> None:
    assert geometric_mean([2.0, 8.0, float("nan")]) == pytest.approx(4)
    assert np.isnan(geometric_mean([float("nan")]))
