import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from avbalance.configuration.project import Project, read_project
from avbalance.configuration.references import traits_of
from avbalance.errors import UserError
from avbalance.results.columns import REGISTRY, base
from avbalance.results.columns.base import RowTraits, class_of, find_column, names_of, places_of
from avbalance.results.measure import measure
from avbalance.results.runs import Runs


def test_an_unknown_column_is_named_with_the_nearest_pattern() -> None:
    with pytest.raises(UserError, match="'acc_audio_maskd' does not exist; did you mean 'acc_<modality>_masked'"):
        find_column("acc_audio_maskd")


@pytest.mark.parametrize("name", ["best_test_loss", "best_test_eer", "best_test_min_dcf05_vc1", "best_test_probe_gap"])
def test_values_that_no_history_holds_have_no_best_test_epoch(name: str) -> None:
    with pytest.raises(UserError, match=f"column '{name}' does not exist"):
        find_column(name)


HEADINGS = {
    "video_accuracy": ("Video accuracy", "%", 1, 1),
    "map": ("Test mAP", "%", 1, 1),
    "map_audio_probe": ("Audio probe mAP", "%", 1, 1),
    "eer_VC1": ("VC1 EER", "%", 2, -1),
    "min_dcf": ("minDCF (p = 0.01)", "", 3, -1),
    "min_dcf05_VC2": ("VC2 minDCF (p = 0.05)", "", 3, -1),
    "best_test_accuracy": ("Test accuracy, best test epoch", "%", 1, 1),
    "best_test_min_dcf_VC1": ("VC1 minDCF (p = 0.01), best test epoch", "", 3, -1),
    "macro_f1": ("Macro F1", "%", 1, 1),
    "ece": ("Calibration error", "%", 1, -1),
    "acc_weakest_probe": ("Weakest probe", "%", 1, 1),
    "shapley_gap": ("Contribution gap", "points", 1, -1),
    "weight_joint": ("Joint weight", "", 3, 0),
    "shapley_audio": ("Audio contributes", "points", 1, 0),
    "alone_gap": ("Alone gap", "points", 1, 0),
    "curve_coefficient_audio": ("Coefficient audio, epoch kept", "", 3, 0),
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
    assert find_column(name).header == (name, *HEADINGS[name])


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
def test_every_column_of_a_task_is_admitted(tmp_path: Path, task: str, more: str) -> None:
    project = configure(tmp_path, "columns: [parameters]", task, more)
    names = names_of(traits_of(project.rows["t"]["a"], project.datasets["x"]))
    assert len(names) > 10
    configure(tmp_path, f"columns: [{', '.join(name.replace('<list>', 'vc1') for name in names)}]", task, more)


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


@pytest.mark.parametrize(
    ("column", "number", "limits"),
    [
        ("accuracy", 101.0, "0 to 100"),
        ("alone_gap", -1.0, "0 to 100"),
        ("shapley_audio", -101.0, "-100 to 100"),
        ("parameters", -1.0, "0 to "),
    ],
)
def test_expected_numbers_lie_within_the_limits_of_their_column(
    tmp_path: Path, column: str, number: float, limits: str
) -> None:
    with pytest.raises(UserError, match=rf"expected.a.{column}: found {number}; allowed: {limits}"):
        configure(tmp_path, f"columns: [{column}]\nexpected: {{a: {{{column}: {number}}}}}")


@pytest.mark.parametrize("pattern", REGISTRY)
def test_every_pattern_leads_to_its_own_class_and_says_what_it_means(pattern: str) -> None:
    column = find_column(pattern.replace("<", "").replace(">", ""))
    assert type(column) is class_of(pattern)
    assert "{" not in column.heading
    assert class_of(pattern).__doc__
    low, high = column.limits
    assert low in (0, -high)
    assert (high == 100) == (column.unit in ("%", "points"))
    assert all(sentence.endswith(".") for sentence in column.captions)


def test_every_class_is_in_the_registry() -> None:
    for file in Path(base.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and file.stem != "base":
                used = f"{file.stem}:{node.name}" in REGISTRY.values()
                assert used or node.name.startswith("Of"), node.name


def test_a_row_has_the_columns_of_its_modalities_and_curves_alone() -> None:
    traits = RowTraits("single_label", ("audio", "flow"), False, False, ("coefficient_audio",))
    names = names_of(traits)
    assert {"acc_flow_probe", "weight_joint", "curve_coefficient_audio"} <= set(names)
    assert not {"acc_visual_probe", "video_accuracy", "map", "eer", "probe_error"} & set(names)
    assert all(find_column(name).fits(traits) for name in names)
    assert not find_column("acc_visual_probe").fits(traits)
    assert not find_column("curve_coefficient_flow").fits(traits)
    assert find_column("curve_anything").fits(traits._replace(curves=None))


def test_the_code_of_a_table_is_that_of_its_columns() -> None:
    assert places_of(["accuracy", "shapley_audio", "shapley_visual"]) == [
        "avbalance.results.columns.accuracy:Accuracy",
        "avbalance.results.columns.shapley:Shapley",
    ]


OUTSIDE = """
from avbalance.results.columns.accuracy import Error


class Tenfold(Error):
    \"\"\"Ten times the error.\"\"\"

    heading = "Tenfold error"

    def value(self, run):
        return 10 * super().value(run)
"""


def test_a_column_from_outside_needs_no_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish_run: Callable[..., str]
) -> None:
    (tmp_path / "outside_column.py").write_text(OUTSIDE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    name = "outside_column:Tenfold"
    configure(tmp_path, f"columns: ['{name}']")
    run = publish_run("run", test_logits=6)
    entry = {"seed": 0, "run": run, "probe": None, "alone": {}}
    assert measure({"row": [entry]}, [name], Runs())["row"][name].means().tolist() == [250]
    assert places_of([name]) == [name]
    with pytest.raises(UserError, match="column 'outside_column:Twofold' cannot be imported"):
        find_column("outside_column:Twofold")
