"""Rows with `probe`: what is refused, and which artifacts they become."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avbalance import plan, registry
from avbalance.errors import UserError
from avbalance.planning import keys

ROOT = Path(__file__).parents[2]
TABLE = """
title: Layers
paper: ours
defaults: {dataset: grid_digit, modalities: [visual], encoder: conv2net}
rows:
  first: {probe: {layers: [conv1], reduction: {subset: {num: 50}}}}
  second: {probe: {layers: [conv2], reduction: {subset: {num: 50, seed: 0}}}}
  letters: {probe: {layers: [conv2], reduction: {subset: {num: 50}}, dataset: grid_letter}}
  pooled: {probe: {layers: [conv2]}}
  plain: {}
columns: [probe_error, accuracy]
"""


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., plan.Plan]:
    """Plans of the project's configuration with a table of its own, in which texts are replaced."""
    shutil.copytree(ROOT / "config", tmp_path / "config")

    def edit(*replaced: tuple[str, str]) -> plan.Plan:
        text = TABLE
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        (tmp_path / "config" / "tables" / "mine.yaml").write_text(text, encoding="utf-8")
        return plan.make(tmp_path, {"tables": "mine", "seeds": 0})

    return edit


def cells(made: plan.Plan) -> dict[str, dict[str, Any]]:
    target = made.targets[0]
    recipe = made.artifacts[target.removesuffix(".key")].recipe
    return {row: entries[0] for row, entries in recipe["settings"]["rows"].items()}


def test_rows_that_differ_in_layer_alone_share_one_artifact(make: Callable[..., plan.Plan]) -> None:
    made = make()
    found = cells(made)
    assert found["first"]["layers"]["probe"] == found["second"]["layers"]["probe"]
    assert found["first"]["layers"]["layers"] == ["conv1"]
    assert found["first"]["layers"]["snapshot"] is None
    assert "layers" not in found["plain"]
    assert len({found[row]["run"] for row in found}) == 1
    probes = {row: made.artifacts[found[row]["layers"]["probe"]].recipe for row in ("first", "letters", "pooled")}
    assert len({recipe["name"] for recipe in probes.values()}) == 3
    assert probes["first"]["settings"] == {
        "dataset": "grid_digit",
        "modality": "visual",
        "reduction": {"subset": {"num": 50, "seed": 0}},
        "layers": ["conv1", "conv2"],
        "snapshots": [None],
    }
    assert probes["first"]["code"] == keys.code_of(
        ["avbalance.probe:run", registry.place("feature_reduction", "subset")]
    )
    assert probes["pooled"]["code"] == keys.code_of(
        ["avbalance.probe:run", registry.place("feature_reduction", "mean")]
    )


def test_other_labels_are_of_other_data_than_the_run_was_trained_on(make: Callable[..., plan.Plan]) -> None:
    made = make()
    inputs = made.artifacts[cells(made)["letters"]["layers"]["probe"]].recipe["inputs"]
    assert "grid_letter" in inputs["data_visual"]
    assert "grid_digit" in inputs["trained_on_visual"]
    inputs = made.artifacts[cells(made)["first"]["layers"]["probe"]].recipe["inputs"]
    assert set(inputs) == {"weights", "data_visual", "trained_on_visual"}
    assert inputs["data_visual"] == inputs["trained_on_visual"]


def test_the_order_of_rows_does_not_matter(make: Callable[..., plan.Plan]) -> None:
    before = cells(make())
    after = cells(make(("[conv1]", "[conv0]"), ("[conv2]", "[conv1]"), ("[conv0]", "[conv2]")))
    assert before["first"]["layers"]["probe"] == after["first"]["layers"]["probe"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[conv1]", "[]", "rows.first.probe.layers: is empty; give at least one"),
        ("{layers: [conv1], ", "{", "rows.first.probe.layers: is missing"),
        ("layers: [conv1]", "layers: [conv1], snapsho: 1", "is not a key here; did you mean 'snapshot'?"),
        ("[conv1]", "[conv1, conv2]", "rows.first.probe.layers: a line of a table shows one layer, found conv1, conv2"),
        ("[conv1]", "['conv*']", "rows.first.probe.layers: a line of a table shows one layer, found conv*"),
        ("subset", "sbuset", "rows.first.probe.reduction: 'sbuset' is not a feature_reduction; did you mean 'subset'?"),
        ("num: 50", "number: 50", "rows.first.probe.reduction: 'subset' has no option 'number'; did you mean 'num'?"),
        ("grid_letter", "grid_leter", "rows.letters.probe.dataset: 'grid_leter' is not a dataset; did you mean"),
        ("grid_letter", "voxceleb_audio", "'voxceleb_audio' is not a dataset with 'visual'"),
        ("grid_letter", "mini_audioset", "the one label of a clip, and 'mini_audioset' is multi"),
        (
            "layers: [conv1]",
            "layers: [conv1], snapshot: 7",
            "first.probe.snapshot: the training keeps none, found 7",
        ),
        ("layers: [conv1]", "layers: [conv1], modality: audio", "'audio' is not a modality of this row"),
        ("modalities: [visual], ", "", "rows.first.probe.modality: is missing; choose one of audio, flow, visual"),
        ("probe_error", "probe_eror", "columns: 'probe_eror' is not a column; did you mean 'probe_error'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make: Callable[..., plan.Plan], old: str, new: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        make((old, new))
    assert "\n" not in str(error.value)
    assert expected in str(error.value)


def test_snapshots_are_those_that_training_keeps(make: Callable[..., plan.Plan]) -> None:
    kept = ("encoder: conv2net}", "encoder: conv2net, training: {snapshots: [0, 20]}}")
    found = cells(made := make(kept, ("[conv1]", "[conv1], snapshot: 20"), ("[conv2]", "[conv2], snapshot: 0")))
    assert [found[row]["layers"]["snapshot"] for row in ("first", "second", "pooled")] == [20, 0, None]
    recipe = made.artifacts[found["first"]["layers"]["probe"]].recipe
    assert recipe["settings"]["snapshots"] == [0, 20]
    with pytest.raises(UserError, match=r"snapshot: the training keeps 0, 20, found 10; add it to training.snapshots"):
        make(kept, ("[conv1]", "[conv1], snapshot: 10"))


def test_columns_of_layers_need_a_row_with_a_probe(make: Callable[..., plan.Plan]) -> None:
    probes = [re.search(r"{probe: .*}$", line) for line in TABLE.splitlines()]
    with pytest.raises(UserError, match="'probe_error' is not a column"):
        make(*((found[0], "{}") for found in probes if found))
