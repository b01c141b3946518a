"""What rows may not combine, and what a plan makes of those that it may: before anything runs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avbalance import plan
from avbalance.errors import UserError
from avbalance.planning.artifacts import Artifact, Plan

ROOT = Path(__file__).parents[2]
GRID = "dataset: grid_digit, encoder: {resnet18: {width: 8}}"
TABLE = """
title: Rows
paper: ours
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}
rows:
  mine: ROW
columns: [COLUMN]
"""


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """The plan of a table with one row."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for table in (tmp_path / "config" / "tables").iterdir():
        table.unlink()
    scales = tmp_path / "config" / "scales"
    (scales / "laptop.yaml").unlink()  # it names tables
    lines = (scales / "paper.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("seeds_of:")]  # so does this
    (scales / "paper.yaml").write_text("".join(kept), encoding="utf-8")

    def make(row: str, column: str = "accuracy", **overrides: Any) -> Plan:  # noqa: ANN401
        text = TABLE.replace("ROW", row).replace("COLUMN", column)
        (tmp_path / "config" / "tables" / "mine.yaml").write_text(text, encoding="utf-8")
        return plan.make(tmp_path, {"tables": "mine", "seeds": 0, **overrides})

    return make


def runs_of(made: Plan) -> list[Artifact]:
    return [artifact for artifact in made.artifacts.values() if artifact.folder == "runs"]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("balancer: g_blend", "accuracy", "balancer: 'g_blend' needs loss `unimodal`, found 'joint'"),
        ("balancer: g_blend_online, loss: uncertainty", "accuracy", "balancer: 'g_blend_online' needs loss `unimodal`, found 'uncertainty'"),
        ("balancer: g_blend, loss: unimodal, modalities: [audio]", "accuracy", "balancer: 'g_blend' ... two modalities or more, found audio"),
        ("balancer: ogm_ge, modalities: [audio]", "accuracy", "balancer: 'ogm_ge' ... two modalities or more, found audio"),
        ("balancer: modality_dropout, modalities: [audio]", "accuracy", "balancer: 'modality_dropout' ... two modalities or more, found audio"),
        ("balancer: g_blend_online, loss: {unimodal: {weight: 0.5}}", "accuracy", "balancer: 'g_blend_online' ... weight ... found 0.5"),
        (f"{GRID}, fusion: film", "accuracy", "fusion: 'film' ... exactly two modalities, found audio, flow, visual"),
        ("dataset: mini_audioset, encoder: {resnet18: {width: 8}}, balancer: ogm_ge", "map", "balancer: 'ogm_ge' ... `single_label` or `verification` data, found multi_label"),
        ("balancer: ogm", "accuracy", "balancer: 'ogm' ... `sgd` ... found 'adam' ... train the table with optimizer: sgd, or"),
        ("balancer: ogm_ge, training: {learning_rate: 0.1}", "accuracy", "balancer: 'ogm_ge' ... `sgd` ... found 'adam'"),
        ("balancer: {mslr: {rates: [0.9, 1.1, 1.0]}}, training: {optimizer: sgd}", "accuracy", "balancer: 'mslr' needs at most one value of `rates` for each modality, found 3 for audio, visual; leave values out"),
        ("balancer: {inforeg: {b: [0.9, 0.1, 0.1]}}", "accuracy", "balancer: 'inforeg' ... of `b` ... found 3 for audio, visual"),
        ("head: {boosted: {shares: [0.4, 0.3, 0.3]}}, balancer: aug", "accuracy", "head: 'boosted' ... of `shares` ... found 3"),
        ("balancer: {inforeg: {b: {visual: 0.1}}}", "accuracy", "balancer: inforeg.b: found {'visual': 0.1}; input should be a valid list"),
        ("balancer: auxiliary_branch", "accuracy", "balancer: 'auxiliary_branch' needs an encoder with an auxiliary branch ... option branch"),
        ("fusion: mid_concat", "accuracy", "fusion: 'mid_concat' needs encoders with feature maps, found 'conv1net' for audio"),
        (f"{GRID}, fusion: mid_concat, pretrained: true", "accuracy", "fusion: 'mid_concat' ... not `pretrained` ... leave pretrained out"),
        ("fusion: mmtm", "accuracy", "fusion: 'mmtm' needs encoders with feature maps, found 'conv1net' for audio"),
        (f"{GRID}, modalities: [audio, visual], fusion: mmtm, probe: {{modality: audio, layers: [output]}}", "accuracy", "fusion: 'mmtm' needs a row without probes, found probe ... leave probe out"),
        (f"{GRID}, modalities: [audio, visual], balancer: greedy", "accuracy", "balancer: 'greedy' needs fusion `mmtm`, found 'concat'"),
        (f"{GRID}, modalities: [audio, visual], fusion: mmtm, loss: unimodal, balancer: mmpareto, training: {{optimizer: sgd}}", "accuracy", "balancer: 'mmpareto' needs a fusion behind the encoders, found 'mmtm'; that one joins the encoders"),
        (f"{GRID}, modalities: [audio, visual], fusion: mmtm, loss: unimodal, balancer: g_blend_online", "accuracy", "balancer: 'g_blend_online' needs a fusion behind the encoders, found 'mmtm'"),
        (f"{GRID}, modalities: [audio, visual], fusion: mmtm, balancer: dgl", "accuracy", "balancer: 'dgl' needs a fusion behind the encoders, found 'mmtm'"),
        (f"{GRID}, head: boosted, balancer: aug", "accuracy", "balancer: 'aug' ... exactly two modalities, found audio, flow, visual"),
        ("pretrained: {sound: mnist}", "accuracy", "pretrained: 'sound' is not a modality of this row; allowed: audio, visual"),
        ("pretrained: {audio: nowhere}", "accuracy", "pretrained.audio: 'nowhere' is not a dataset or model"),
        ("pretrained: {audio: ssw60_images}", "accuracy", "pretrained.audio: 'ssw60_images' is not a dataset with 'audio'"),
        ("training: {momentum: 0.9}", "accuracy", "training: momentum needs optimizer: sgd, found adam"),
        ("combine: {members: alone}, modalities: [audio]", "accuracy", "combine.members: alone needs two modalities or more, found audio; give a number of seeds"),
        ("combine: {members: 1}", "accuracy", "combine.members: found 1; give alone, or a number of seeds from 2 to 100"),
        ("combine: {members: true}", "accuracy", "combine.members: found True; give alone, or a number"),
        ("combine: {members: others}", "accuracy", "combine.members: found 'others'; give alone, or a number"),
        ("combine: {member: alone}", "accuracy", "combine.member: is not a key here; did you mean 'members'?"),
        ("combine: {members: 2, mean: median}", "accuracy", "combine.mean: found 'median'; input should be 'probabilities', 'logits' or 'product'"),
        ("combine: {members: 2, mean: logits, weights: true}", "accuracy", "combine: weights needs mean: probabilities, found logits"),
        ("combine: {members: 2}, dataset: mini_audioset, encoder: {resnet18: {width: 8}}", "map", "combine: needs single_label data, found multi_label data"),
        ("training: {optimizer: rmsprop}", "accuracy", "training.optimizer: found 'rmsprop'; input should be 'adam', 'adamw', 'sgd' or 'adagrad'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(planned: Callable[..., Plan], row: str, column: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        planned("{" + row + "}", column)
    said = str(error.value)
    assert "\n" not in said
    pattern = ".*".join(map(re.escape, expected.split(" ... ")))
    assert re.match(pattern, said.split("tables/mine.yaml: rows.mine.")[1])


def test_verification_without_lists_of_trials_is_refused(planned: Callable[..., Plan], tmp_path: Path) -> None:
    path = tmp_path / "config" / "datasets" / "ssw60_images.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("num_classes: 60", "num_classes: 60\ntask: verification"),
        encoding="utf-8",
    )
    with pytest.raises(UserError, match=r"ssw60_images.yaml: reader: 'ssw60_images' gives no lists of trials"):
        planned("{}")


def test_blend_weights_come_from_the_rows_own_uni_modal_and_joint_runs(planned: Callable[..., Plan]) -> None:
    made = planned(
        "{loss: {unimodal: {head: {cosine: {scale: 7.0}}}}, head: {cosine: {scale: 7.0}}, balancer: g_blend}"
    )
    (blend,) = [artifact for artifact in made.artifacts.values() if artifact.folder == "blends"]
    inputs = blend.inputs
    assert set(inputs) == {"data_audio", "data_visual", "run_audio", "run_visual", "run_joint"}
    settings = {role: made.artifacts[path].settings for role, path in inputs.items() if not role.startswith("data_")}
    assert {role: list(each["encoder"]) for role, each in settings.items()} == {
        "run_audio": ["audio"],
        "run_visual": ["visual"],
        "run_joint": ["audio", "visual"],
    }
    assert all(each["head"] == {"cosine": {"scale": 7.0}} for each in settings.values())
    assert all(each["loss"] == {"joint": {}} and each["balancer"] == {"joint": {}} for each in settings.values())
    (trained,) = [run for run in runs_of(made) if "blend" in run.inputs]
    assert trained.inputs["blend"] == blend.path
    assert trained.settings["balancer"] == {"g_blend": {}}
    assert len(runs_of(made)) == 4


def test_encoders_start_from_uni_modal_runs_on_other_data(planned: Callable[..., Plan]) -> None:
    made = planned(
        "{dataset: ssw60, encoder: {resnet18: {width: 8}}, pretrained: {audio: ssw60_audio, visual: ssw60_images}}"
    )
    (joint,) = [run for run in runs_of(made) if run.settings["dataset"] == "ssw60"]
    sources = dict(zip(joint.inputs, made.inputs_of(joint), strict=True))
    assert {role: each.settings["dataset"] for role, each in sources.items() if not role.startswith("data_")} == {
        "pretrained_audio": "ssw60_audio",
        "pretrained_visual": "ssw60_images",
    }


def test_encoders_start_from_the_weights_of_a_model(planned: Callable[..., Plan]) -> None:
    made = planned("{pretrained: {visual: yunet}}")
    (joint,) = [run for run in runs_of(made) if len(run.settings["encoder"]) == 2]
    assert made.artifacts[joint.inputs["pretrained_visual"]].folder == "raw"


@pytest.mark.parametrize(("fusion", "probed"), [("mmtm", False), ("concat", True)])
def test_encoders_that_exchange_maps_are_not_probed(planned: Callable[..., Plan], fusion: str, probed: bool) -> None:
    made = planned(f"{{{GRID}, modalities: [audio, visual], fusion: {fusion}}}", "acc_audio_probe")
    assert any(artifact.folder == "probes" for artifact in made.artifacts.values()) == probed


def test_a_key_of_training_at_its_default_changes_no_recipe(planned: Callable[..., Plan]) -> None:
    plain = planned("{}").targets
    assert planned("{training: {optimizer: adam, monitor: false, select: best, momentum: 0.0}}").targets == plain
    assert planned("{training: {monitor: true}}").targets != plain


@pytest.mark.parametrize("optimizer", ["adam", "adagrad", "sgd"])
def test_a_row_that_names_its_optimiser_may_scale_gradients_under_it(
    planned: Callable[..., Plan], optimizer: str
) -> None:
    (run,) = runs_of(planned(f"{{balancer: ogm, training: {{optimizer: {optimizer}}}}}"))
    assert run.settings["training"]["optimizer"] == optimizer


def test_a_scales_options_take_the_place_of_a_rows(planned: Callable[..., Plan], tmp_path: Path) -> None:
    path = tmp_path / "config" / "scales" / "paper.yaml"
    path.write_text(
        path.read_text(encoding="utf-8")
        + "\nmethods: {encoder: {resnet18: {width: 4}}, head: {cosine: {scale: 3.0}}}\n",
        encoding="utf-8",
    )
    (run,) = runs_of(
        planned(
            "{dataset: grid_digit, encoder: {resnet18: {width: 64}}, head: cosine, modalities: [audio]}", scale="paper"
        )
    )
    assert run.settings["encoder"]["audio"] == {"resnet18": {"width": 4, "frames": "apart"}}
    assert run.settings["head"] == {"cosine": {"scale": 3.0}}


def test_a_scales_options_for_a_dataset_take_the_place_of_its_others(
    planned: Callable[..., Plan], tmp_path: Path
) -> None:
    path = tmp_path / "config" / "scales" / "paper.yaml"
    text = path.read_text(encoding="utf-8")
    own = "  grid_digit: {methods: {balancer: {ogm: {end: 7}}}, "
    assert text.count("  grid_digit: {") == 1
    path.write_text(
        text.replace("  grid_digit: {", own) + "\nmethods: {balancer: {ogm: {alpha: 0.5}, agm: {alpha: 0.2}}}\n",
        encoding="utf-8",
    )
    row = (
        "{{dataset: {}, encoder: resnet18, balancer: {{{}: {{alpha: 0.3}}}}, modalities: [audio, visual], "
        "training: {{optimizer: sgd}}}}"
    )

    def options(dataset: str, balancer: str) -> dict[str, Any]:
        (run,) = runs_of(planned(row.format(dataset, balancer), scale="paper"))
        found: dict[str, Any] = run.settings["balancer"][balancer]
        return found

    assert options("grid_digit", "ogm") == {"alpha": 0.3, "start": 0, "end": 7}
    assert options("grid_letter", "ogm") == {"alpha": 0.5, "start": 0, "end": 51}
    assert options("grid_digit", "agm")["alpha"] == 0.2


@pytest.mark.parametrize("place", ["methods", "datasets.grid_digit.methods"])
def test_a_scales_unknown_option_is_refused(planned: Callable[..., Plan], tmp_path: Path, place: str) -> None:
    path = tmp_path / "config" / "scales" / "paper.yaml"
    text = path.read_text(encoding="utf-8")
    wrong = "methods: {encoder: {resnet18: {with: 4}}}"
    path.write_text(
        f"{text}\n{wrong}\n" if place == "methods" else text.replace("  grid_digit: {", f"  grid_digit: {{{wrong}, "),
        encoding="utf-8",
    )
    with pytest.raises(
        UserError, match=rf"paper.yaml: {place}.encoder.resnet18: 'resnet18' has no option 'with'; did you"
    ):
        planned("{}", scale="paper")


def ensembles_of(made: Plan) -> list[Artifact]:
    return [artifact for artifact in made.artifacts.values() if artifact.folder == "combined"]


def test_an_ensemble_of_uni_modal_runs_is_made_of_those_that_tables_show_anyway(planned: Callable[..., Plan]) -> None:
    options = "combine: {members: alone, temperature: true}"
    made = planned(f"{{fusion: film, loss: unimodal, {options}}}", "acc_audio_alone")
    (ensemble,) = ensembles_of(made)
    members = {name: made.artifacts[path] for name, path in ensemble.inputs.items()}
    assert {name: list(run.settings["encoder"]) for name, run in members.items()} == {
        "audio": ["audio"],
        "visual": ["visual"],
    }
    assert len(runs_of(made)) == 2
    assert made.needs(ensemble.path) == sorted(run.product for run in members.values())  # no data, no weights
    (table,) = (artifact for artifact in made.artifacts.values() if artifact.kind == "tables")
    assert table.settings["rows"]["mine"][0]["run"] == ensemble.path
    assert (
        ensembles_of(planned(f"{{{options}}}"))[0].path == ensemble.path
    )  # uni-modal runs have no fusion and one loss
    assert ensemble.settings["combine"] == {
        "members": "alone",
        "mean": "probabilities",
        "temperature": True,
        "weights": False,
    }


def test_an_ensemble_of_seeds_has_its_own_run_and_further_ones_of_the_same_row(planned: Callable[..., Plan]) -> None:
    made = planned("{fusion: film, combine: {members: 3}}", seeds=[0, 1])
    seeds = {
        ensemble.settings["seed"]: [made.artifacts[path].settings["seed"] for path in ensemble.inputs.values()]
        for ensemble in ensembles_of(made)
    }
    assert seeds == {0: [0, 1000, 2000], 1: [1, 1001, 2001]}
    assert len(runs_of(made)) == 6
    assert all(run.settings["fusion"] == {"film": {}} for run in runs_of(made))
    own = next(run for run in runs_of(made) if run.settings["seed"] == 0)
    assert [run.path for run in runs_of(planned("{fusion: film}"))] == [own.path]


def test_ensembles_of_two_seeds_share_no_member(planned: Callable[..., Plan]) -> None:
    with pytest.raises(UserError, match="seeds: 1 and 2001 differ by a multiple of 1000"):
        planned("{combine: {members: 2}}", seeds=[0, 1, 2001])
    planned("{combine: {members: alone}}", seeds=[0, 1000])


@pytest.mark.parametrize("column", ["acc_audio_probe", "probe_gap", "probe_error", "curve_coefficient_audio"])
def test_an_ensemble_has_no_columns_of_weights_and_training(planned: Callable[..., Plan], column: str) -> None:
    with pytest.raises(UserError, match=f"columns: '{column}' is not a column"):
        planned("{balancer: ogm, training: {optimizer: sgd}, combine: {members: 2}}", column)


def test_an_ensemble_is_not_probed(planned: Callable[..., Plan]) -> None:
    with pytest.raises(UserError, match=r"rows.mine: a row with combine has no encoder of its own to probe"):
        planned("{combine: {members: 2}, probe: {layers: [output], modality: audio}}")


def test_a_figure_of_epochs_shows_no_ensemble(planned: Callable[..., Plan], tmp_path: Path) -> None:
    planned("{combine: {members: 2}}")
    file = tmp_path / "config" / "tables" / "mine.yaml"
    text = file.read_text(encoding="utf-8").replace("columns: [accuracy]", "figure: {curves: {}}")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"rows.mine: 'curves' shows epochs; a row with combine has none"):
        plan.make(tmp_path, {"tables": "mine"})


def test_a_combined_row_names_rows_that_are_there(planned: Callable[..., Plan]) -> None:
    with pytest.raises(UserError, match=r"mine.yaml: combined.both.rows: 'yours' is not a row; allowed: mine"):
        planned("{}", "accuracy]\ncombined: {both: {rows: [mine, yours]}}\n#[")
