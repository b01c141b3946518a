import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.errors import UserError
from avbalance.results.columns.base import artifacts_behind
from avbalance.results.comparisons import compare
from avbalance.results.measure import Measured, measure
from avbalance.results.runs import Runs


def entry(run: str, **others: str | int | dict[str, str]) -> dict[str, Any]:
    return {"seed": 0, "run": run, "probe": None, "alone": {}} | others


def publish(
    name: str,
    dataset: str = "demo",
    history: str = "epoch\n1\n",
    figures: dict[str, float] | None = None,
    **predictions: Any,  # noqa: ANN401
) -> str:
    """A run with these predictions, history.csv and metrics.json."""
    folder = Path("results/runs") / name
    recipe = {"step": "train", "name": name, "settings": {"dataset": dataset}, "inputs": {}}
    with store.publish(folder, recipe) as out:
        np.savez_compressed(out / "predictions.npz", **predictions)
        (out / "history.csv").write_text(history, encoding="utf-8")
        (out / "metrics.json").write_text(json.dumps(figures or {}), encoding="utf-8")
    return str(folder)


def cells(columns: list[str], **predictions: Any) -> dict[str, list[float]]:  # noqa: ANN401
    """The values of a run with these predictions; [] where it has no such column."""
    found = measure({"row": [entry(publish("run", **predictions))]}, columns, Runs())["row"]
    assert all(cell.num_seeds == len(cell.values) for cell in found.values())
    return {column: cell.values[0].tolist() if cell.values else [] for column, cell in found.items()}


def means(cell: Measured) -> list[float]:
    return [round(float(mean), 6) for mean in cell.means()]


def test_every_accuracy_is_read_from_the_logits_it_is_named_after(publish_run: Callable[..., str]) -> None:
    run = publish_run("joint", test_logits=6, test_masked_audio=4, test_masked_visual=5)
    probe = publish_run("probe", step="probe", test_probe_audio=1, test_probe_visual=7)
    alone = {"audio": publish_run("audio", test_logits=2), "visual": publish_run("visual", test_logits=3)}
    columns = ["accuracy"] + [f"acc_{m}_{kind}" for kind in ("alone", "masked", "probe") for m in ("audio", "visual")]
    values = measure({"row": [entry(run, probe=probe, alone=alone)]}, [*columns, "probe_gap"], Runs())["row"]
    # Shares of eight clips: 6, then alone 2 and 3, masked 4 and 5, probe 1 and 7; their gap 75 points.
    assert [means(values[column]) for column in columns] == [[75], [25], [37.5], [50], [62.5], [12.5], [87.5]]
    assert means(values["probe_gap"]) == [75]
    assert values["accuracy"].values[0].shape == (8,)
    assert values["probe_gap"].values[0].shape == (1,)


def test_a_gap_is_between_the_best_and_the_worst_modality(publish_run: Callable[..., str]) -> None:
    masked = {"test_masked_audio": 4, "test_masked_flow": 2, "test_masked_visual": 5, "test_masked_audio+flow": 8}
    run = publish_run("joint", test_logits=6, **masked)
    alone = {m: publish_run(m, test_logits=right) for m, right in (("audio", 2), ("visual", 7), ("flow", 3))}
    columns = ["alone_gap", "masked_gap"]
    found = measure({"row": [entry(run, alone=alone)], "audio": [entry(alone["audio"])]}, columns, Runs())
    # Of eight clips: 7 - 2, and 5 - 2; two modalities together are none.
    assert [means(found["row"][column]) for column in columns] == [[62.5], [37.5]]
    assert [found["audio"][column].num_seeds for column in columns] == [0, 0]
    gone = measure({"row": [entry(run, alone=alone | {"flow": "results/runs/none"})]}, columns, Runs())["row"]
    assert [(means(cell), cell.num_seeds) for cell in gone.values()] == [([], 1), ([37.5], 1)]


def test_contributions_of_two_modalities_by_hand(publish_run: Callable[..., str]) -> None:
    run = publish_run("joint", test_logits=6, test_masked_audio=5, test_masked_visual=1)
    columns = ["shapley_audio", "shapley_visual", "shapley_flow", "shapley_gap"]
    audio, visual, flow, gap = measure({"row": [entry(run)]}, columns, Runs())["row"].values()
    # Of eight clips 6 with both, 5, 1, and 3 of the first of two equally frequent classes without either.
    # Audio (5 - 3 + 6 - 1) / 2 = 3.5, visual (1 - 3 + 6 - 5) / 2 = -0.5; sum 6 - 3.
    assert [means(cell) for cell in (audio, visual)] == [[43.75], [-6.25]]
    assert audio.values[0].shape == (8,)
    assert (flow.num_seeds, flow.remark) == (0, "")
    assert means(gap) == [50]


def test_contributions_of_three_modalities_need_their_pairs(publish_run: Callable[..., str]) -> None:
    singles = {"test_masked_a": 4, "test_masked_b": 3, "test_masked_c": 3}
    pairs = {"test_masked_a+b": 6, "test_masked_a+c": 5, "test_masked_b+c": 3}
    runs = {"old": singles, "new": singles | pairs, "alone": {}}
    rows = {name: [entry(publish_run(name, test_logits=8, **right))] for name, right in runs.items()}
    found = measure(rows, ["shapley_a", "shapley_b", "shapley_c", "shapley_gap"], Runs())
    # a: (2 (4 - 3) + (6 - 3) + (5 - 3) + 2 (8 - 3)) / 6 = 17/6; b: (0 + (6 - 4) + (3 - 3) + 2 (8 - 5)) / 6 = 8/6;
    # c: (0 + (5 - 4) + (3 - 3) + 2 (8 - 6)) / 6 = 5/6; sum 5 = 8 - 3.
    assert [means(cell)[0] for cell in found["new"].values()] == pytest.approx(
        [100 * x / 48 for x in (17, 8, 5, 12)], abs=1e-6
    )
    assert {cell.remark for cell in found["old"].values()} == {
        "older runs do not say what two of three modalities tell; train them anew"
    }
    assert {(cell.num_seeds, cell.remark) for cell in found["alone"].values()} == {(0, "")}


@pytest.mark.usefixtures("here")
def test_costs_are_of_each_run() -> None:
    rows = [entry(publish(f"run{seed}", figures={"train_seconds": 60.0 + seed}, **CLIPS), seed=seed) for seed in (0, 1)]
    runs = Runs()
    seconds, memory = measure({"row": rows}, ["train_seconds", "peak_memory"], runs)["row"].values()
    assert means(seconds) == [60, 61]
    num_bytes = [runs[each["run"]].manifest["provenance"]["peak_memory_bytes"] for each in rows]
    assert means(memory) == pytest.approx([number / 2**20 for number in num_bytes])
    assert not seconds.exact


@pytest.mark.usefixtures("here")
def test_passes_are_summed_over_all_epochs() -> None:
    rows = {
        "staged": [entry(publish("staged", history="epoch,passes\n1,0.5\n2,0.5\n3,1\n", **CLIPS))],
        "old": [entry(publish("old", **CLIPS))],
    }
    found = measure(rows, ["passes"], Runs())
    assert means(found["staged"]["passes"]) == [2.0]
    assert list(found["old"]["passes"].values) == []


def test_loss_is_the_cross_entropy_of_each_clip(publish_run: Callable[..., str]) -> None:
    values = measure({"row": [entry(publish_run("run", test_logits=7))]}, ["loss"], Runs())["row"]["loss"].values[0]
    # Logits 2 for the class said and 0 for the other two: log(e^2 + 2) - 2 if right, log(e^2 + 2) if wrong.
    right = np.log(np.exp(2) + 2) - 2
    assert values == pytest.approx([right] * 7 + [right + 2])


def test_a_failed_run_is_missing_but_counted(publish_run: Callable[..., str]) -> None:
    run = publish_run("run-s0", test_logits=4)
    entries = [entry(run), entry("results/runs/run-s1") | {"seed": 1}]
    cell = measure({"row": entries}, ["accuracy"], Runs())["row"]["accuracy"]
    assert (list(cell.values), cell.num_seeds) == ([0], 2)


def test_a_column_that_a_row_does_not_have_is_not_counted_as_missing(publish_run: Callable[..., str]) -> None:
    run = publish_run("alone", test_logits=4)
    columns = ["acc_audio_alone", "acc_audio_masked", "acc_audio_probe", "probe_gap"]
    values = measure({"row": [entry(run)]}, columns, Runs())["row"]
    assert [(values[column].values, values[column].num_seeds) for column in columns] == [({}, 0)] * 4


def test_runs_tested_on_other_clips_are_refused(
    publish_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_run("first", test_logits=4)
    monkeypatch.setitem(publish_run.__globals__, "LABELS", np.array([1, 0, 2, 0, 1, 2, 0, 1]))
    other = publish_run("other", test_logits=4)
    with pytest.raises(UserError, match="its test clips are not those of"):
        measure({"a": [entry(first)], "b": [entry(other)]}, ["accuracy"], Runs())


def test_a_damaged_run_is_refused(publish_run: Callable[..., str]) -> None:
    run = publish_run("run", test_logits=4)
    (Path(run) / "predictions.npz").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        measure({"row": [entry(run)]}, ["accuracy"], Runs())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_clips_and_videos_have_accuracies_of_their_own() -> None:
    # Six classes. Clips say 0, 1, 1 of a video of class 1, and give class 5 of the other video the lowest logit.
    logits = np.array([[9, 0, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0], [0, 4, 0, 0, 0, 0], [5, 4, 3, 2, 1, 0]], np.float16)
    found = cells(
        ["accuracy", "top5", "video_accuracy", "video_top5", "map", "eer"],
        test_logits=logits,
        test_label=np.array([1, 1, 1, 5]),
        test_video=np.array([0, 0, 0, 1]),
    )
    # Mean softmax of the first video: class 0 (1 + 2 / 60) / 3, class 1 (0 + 2 * 55 / 60) / 3, about.
    assert found == {
        "accuracy": [0, 100, 100, 0],
        "top5": [100, 100, 100, 0],
        "video_accuracy": [100, 0],
        "video_top5": [100, 0],
        "map": [],
        "eer": [],
    }


@pytest.mark.usefixtures("here")
def test_macro_f1_and_calibration_error_are_of_all_clips_and_have_a_dash_elsewhere() -> None:
    # Class 0: TP 2 of 3 predicted and 2 labelled, F1 4/5; class 1: TP 1 of 1 and 2, F1 2/3. Probabilities 3/4 of four
    # clips, three of which are right: calibrated.
    logits = np.log(np.array([[3, 1], [3, 1], [3, 1], [1, 3]]))
    found = cells(["macro_f1", "ece"], test_logits=logits, test_label=np.array([0, 0, 1, 1]))
    assert found["macro_f1"] == pytest.approx([100 * (4 / 5 + 2 / 3) / 2])
    assert found["ece"] == pytest.approx([0], abs=1e-12)
    several = publish("several", test_logits=logits, test_label=np.array([[0, 1]] * 4))
    other = measure({"several": [entry(several)]}, ["macro_f1", "ece"], Runs())["several"]
    assert [cell.num_seeds for cell in other.values()] == [0, 0]


@pytest.mark.usefixtures("here")
def test_a_column_of_videos_is_empty_where_clips_are_of_no_video() -> None:
    assert cells(["video_accuracy"], test_logits=np.eye(3), test_label=np.arange(3)) == {"video_accuracy": []}


@pytest.mark.usefixtures("here")
def test_several_classes_are_ranked_by_video() -> None:
    # Two clips a video: class 0 separates; class 1, without negatives, has no value.
    logits = np.array([[4, 0], [-1, 0], [1, 0], [-4, 0]], np.float16)
    labels = np.array([[1, 1], [1, 1], [0, 1], [0, 1]], np.uint8)
    clips = {"test_logits": logits, "test_masked_audio": -logits, "test_label": labels}
    columns = ["map", "mauc", "map_audio_masked", "loss", "accuracy", "probe_gap"]
    found = cells(columns, **clips, test_video=np.array([0, 0, 1, 1]))
    losses = found.pop("loss")
    assert found == {"map": [100], "mauc": [100], "map_audio_masked": [50], "accuracy": [], "probe_gap": []}
    # log(1 + exp(-4)) of class 0 and log 2 of class 1
    assert losses[0] == pytest.approx((np.log1p(np.exp(-4)) + np.log(2)) / 2)
    assert len(losses) == 4


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("labels", "num_left_out", "num_seeds"), [([[1, 0, 1], [0, 0, 1]], 2, 1), ([[1, 0, 1], [1, 0, 1]], 3, 0)]
)
def test_classes_missing_from_test_are_left_out_and_said_to_be(
    labels: list[list[int]], num_left_out: int, num_seeds: int
) -> None:
    run = publish("run", test_logits=np.zeros((2, 3)), test_label=np.array(labels, np.uint8))
    for cell in measure({"row": [entry(run)]}, ["map", "mauc"], Runs())["row"].values():
        assert cell.remark == f"{num_left_out} of 3 classes have no positive or no negative test clip and are left out"
        # The class with both kinds: equal scores accept both clips at once, so precision and area are 1/2.
        assert (list(cell.means()), cell.num_seeds) == ([50.0] * num_seeds, num_seeds)


TRIALS = {
    "test_embedding": np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], np.float16),
    "test_label": np.array([7, 7, 8, 8]),
    # Cosines 0.6 of a target, 0.8 of another; 0 of a target, -1 of another.
    "trials_vc1": np.array([[0, 1, 1], [1, 2, 0]]),
    "trials_vc2": np.array([[2, 3, 1], [0, 3, 0]]),
}


@pytest.mark.usefixtures("here")
def test_a_column_of_verification_is_of_a_list_of_trials_or_of_all() -> None:
    columns = ["eer", "eer_vc1", "eer_vc2", "min_dcf", "min_dcf05_vc1", "min_dcf_vc2", "accuracy"]
    # All: 0.8 accepts 1 of 2 others, 0.6 and 0 then both targets: between (1/2, 1/2) and (1/2, 0) the rates meet.
    # A wrong acceptance costs 99 or 19 times a miss, so where one comes first it is best to accept none, cost 1.
    assert cells(columns, **TRIALS) == {
        "eer": [50],
        "eer_vc1": [100],
        "eer_vc2": [0],
        "min_dcf": [1],
        "min_dcf05_vc1": [1],
        "min_dcf_vc2": [0],
        "accuracy": [],
    }


@pytest.mark.usefixtures("here")
def test_an_unknown_list_of_trials_is_named_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="column 'eer_vc3': 'vc3' is not a list of trials; did you mean 'vc2'"):
        cells(["eer_vc3"], **TRIALS)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("changed", ["trials_vc1", "test_label", "test_video"])
def test_runs_on_one_data_set_with_other_trials_labels_or_videos_are_refused(changed: str) -> None:
    first = TRIALS | {"test_video": np.arange(4)}
    runs = [publish("first", **first), publish("other", **first | {changed: first[changed][::-1]})]
    with pytest.raises(UserError, match="other: its test clips are not those of the other runs on demo"):
        measure({"row": [entry(run, seed=seed) for seed, run in enumerate(runs)]}, ["eer"], Runs())


@pytest.mark.usefixtures("here")
def test_runs_of_different_modalities_are_compared_on_the_clips_that_all_have() -> None:
    """Sound has clips 0, 1, 3 and 4 and is right about 0 and 3; pictures have 0, 1, 2 and 4 and are right about all."""
    heard = {"test_clip": np.array([0, 1, 3, 4]), "test_label": np.zeros(4, int)}
    seen = {"test_clip": np.array([0, 1, 2, 4]), "test_label": np.zeros(4, int)}
    rows = {
        "sound": [entry(publish("sound", test_logits=np.eye(2)[[0, 1, 0, 1]], **heard))],
        "pictures": [entry(publish("pictures", test_logits=np.eye(2)[[0, 0, 0, 0]], **seen))],
    }
    runs = Runs(artifacts_behind(rows))
    cells = {row: found["accuracy"] for row, found in measure(rows, ["accuracy"], runs).items()}
    assert {row: cell.values[0].tolist() for row, cell in cells.items()} == {
        "sound": [100, 0, 0],
        "pictures": [100, 100, 100],
    }
    # Of the three common clips pictures alone are right about two: McNemar's p is 2 * (1/2)^2.
    difference = compare(cells, "pictures", "sound")
    assert difference is not None
    assert difference.difference == pytest.approx(200 / 3)
    assert difference.p == pytest.approx(0.5)
    about = runs.provenance()
    assert (about["num_clips"], about["num_clips_apart"]) == (3, 1)


@pytest.mark.usefixtures("here")
def test_trials_are_compared_where_all_rows_have_both_clips() -> None:
    embedding = np.eye(4)
    every = {"test_clip": np.arange(4), "trials_vc1": np.array([[0, 1, 1], [1, 2, 0], [2, 3, 0]])}
    fewer = {"test_clip": np.array([0, 2, 3]), "trials_vc1": np.array([[1, 2, 0]])}
    rows = {
        "sound": [entry(publish("sound", test_label=np.arange(4), test_embedding=embedding, **every))],
        "both": [entry(publish("both", test_label=np.array([0, 2, 3]), test_embedding=embedding[:3], **fewer))],
    }
    runs = Runs(artifacts_behind(rows))
    for row in ("sound", "both"):
        assert runs[rows[row][0]["run"]].predictions["trials_vc1"].tolist() == [[1, 2, 0]]


@pytest.mark.usefixtures("here")
def test_rows_on_two_data_sets_know_whose_clips_they_are_of() -> None:
    labels = np.arange(3)
    runs = Runs()
    rows = {
        data: [entry(publish(data, data, test_logits=np.eye(3), test_label=np.roll(labels, place)))]
        for place, data in enumerate(("digits", "letters"))
    }
    values = measure(rows, ["accuracy"], runs)
    assert {row: (cells["accuracy"].data, means(cells["accuracy"])) for row, cells in values.items()} == {
        "digits": ("digits", [100]),
        "letters": ("letters", [0]),
    }


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("is_target", [0, 1])
def test_trials_of_one_kind_have_no_value_and_say_so(is_target: int) -> None:
    trials = np.array([[0, 1, is_target], [1, 2, is_target]])
    run = publish("run", **TRIALS | {"trials_vc1": trials})
    found = measure({"row": [entry(run)]}, ["eer_vc1", "min_dcf_vc1", "eer_vc2", "eer"], Runs())["row"]
    assert [len(cell.values) for cell in found.values()] == [0, 0, 1, 1]
    assert [cell.num_seeds for cell in found.values()] == [0, 0, 1, 1]
    assert [cell.remark for cell in found.values()] == [
        "no value, for either every trial shows one person or none does"
    ] * 2 + [""] * 2


@pytest.mark.usefixtures("here")
@pytest.mark.filterwarnings("ignore:invalid value")
def test_no_loss_is_shown_where_logits_overflowed() -> None:
    run = publish("run", test_logits=np.array([[np.inf, 0], [1, 0]], np.float16), test_label=np.array([0, 1]))
    cell = measure({"row": [entry(run)]}, ["loss"], Runs())["row"]["loss"]
    assert (cell.values, cell.num_seeds) == ({}, 0)
    assert cell.remark == "no value where a run gives no finite number"


CLIPS = {"test_logits": np.eye(3), "test_label": np.arange(3)}


@pytest.mark.usefixtures("here")
def test_the_best_test_epoch_is_the_highest_or_of_errors_the_lowest() -> None:
    history = (
        "epoch,test_accuracy,test_map,test_eer_vc1,test_min_dcf_vc1,test_loss\n"
        "1,0.5,nan,0.4,0.9,2\n2,0.75,nan,0.125,0.7,1\n3,0.625,nan,0.25,0.8,3\n"
    )
    run = publish("run", history=history, **CLIPS)
    columns = [f"best_test_{name}" for name in ("accuracy", "map", "eer_vc1", "min_dcf_vc1", "mauc")]
    found = measure({"row": [entry(run)]}, columns, Runs())["row"]
    assert [means(cell) for cell in found.values()] == [[75], [], [12.5], [0.7], []]
    # An mAP of no class has no meaning; a history without mAUC has no such column.
    assert [cell.remark for cell in found.values()] == ["", "no value where a run gives no finite number", "", "", ""]
    assert [cell.num_seeds for cell in found.values()] == [1, 0, 1, 1, 0]
    assert found["best_test_accuracy"].values[0].shape == (1,)


@pytest.mark.usefixtures("here")
def test_the_best_test_epoch_of_an_unknown_list_of_trials_names_those_that_exist() -> None:
    run = publish("run", history="epoch,test_eer_vc1\n1,0.5\n", **TRIALS)
    with pytest.raises(
        UserError, match="column 'best_test_eer_vc3': 'vc3' is not a list of trials; did you mean 'vc1'"
    ):
        measure({"row": [entry(run)]}, ["best_test_eer_vc3"], Runs())


@pytest.mark.usefixtures("here")
def test_weights_and_ogr_are_those_of_the_last_epoch() -> None:
    blended = publish("blended", history="epoch,weight_audio,ogr_audio\n1,0.2,3\n2,0.7,1.5\n", **CLIPS)
    joint, risen = publish("joint", **CLIPS), publish("risen", history="epoch,ogr_audio\n1,inf\n", **CLIPS)
    rows = {"blended": [entry(blended)], "joint": [entry(joint)], "risen": [entry(risen)]}
    found = measure(rows, ["weight_audio", "ogr_audio"], Runs())
    assert [[means(cell) for cell in cells.values()] for cells in found.values()] == [
        [[0.7], [1.5]],
        [[], []],
        [[], []],
    ]
    assert found["joint"]["ogr_audio"].num_seeds == found["risen"]["ogr_audio"].num_seeds == 0
    assert found["risen"]["ogr_audio"].remark == "no value where a run gives no finite number"


@pytest.mark.usefixtures("here")
def test_a_seed_without_a_finite_number_is_missing_beside_those_that_have_one() -> None:
    runs = [publish(f"run{value}", history=f"epoch,ogr_audio\n1,{value}\n", **CLIPS) for value in ("2.5", "inf")]
    cell = measure({"row": [entry(run, seed=seed) for seed, run in enumerate(runs)]}, ["ogr_audio"], Runs())["row"]
    assert (means(cell["ogr_audio"]), cell["ogr_audio"].num_seeds) == ([2.5], 2)


@pytest.mark.usefixtures("here")
def test_multiply_adds_are_half_the_operations_and_parameters_are_in_millions() -> None:
    run = publish("run", figures={"multiply_adds_per_clip": 110_100_000_000, "num_parameters": 32_750_000}, **CLIPS)
    found = measure(
        {"row": [entry(run)], "older": [entry(publish("older", **CLIPS))]}, ["gflops", "parameters"], Runs()
    )
    assert [means(cell) for cell in found["row"].values()] == [[110.1], [32.75]]
    assert all(cell.exact for cell in found["row"].values())
    assert [cell.num_seeds for cell in found["older"].values()] == [0, 0]


COLUMNS = ["accuracy", "top5", "video_accuracy", "video_top5", "loss", "gflops"]


def said(*classes: int, num_classes: int = 4) -> dict[str, Any]:
    """Predictions of clips of class 0, in which these classes have the highest logit."""
    logits = 9.0 * np.eye(num_classes)[list(classes)]
    return {"test_logits": logits, "test_label": np.zeros(len(classes), np.int64)}


def combine(noun: list[dict[str, Any]], verb: list[dict[str, Any] | None]) -> dict[str, Measured]:
    """The cells of a row combined of two with these predictions a seed, on a data set each."""
    rows = {
        part: [
            entry(publish(f"{part}-s{seed}", part, **found) if found else "results/runs/none") | {"seed": seed}
            for seed, found in enumerate(seeds)
        ]
        for part, seeds in (("noun", noun), ("verb", verb))
    }
    return measure(rows, COLUMNS, Runs(), {"action": ["noun", "verb"]})["action"]


@pytest.mark.usefixtures("here")
def test_a_combined_row_is_right_where_all_its_rows_are() -> None:
    found = combine([said(0, 0, 1, 1)], [said(0, 2, 0, 3)])
    assert found["accuracy"].values[0].tolist() == [100, 0, 0, 0]
    # Classes that are not said are equal. Where one part errs, one pair is ahead and (0, 0) comes next. Where both do,
    # the pair that is said is ahead, and six in which one part says what it says.
    assert found["top5"].values[0].tolist() == [100, 100, 100, 0]
    assert found["accuracy"].data == "noun and verb"
    empty = [column for column, cell in found.items() if not cell.values]
    assert empty == ["video_accuracy", "video_top5", "loss", "gflops"]
    assert all(found[column].num_seeds == 0 for column in empty)


@pytest.mark.usefixtures("here")
def test_a_blend_says_how_often_it_fell_back_to_equal_weights_which_are_no_weights_of_its() -> None:
    # Super-epochs of epochs 1 and 2, 3, 4: the second has equal weights, and training may end there.
    lines = ["1,0.2,3,0,1", "2,0.2,3,0,1", "3,0.5,4,1,2", "4,0.7,1.5,0,3"]
    names = "epoch,weight_audio,ogr_audio,fallback,super_epoch\n"
    runs = [publish(f"run{n}", history=names + "\n".join(lines[:n]) + "\n", **CLIPS) for n in (4, 3, 2)]
    offline = publish("offline", history="epoch,weight_audio,fallback\n1,0.5,1\n2,0.5,1\n", **CLIPS)
    rows = {
        "online": [entry(run, seed=seed) for seed, run in enumerate(runs)],
        "offline": [entry(offline)],
        "joint": [entry(publish("joint", **CLIPS))],
    }
    found = measure(rows, ["weight_audio", "ogr_audio", "fallback"], Runs())
    online, alone = found["online"], found["offline"]
    assert means(online["fallback"]) == [33.333333, 50, 0]
    assert means(online["weight_audio"]) == [0.7, 0.2]  # of seeds 0 and 2
    assert online["weight_audio"].num_seeds == 3
    assert online["weight_audio"].remark == "runs that ended with equal weights, for no head generalised, are left out"
    assert means(online["ogr_audio"]) == [1.5, 4, 3]  # was measured all the same
    assert means(alone["fallback"]) == [100]
    assert (alone["weight_audio"].num_seeds, alone["weight_audio"].remark) == (0, online["weight_audio"].remark)
    assert found["joint"]["fallback"].num_seeds == 0


@pytest.mark.usefixtures("here")
def test_a_combined_row_averages_the_clips_of_a_video_in_each_part() -> None:
    videos = {"test_video": np.array([0, 0, 1, 1])}
    # Video 0: the noun's clips say 0 and 1 with logits 9 and 2, so 0; the verb's say 0. Video 1: the verb says 3.
    noun = said(0, 1, 0, 0) | videos
    noun["test_logits"][1] *= 2 / 9
    found = combine([noun], [said(0, 0, 3, 3) | videos])
    assert found["accuracy"].values[0].tolist() == [100, 0, 0, 0]
    assert found["video_accuracy"].values[0].tolist() == [100, 0]
    assert found["video_top5"].values[0].tolist() == [100, 100]


@pytest.mark.usefixtures("here")
def test_a_combined_row_needs_a_run_of_every_part() -> None:
    found = combine([said(0), said(0), said(0)], [said(0), None, said(1)])
    assert ({seed: value.tolist() for seed, value in found["accuracy"].values.items()}) == {0: [100], 2: [0]}
    assert found["accuracy"].num_seeds == 3


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("other", [said(0, 0), said(0, 0, 0) | {"test_video": np.array([0, 0, 1])}])
def test_rows_tested_on_other_clips_are_not_combined(other: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="combined row 'action': the rows that it combines are not tested on the same"):
        combine([said(0, 0, 0)], [other])


@pytest.mark.usefixtures("here")
def test_rows_of_several_labels_a_clip_are_not_combined() -> None:
    several = {"test_logits": np.zeros((1, 4)), "test_label": np.ones((1, 4), np.uint8)}
    found = combine([said(0)], [several])
    assert found["accuracy"].num_seeds == 0


def test_training_figures_are_of_the_kept_model(publish_run: Callable[..., str]) -> None:
    figures = {"train_accuracy": 0.75, "train_loss": 0.5, "val_accuracy": 0.625, "best_epoch": 7}
    run = publish("trained", figures=figures, test_label=np.array([0]), test_logits=np.eye(2)[:1])
    found = measure({"row": [entry(run)]}, [*figures, "error"], Runs())["row"]
    assert {column: means(cell) for column, cell in found.items()} == {
        "train_accuracy": [75], "train_loss": [0.5], "val_accuracy": [62.5], "best_epoch": [7], "error": [0],
    }  # fmt: skip


def test_a_loss_that_falls_steadily_does_not_fluctuate(publish_run: Callable[..., str]) -> None:
    # Second differences of the first: 3, 0, 0; of the second: 1, 2, 2 in size.
    steady = publish("steady", history="epoch,train_loss\n1,9\n2,5\n3,4\n4,3\n5,2\n", test_label=np.array([0]))
    rough = publish("rough", history="epoch,train_loss\n1,3\n2,3\n3,4\n4,3\n5,4\n", test_label=np.array([0]))
    short = publish("short", history="epoch,train_loss\n1,3\n2,3\n", test_label=np.array([0]))
    rows = {"steady": [entry(steady)], "rough": [entry(rough)], "short": [entry(short)]}
    found = measure(rows, ["loss_fluctuation"], Runs())
    assert means(found["steady"]["loss_fluctuation"]) == [0]
    assert means(found["rough"]["loss_fluctuation"]) == [2]
    assert found["short"]["loss_fluctuation"].remark == "no value where a run gives no finite number"


def test_norms_grow_from_the_first_epoch_to_the_last_and_angles_are_those_of_test_clips(
    publish_run: Callable[..., str],
) -> None:
    run = publish("angles", test_label=np.array([0, 1]), test_angle_audio=np.array([60.0, 80.0], np.float16))
    np.savez(Path(run) / "weight_norms.npz", weight_norm_audio=np.array([[1.0, 2.0], [9.0, 9.0], [2.0, 4.0]]))
    columns = [
        "norm_growth_audio",
        "angle_mean_audio",
        "angle_deviation_audio",
        "norm_growth_visual",
    ]
    found = measure({"row": [entry(run)]}, columns, Runs())["row"]
    # 1 and 2 of two classes; 60 and 80 degrees.
    assert [means(found[column]) for column in columns] == [[1.5], [70], [10], []]
    assert found["angle_mean_audio"].values[0].tolist() == [60, 80]


def test_the_super_epoch_of_the_least_gain_is_shown(publish_run: Callable[..., str]) -> None:
    lines = ["epoch,val_accuracy,naive_val_accuracy"]
    # Super-epochs end after epochs 2, 3 and 4: gains 10, -5 and 20 points.
    lines += ["1,0.1,nan", "2,0.5,0.4", "3,0.5,0.55", "4,0.8,0.6"]
    run = publish("online", history="\n".join(lines) + "\n", test_label=np.array([0]))
    columns = ["super_epoch_accuracy", "super_epoch_naive_accuracy"]
    runs = Runs()
    runs[run].settings["balancer"] = {"any": {"first": 2, "then": 1}}
    found = measure({"row": [entry(run)]}, columns, runs)["row"]
    assert [means(found[column]) for column in columns] == [[50], [55]]
    other = publish("other", test_label=np.array([0]))
    assert measure({"row": [entry(other)]}, columns, Runs())["row"]["super_epoch_accuracy"].num_seeds == 0
