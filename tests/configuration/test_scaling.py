import shutil
from pathlib import Path

import pytest

from avbalance import plan
from avbalance.configuration import scaling
from avbalance.configuration.schema import Scale, ScaleDataset, Training
from avbalance.configuration.table_schema import Probing, Row
from avbalance.errors import UserError

ROOT = Path(__file__).parents[2]
TRAINING = Training(epochs=1, batch_size=1, learning_rate=0.1, patience=1, precision="float32")


def scaled(**changes: object) -> Row:
    scale = Scale(
        seeds=[0],
        threads=1,
        training=TRAINING,
        starts={"public": "images"},
        datasets={"digits": ScaleDataset(source="generated", moments={2000: 48})},
    )
    row = Row.model_validate({"dataset": "digits", "encoder": "resnet18", **changes})
    scaling.scale(row, scale)
    return row


def test_moments_that_a_scale_cannot_reach_are_replaced_in_training_and_probe() -> None:
    row = scaled(training={"moments": [0, 2000]}, probe=Probing(layers=["input"], moment=2000))
    assert row.training["moments"] == [0, 48]
    assert row.probe is not None
    assert row.probe.moment == 48


def test_moments_of_other_data_sets_stay() -> None:
    assert scaled(dataset="faces", training={"moments": [2000]}).training["moments"] == [2000]


def test_public_weights_are_replaced_by_a_run_on_a_data_set() -> None:
    assert scaled(pretrained={"visual": "public", "audio": "other"}).pretrained == {
        "visual": "images",
        "audio": "other",
    }
    assert scaled(pretrained=True).pretrained is True


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
    assert table.recipe["settings"]["generated"] == expected


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
