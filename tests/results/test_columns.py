from pathlib import Path

import pytest

from avbalance.configuration.project import Project, read_project
from avbalance.configuration.references import _columns
from avbalance.errors import UserError
from avbalance.results.columns import describe


def test_an_unknown_column_is_named_with_what_is_allowed() -> None:
    with pytest.raises(UserError, match="'acc_audio_allone' does not exist; allowed: accuracy, top5, "):
        describe("acc_audio_allone")


@pytest.mark.parametrize("name", ["best_test_loss", "best_test_eer", "best_test_min_dcf05_vc1", "best_test_probe_gap"])
def test_what_no_history_holds_has_no_best_test_epoch(name: str) -> None:
    with pytest.raises(UserError, match=f"column '{name}' does not exist"):
        describe(name)


HEADINGS = {
    "video_accuracy": ("Video accuracy", "%", 1, 1),
    "map": ("Test mAP", "%", 1, 1),
    "map_audio_probe": ("Audio probe mAP", "%", 1, 1),
    "eer_VC1": ("VC1 EER", "%", 2, -1),
    "min_dcf": ("minDCF (p = 0.01)", "", 3, -1),
    "min_dcf05_VC2": ("VC2 minDCF (p = 0.05)", "", 3, -1),
    "best_test_accuracy": ("Test accuracy, best test epoch", "%", 1, 1),
    "best_test_min_dcf_VC1": ("VC1 minDCF (p = 0.01), best test epoch", "", 3, -1),
    "weight_joint": ("Joint weight", "", 3, 0),
    "fallback": ("Fallback to equal weights", "%", 0, 0),
    "ogr_audio": ("Audio OGR", "", 3, 0),
    "norm_growth_audio": ("Growth of audio weight norm", "", 3, 0),
    "angle_mean_visual": ("Visual angle, mean", "degrees", 1, 0),
    "loss_fluctuation": ("Fluctuation of the training loss", "nats", 3, 0),
    "gflops": ("GFLOPs (multiply-adds)", "", 2, 0),
    "parameters": ("Parameters", "millions", 2, 0),
}


@pytest.mark.parametrize("name", HEADINGS)
def test_headings_say_what_is_measured_and_which_way_is_better(name: str) -> None:
    assert describe(name) == (name, *HEADINGS[name])


def configure(folder: Path, columns: str, task: str = "single_label", more: str = "") -> Project:
    """The configuration of one table with these columns, on data of this task."""
    training = "training: {epochs: 1, batch_size: 1, learning_rate: 1.0, patience: 1, precision: float32}"
    generated = "sources: {generated: {generator: avmnist_miniature}}"
    dataset = f"title: x\nlicence: x\ncitation: x\ntask: {task}\nnum_classes: 9\nmodalities: [audio, visual]\n"
    reader = "voxceleb" if task == "verification" else "avmnist"
    files = {
        "config.yaml": "scale: tiny\ndevice: cpu\n",
        "scales/tiny.yaml": f"seeds: [0]\nthreads: 1\n{training}\ndatasets: {{}}\n",
        "datasets/x.yaml": f"{dataset}reader: {reader}\n{generated}\n{more}",
        "tables/t.yaml": "title: x\npaper: x\n"
        "rows: {a: {dataset: x, encoder: {audio: conv1net, visual: conv2net}, training: {monitor: true}}}\n"
        f"{columns}\n",
    }
    for name, content in files.items():
        (folder / "config" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "config" / name).write_text(content, encoding="utf-8")
    return read_project(folder, {})


MEDIA = "prepare: {views: {audio: {waveform: {sample_rate: 8000, seconds: 1.0}}, visual: {frames: {size: 8}}}}"


@pytest.mark.parametrize(("task", "more"), [("single_label", MEDIA), ("multi_label", ""), ("verification", MEDIA)])
def test_every_column_of_a_task_is_admitted_and_described(tmp_path: Path, task: str, more: str) -> None:
    project = configure(tmp_path, "columns: [parameters]", task, more)
    dataset = project.datasets["x"]
    columns = [name.replace("<list>", "vc1") for name in _columns(dataset, dataset.modalities)]
    assert len(columns) > 10
    configure(tmp_path, f"columns: [{', '.join(columns)}]", task, more)
    for column in columns:
        assert describe(column).name == column


@pytest.mark.parametrize(
    ("task", "column", "expected"),
    [
        ("single_label", "map", "allowed: acc_audio_alone, .*accuracy, .*best_test_accuracy, .* .x is single_label"),
        ("single_label", "video_accuracy", "did you mean 'val_accuracy'"),  # the clips of this reader are no windows
        ("multi_label", "acc_audio_probe", "did you mean 'map_audio_probe'. .x is multi_label"),
        ("verification", "map_audio_probe", ".*x is verification"),
        ("verification", "loss", "did you mean 'gflops'"),
        ("verification", "xyz", "allowed: best_test_eer_<list>, .*, eer, eer_<list>, "),
        ("verification", "best_test_eer", "did you mean 'best_test_eer_<list>'"),
    ],
)
def test_a_column_that_a_task_does_not_have_is_refused(tmp_path: Path, task: str, column: str, expected: str) -> None:
    with pytest.raises(UserError, match=rf"tables/t.yaml: columns: '{column}' is not a column; {expected}"):
        configure(tmp_path, f"columns: [{column}]", task, MEDIA if task == "verification" else "")


def test_a_figure_needs_one_class_a_clip(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="figure: 'curves' shows single_label data; x is multi_label"):
        configure(tmp_path, "figure: {curves: {}}", "multi_label")
