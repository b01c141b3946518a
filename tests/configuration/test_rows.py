import shutil
from pathlib import Path

import pytest

from avbalance import plan
from avbalance.configuration.project import read_project
from avbalance.configuration.resolved import ResolvedProbe, ResolvedRow
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
SCALE = """
seeds: [0]
threads: 1
tables: []
training: {epochs: 2, batch_size: 8, learning_rate: 0.1, patience: 2, precision: float32}
methods: {encoder: {conv2net: {dropout: 0.25}}}
starts: {resnet18_imagenet: mnist}
datasets:
  mnist: {source: official, snapshots: {2000: 48}, training: {epochs: 3}}
  avmnist: {source: official}
"""


def row(folder: Path, text: str) -> ResolvedRow:
    """Row of a table at the scale above."""
    shutil.copytree(ROOT / "config", folder / "config")
    (folder / "config/scales/mine.yaml").write_text(SCALE, encoding="utf-8")
    table = f"title: Mine\npaper: ours\ncolumns: [accuracy]\nrows:\n  my_row: {text}\n"
    (folder / "config/tables/mine.yaml").write_text(table, encoding="utf-8")
    return read_project(folder, {"scale": "mine", "tables": "mine"}).rows["mine"]["my_row"]


PROBE = "probe: {layers: [input], snapshot: 2000}"


def test_a_row_is_resolved_into_every_option_of_every_method_and_every_key_of_training(tmp_path: Path) -> None:
    resolved = row(tmp_path, f"{{dataset: mnist, encoder: conv2net, training: {{snapshots: [0, 2000]}}, {PROBE}}}")
    assert resolved == ResolvedRow(
        label="my row",
        dataset="mnist",
        encoders={"visual": {"conv2net": {"dropout": 0.25}}},  # the scale's
        methods={"fusion": {"concat": {}}, "head": {"linear": {}}, "loss": {"joint": {}}, "balancer": {"joint": {}}},
        starts={},
        training={
            "epochs": 3,  # the scale's for this dataset
            "batch_size": 8,
            "learning_rate": 0.1,
            "patience": 2,
            "precision": "float32",
            "optimizer": "adam",
            "momentum": 0.0,
            "weight_decay": 0.0,
            "clip_norm": None,
            "decay_epochs": None,
            "decay_factor": 0.1,
            "select": "best",
            "snapshots": [0, 48],
            "augment": None,
            "monitor": False,
        },
        probe=ResolvedProbe("visual", "mnist", ["input"], 48, {"mean": {}}),
    )


def test_snapshots_of_other_datasets_stay(tmp_path: Path) -> None:
    text = "{dataset: avmnist, encoder: conv2net, modalities: [visual], training: {snapshots: [2000]}}"
    assert row(tmp_path, text).training["snapshots"] == [2000]


def test_public_weights_are_replaced_by_a_run_on_a_dataset_with_its_training(tmp_path: Path) -> None:
    text = "{dataset: avmnist, encoder: conv2net, modalities: [visual], pretrained: {visual: resnet18_imagenet}}"
    start = row(tmp_path, text).starts["visual"]
    assert isinstance(start, ResolvedRow)
    assert (start.dataset, start.training["epochs"], start.starts) == ("mnist", 3, {})


def test_encoders_that_are_pretrained_start_from_uni_modal_rows_of_the_same_data(tmp_path: Path) -> None:
    resolved = row(tmp_path, "{dataset: avmnist, encoder: conv2net, head: mlp, pretrained: true}")
    assert dict(resolved.starts) == {modality: resolved.alone(modality) for modality in ("audio", "visual")}
    alone = resolved.alone("audio")
    assert (alone.methods["head"], alone.starts, alone.training) == ({"linear": {}}, {}, resolved.training)


def test_a_row_that_is_not_trained_starts_from_a_run_that_is() -> None:
    planned = plan.make(ROOT, {"scale": "miniature", "tables": "probes_table4", "seeds": 0})
    runs = {name: each.recipe for name, each in planned.artifacts.items() if each.recipe["step"] == "train"}
    start, probed = sorted(runs.values(), key=lambda recipe: recipe["settings"]["training"]["epochs"], reverse=True)
    assert probed["settings"]["training"]["epochs"] == 0
    assert start["settings"]["training"]["epochs"] == 4
    assert start["settings"]["encoder"] == probed["settings"]["encoder"]
    assert Path(probed["inputs"]["pretrained_visual"]).name == start["name"]
    assert probed["inputs"]["pretrained_head"] == probed["inputs"]["pretrained_visual"]


GENERATED = "avmnist: {source: generated,"


@pytest.mark.parametrize(
    ("source", "expected"),
    [(GENERATED, ["AV-MNIST", "GRID s1, letters"]), ("avmnist: {source: official,", ["GRID s1, letters"])],
)
def test_the_source_of_data_says_whether_they_are_generated_and_not_the_name_of_the_scale(
    tmp_path: Path, source: str, expected: list[str]
) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    scale = (tmp_path / "config/scales/miniature.yaml").read_text(encoding="utf-8")
    assert GENERATED in scale
    reader = ", reader: {num_train: 400, num_test: 200, image_noise: 0.3, audio_snr_db: 10.0}"  # options of a generator
    mine = scale.replace(GENERATED, source).replace(reader, reader if source == GENERATED else "", 1)
    (tmp_path / "config/scales/mine.yaml").write_text(mine, encoding="utf-8")
    (tmp_path / "config/tables/mixed.yaml").write_text(
        "title: Mixed\npaper: ours\ndefaults: {fusion: concat}\ncolumns: [accuracy]\nrows:\n"
        "  digits: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}\n"
        "  letters: {dataset: grid_letter, modalities: [audio, visual], encoder: resnet18}\n",
        encoding="utf-8",
    )
    planned = plan.make(tmp_path, {"scale": "mine", "tables": "mixed"})
    (table,) = (each for each in planned.artifacts.values() if each.folder == "tables/mine")
    assert table.settings["generated"] == expected


def test_a_start_that_is_no_data_set_is_the_users_error(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "config", tmp_path / "config")
    scale = tmp_path / "config/scales/miniature.yaml"
    scale.write_text(
        scale.read_text(encoding="utf-8").replace("resnet50_imagenet: imagenet}", "resnet50_imagenet: imagnet}"),
        encoding="utf-8",
    )
    with pytest.raises(
        UserError, match=r"starts\.resnet50_imagenet: 'imagnet' is not a dataset; did you mean 'imagenet'"
    ):
        plan.make(tmp_path, {"scale": "miniature", "tables": "probes_table4"})
