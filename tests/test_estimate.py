from pathlib import Path
from typing import Any

import pytest

from avbalance import estimate, plan
from avbalance.configuration.project import Project, read_project
from avbalance.planning.artifacts import Plan

ROOT = Path(__file__).parents[1]
MLP = {
    "encoder": {"visual": {"skip_mlp": {"depth": 16, "width": 10, "skip": False}}},
    "fusion": "concat",
    "head": "linear",
}


@pytest.fixture(scope="module")
def paper() -> Project:
    return read_project(ROOT, {"scale": "paper"})


def test_operations_of_a_perceptron_are_those_counted_by_hand() -> None:
    # 16 layers and the head, 2 operations a weight: 784 x 10 + 15 x 10 x 10 + 10 x 3 weights
    assert estimate.forward_operations(MLP, {"visual": (1, 28, 28)}, 3) == 2 * (7840 + 1500 + 30)


@pytest.mark.parametrize(
    ("training", "passes"),
    [
        # 10 x (3 x 80 + 20) + 2 x (80 + 20) + 50
        ({"epochs": 10, "monitor": False}, 2850),
        # 10 x (3 x 80 + 20 + 50 + 20) + 2 x (80 + 20) + 50
        ({"epochs": 10, "monitor": True}, 3550),
        ({"epochs": 0, "monitor": False}, 250),
    ],
)
def test_passes_of_a_run_are_those_counted_by_hand(training: dict[str, Any], passes: int) -> None:
    assert estimate.training_passes(training, {"train": 80, "val": 20, "test": 50}) == passes


def test_windows_follow_from_lists_val_fraction_and_windows_of_a_clip(paper: Project) -> None:
    # 8 % of 240,000 are held out; a test clip has ten windows
    assert estimate.windows_of(paper, "kinetics400") == {"train": 220_800, "val": 19_200, "test": 200_000}
    assert estimate.windows_of(paper, "ave") == {"train": 3339, "val": 402, "test": 402}
    assert estimate.windows_of(paper, "avmnist") == {"train": 48_000, "val": 12_000, "test": 10_000}
    laptop = read_project(ROOT, {"scale": "laptop"})
    assert estimate.windows_of(laptop, "avmnist") == {"train": 2400, "val": 600, "test": 2000}


def test_bytes_are_those_of_stored_pictures_and_half_precision_sound(paper: Project) -> None:
    arrays = estimate.arrays_of(paper, "cremad")
    assert arrays == {"audio": ((257, 299), 2 * 257 * 299), "visual": ((3, 224, 224), 3 * 360 * 480)}
    assert estimate.arrays_of(paper, "avmnist")["audio"] == ((8000,), 16000)


@pytest.mark.parametrize("scale", ["paper", "miniature"])
def test_the_views_of_every_dataset_can_be_made(scale: str) -> None:
    project = read_project(ROOT, {"scale": scale})
    for name, dataset in project.datasets.items():
        if dataset.prepare is not None:
            assert list(estimate.arrays_of(project, name)) == dataset.modalities


@pytest.mark.parametrize("dataset", ["avmnist", "avmnist_spectrogram", "mnist"])
def test_declared_shapes_are_those_of_the_arrays(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avbalance.data.prepared import folders_of, read_description
    from avbalance.prepare import download, pack

    project = read_project(ROOT, {"scale": "miniature"})
    made = plan.make(ROOT, {"scale": "miniature", "datasets": [dataset]})
    monkeypatch.chdir(tmp_path)
    by_step = {artifact.step: artifact for artifact in made.artifacts.values()}
    download.download(by_step["download"].recipe, Path(by_step["download"].path))
    pack.pack(by_step["pack"].recipe, Path(by_step["pack"].path))
    modalities = read_description(folders_of(by_step["audit"].inputs))["modalities"]
    assert {name: entry["shape"] for name, entry in modalities.items()} == project.datasets[dataset].shapes


def test_runs_that_tables_share_count_once_in_the_total() -> None:
    asked = {"scale": "paper", "tables": ["mmcosine_table2", "mmcosine_fig3", "mmcosine_fig4"]}
    bills, total = estimate.estimate(read_project(ROOT, asked))
    assert [bill.num_runs for bill in bills.values()] == [2, 2, 2]
    assert total.num_runs == 2
    assert total.raw == {"cremad": 3.05}
    # 7,442 clips
    assert total.gigabytes["cremad", "audio"] == pytest.approx(7442 * 2 * 257 * 299 / 1e9)
    table, *figures = bills.values()
    forward = estimate.forward_operations(
        {"encoder": {"audio": "resnet18", "visual": "resnet18"}, "fusion": "concat", "head": "linear"},
        {"audio": (257, 299), "visual": (3, 224, 224)},
        6,
    )
    # 200 epochs of 6,028 clips of train and 670 of val, after each 744 of test and 670 of train; probes of both runs
    passes = 200 * (3 * 6028 + 670 + 744 + 670) + 2 * 6698 + 744
    assert figures[0].operations == pytest.approx(2 * passes * forward, rel=1e-4)
    assert table.operations - figures[0].operations == pytest.approx(2 * 7442 * forward, rel=1e-4)


def test_what_exists_is_not_counted(planned: Plan) -> None:
    needed = planned.wanted_by(artifact for artifact in planned.artifacts.values() if artifact.kind == "tables")
    runs = [artifact for artifact in needed if artifact.kind == "runs"]
    assert estimate.bill_of(planned, needed).num_runs == len(runs) == 4
    for product in runs[0].products.values():
        path = planned.project.root / product
        path.parent.mkdir(parents=True)
        path.write_text("{}", encoding="utf-8")
    again = planned.wanted_by(artifact for artifact in planned.artifacts.values() if artifact.kind == "tables")
    assert estimate.bill_of(planned, again).num_runs == 3


def test_a_scale_without_rates_needs_them_as_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["avbalance estimate", "scale=laptop", "tables=[avmnist_fig1]"])
    with pytest.raises(estimate.UserError, match="scale laptop declares no rates; give --tflops"):
        estimate.main()
