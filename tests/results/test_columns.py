from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import config, store
from avbalance.cli import UserError
from avbalance.results.columns import Measured, describe, measure
from avbalance.results.runs import Runs


def entry(run: str, **others: str | dict[str, str]) -> dict[str, Any]:
    return {"seed": 0, "run": run, "probe": None, "alone": {}} | others


def publish(name: str, data: str = "results/prep/demo", **predictions: Any) -> str:  # noqa: ANN401
    """A run with these predictions."""
    folder = Path("results/runs") / name
    recipe = {"step": "train", "name": name, "settings": {}, "inputs": {"data": data}}
    with store.publish(folder, recipe) as out:
        np.savez_compressed(out / "predictions.npz", **predictions)
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


def test_an_unknown_column_is_named_with_what_is_allowed() -> None:
    with pytest.raises(UserError, match="'acc_audio_allone' does not exist; allowed: accuracy, top5, "):
        describe("acc_audio_allone")


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
def test_where_no_class_has_a_value_there_is_no_map() -> None:
    found = cells(["map", "mauc"], test_logits=np.zeros((2, 3)), test_label=np.zeros((2, 3), np.uint8))
    assert found == {"map": [], "mauc": []}


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
    with pytest.raises(UserError, match="other: its test clips are not those of the other runs on results/prep/demo"):
        measure({"row": [entry(run, seed=seed) for seed, run in enumerate(runs)]}, ["eer"], Runs())


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


def test_headings_say_what_is_measured_and_which_way_is_better() -> None:
    names = ("video_accuracy", "map", "map_audio_probe", "eer_VC1", "min_dcf", "min_dcf05_VC2")
    assert [describe(name)[1:] for name in names] == [
        ("Video accuracy", "%", 1, 1),
        ("Test mAP", "%", 1, 1),
        ("Audio probe mAP", "%", 1, 1),
        ("VC1 EER", "%", 2, -1),
        ("minDCF (p = 0.01)", "", 3, -1),
        ("VC2 minDCF (p = 0.05)", "", 3, -1),
    ]


def configure(folder: Path, columns: str, task: str = "single_label", more: str = "") -> None:
    """Load a configuration of one table with these columns, on data of this task."""
    training = "training: {epochs: 1, batch_size: 1, learning_rate: 1.0, patience: 1, precision: float32}"
    generated = "sources: {generated: {generator: avmnist_miniature}}"
    dataset = f"title: x\nlicence: x\ncitation: x\ntask: {task}\nnum_classes: 9\nmodalities: [audio, visual]\n"
    files = {
        "config.yaml": "scale: tiny\ndevice: cpu\n",
        "scales/tiny.yaml": f"seeds: [0]\nthreads: 1\n{training}\ndatasets: {{}}\n",
        "datasets/x.yaml": f"{dataset}reader: avmnist\n{generated}\n{more}",
        "tables/t.yaml": "title: x\npaper: x\n"
        "rows: {a: {dataset: x, encoder: {audio: conv1net, visual: conv2net}}}\n"
        f"{columns}\n",
    }
    for name, content in files.items():
        (folder / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "config" / name).write_text(content)
    config.load(folder, {})


MEDIA = "prepare: {views: {audio: {waveform: {sample_rate: 8000, seconds: 1.0}}, visual: {frames: {size: 8}}}}"


@pytest.mark.parametrize(
    ("task", "columns", "more"),
    [
        ("single_label", "accuracy, top5, loss, probe_gap, acc_audio_alone", ""),
        ("single_label", "video_accuracy, video_top5", MEDIA),
        ("multi_label", "map, mauc, loss, map_audio_probe, map_visual_masked", ""),
        ("verification", "eer, eer_vc1, min_dcf, min_dcf_vc1, min_dcf05, min_dcf05_VC2", ""),
    ],
)
def test_every_column_of_a_task_is_admitted_and_described(tmp_path: Path, task: str, columns: str, more: str) -> None:
    configure(tmp_path, f"columns: [{columns}]", task, more)
    for column in columns.split(", "):
        assert describe(column).name == column


@pytest.mark.parametrize(
    ("task", "column", "expected"),
    [
        ("single_label", "map", "allowed: acc_audio_alone, .*accuracy, loss, probe_gap, top5 .x is single_label"),
        ("single_label", "video_accuracy", "did you mean 'accuracy'"),  # the clips of this reader are no windows
        ("multi_label", "acc_audio_probe", "did you mean 'map_audio_probe'. .x is multi_label"),
        ("verification", "map_audio_probe", "allowed: eer, eer_<list>, min_dcf, .*_<list> .x is verification"),
        ("verification", "loss", "allowed: eer"),
    ],
)
def test_a_column_that_a_task_does_not_have_is_refused(tmp_path: Path, task: str, column: str, expected: str) -> None:
    with pytest.raises(UserError, match=rf"tables/t.yaml: columns: '{column}' is not a column; {expected}"):
        configure(tmp_path, f"columns: [{column}]", task)


def test_a_figure_needs_one_class_a_clip(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="figure: a figure shows single_label data; x is multi_label"):
        configure(tmp_path, "figure: {curves: {}}", "multi_label")
