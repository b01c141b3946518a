"""Rows with `trials`: what is refused, and what a plan makes of them."""

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
SCALE = """
seeds: [0, 1]
threads: 1
trials: TRIALS
tables: [mine]
training: {epochs: 2, batch_size: 8, learning_rate: 0.03, patience: 2, precision: float32, optimizer: sgd}
datasets:
  avmnist: {source: official}
"""
TABLE = """
title: Rows
paper: ours
defaults: {dataset: avmnist, encoder: {visual: conv2net, audio: conv1net}}
rows:
  mine: {ROW}
columns: [COLUMN]
"""
RATE = "trials: [{}, {training: {learning_rate_factor: 0.3}}]"


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """The plan of a table with one row, at a scale with two trials."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for kind in ("tables", "scales"):
        for file in (tmp_path / "config" / kind).iterdir():
            file.unlink()

    def make(row: str, column: str = "accuracy", trials: int = 2, **overrides: Any) -> Plan:  # noqa: ANN401
        scale = SCALE.replace("TRIALS", str(trials))
        (tmp_path / "config" / "scales" / "mine.yaml").write_text(scale, encoding="utf-8")
        table = TABLE.replace("ROW", row).replace("COLUMN", column)
        (tmp_path / "config" / "tables" / "mine.yaml").write_text(table, encoding="utf-8")
        return plan.make(tmp_path, {"scale": "mine", **overrides})

    return make


def of_kind(made: Plan, kind: str) -> list[Artifact]:
    return [artifact for artifact in made.artifacts.values() if artifact.kind == kind]


def runs_of(made: Plan, seed: int) -> list[Artifact]:
    return [run for run in of_kind(made, "runs") if run.settings["seed"] == seed]


def trials_of(made: Plan) -> list[Artifact]:
    """The runs of the trials of the only tuned row, in their order."""
    (tuned,) = of_kind(made, "tuned")
    return made.inputs_of(tuned)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("trials: [{}]", "trials: found 1; give two or more, or leave trials out"),
        ("trials: []", "trials: found 0; give two or more, or leave trials out"),
        ("trials: {}", "trials: found {}; input should be a valid list"),
        ("trials: [{training: {momentum: 0.9}}, {}]", "trials: the first has to be {}, the row as it is"),
        ("trials: [{}, {}]", "trials.1: is the same as trial 0; leave one out"),
        ("trials: [{}, {training: {learning_rate: 0.03}}]", "trials.1: is the same as trial 0; leave one out"),
        ("trials: [{}, {encoder: conv2net}]", "trials.1.encoder: is not a key here; did you mean 'balancer'?"),
        ("trials: [{}, {training: {epochs: 3}}]", "trials.1.training.epochs: is not a key here; allowed: clip_norm, learning_rate,"),
        ("trials: [{}, {training: {optimizer: adam}}]", "trials.1.training.optimizer: is not a key here"),
        ("trials: [{}, {training: {learning_rate_factor: 0}}]", "trials.1.training.learning_rate_factor: found 0; input should be greater than 0"),
        ("trials: [{}, {training: {learning_rate: 1, learning_rate_factor: 2}}]", "trials.1.training: give either learning_rate or learning_rate_factor"),
        ("trials: [{}, {training: {momentum: null}}]", "trials.1.training: momentum has no value; give a number, or leave it out"),
        ("training: {optimizer: adam}, trials: [{}, {training: {momentum: 0.9}}]", "trials.1.training: momentum needs optimizer: sgd, found adam"),
        ("trials: [{}, {balancer: ogm}]", "trials.1.balancer: found 'ogm'; a trial changes options of the row's own method, 'joint'"),
        ("trials: [{}, {balancer: {ogm: {alpha: 1}, joint: {}}}]", "trials.1.balancer: {'ogm': {'alpha': 1}, 'joint': {}} is not a method;"),
        ("balancer: ogm, trials: [{}, {balancer: {ogm: {alhpa: 1}}}]", "trials.1.balancer: 'ogm' has no option 'alhpa'; did you mean 'alpha'?"),
        ("balancer: ogm, trials: [{}, {balancer: {ogm: {alpha: -1}}}]", "trials.1.balancer: ogm.alpha: found -1"),
        ("loss: unimodal, balancer: g_blend_online, trials: [{}, {loss: {unimodal: {weight: 0.5}}}]", "trials.1.balancer: 'g_blend_online' needs `weight` of the loss at 1, found 0.5"),
        ("loss: unimodal, balancer: g_blend, trials: [{}, {loss: {unimodal: {head: cosine}}}]", "trials.1.loss: 'g_blend' needs runs of the row's loss; try options of the balancer or of training"),
        (f"combine: {{members: 2}}, {RATE}", ": a row with combine is not trained, so nothing can be tried; leave trials or combine out"),
        (f"modalities: [audio], probe: {{layers: [output]}}, {RATE}", ": layers are probed in rows as they are; leave trials or probe out"),
        (f"dataset: mini_audioset, encoder: {{resnet18: {{width: 8}}}}, {RATE}", "trials: needs single_label data, for it is chosen by accuracy, found multi_label data"),
        (f"dataset: voxceleb, encoder: {{resnet18: {{width: 8}}}}, {RATE}", "trials: needs single_label data, for it is chosen by accuracy, found verification data"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(planned: Callable[..., Plan], row: str, expected: str) -> None:
    with pytest.raises(UserError) as error:
        planned(row)
    said = str(error.value)
    assert "\n" not in said
    assert re.split(r"tables/mine.yaml: rows.mine\.?", said)[1].startswith(expected)


@pytest.mark.parametrize("num_seeds", [0, 1])
def test_the_seed_of_trials_is_no_seed_of_a_table(planned: Callable[..., Plan], num_seeds: int) -> None:
    seeds = [*range(num_seeds), 100]
    with pytest.raises(
        UserError, match=r"^seeds: 100 is the seed of the trials by which rows are tuned; choose another"
    ):
        planned(RATE, seeds=seeds)
    planned("", seeds=seeds)
    planned(RATE, trials=1, seeds=seeds)


def test_a_scale_without_trials_plans_the_plain_row(planned: Callable[..., Plan]) -> None:
    plain = {artifact.path for artifact in planned("").artifacts.values()}
    made = planned(RATE, trials=1)
    assert {artifact.path for artifact in made.artifacts.values()} == plain


@pytest.mark.parametrize(("trials", "num_tried"), [(2, 2), (3, 3), (4, 3)])
def test_a_scale_runs_the_first_of_a_rows_trials(planned: Callable[..., Plan], trials: int, num_tried: int) -> None:
    row = "trials: [{}, {training: {momentum: 0.9}}, {training: {momentum: 0.5}}]"
    made = planned(row, trials=trials)
    assert [run.settings["training"]["momentum"] for run in trials_of(made)] == [0, 0.9, 0.5][:num_tried]


def test_trials_are_runs_that_may_fail_and_the_first_is_the_row_as_it_is(planned: Callable[..., Plan]) -> None:
    made = planned(RATE)
    tried = trials_of(made)
    assert [run.settings["training"]["learning_rate"] for run in tried] == [0.03, 0.009]
    assert runs_of(made, 100) == tried
    (plain,) = runs_of(planned("", seeds=100), 100)
    assert tried[0].settings == {**plain.settings, "is_trial": True}
    assert (tried[0].inputs, tried[0].code) == (plain.inputs, plain.code)


def test_the_runs_of_a_table_wait_for_the_choice_and_hold_all_options(planned: Callable[..., Plan]) -> None:
    made = planned(RATE, "acc_audio_probe")
    (tuned,) = of_kind(made, "tuned")
    for seed in (0, 1):
        (run,) = runs_of(made, seed)
        assert run.inputs["tuned"] == tuned.path
        assert run.settings["trials"] == [
            {kind: tried.settings[kind] for kind in ("fusion", "head", "loss", "balancer", "training")}
            for tried in trials_of(made)
        ]
        assert not {"balancer", "training"} & run.settings.keys()
    (table,) = of_kind(made, "tables")
    assert table.settings["tuned"] == {"mine": tuned.path}
    assert table.inputs["mine.tuned"] == tuned.path
    assert {
        made.artifacts[probe.inputs["weights"].replace("weights", "runs")] for probe in of_kind(made, "probes")
    } == {
        *runs_of(made, 0),
        *runs_of(made, 1),
    }


def test_options_are_merged_over_those_of_the_row(planned: Callable[..., Plan]) -> None:
    made = planned("balancer: {ogm: {alpha: 0.3, end: 7}}, trials: [{}, {balancer: {ogm: {alpha: 0.9}}}]")
    ogm = [run.settings["balancer"]["ogm"] for run in trials_of(made)]
    assert [(each["alpha"], each["end"]) for each in ogm] == [(0.3, 7), (0.9, 7)]


def test_the_code_of_methods_that_only_a_trial_names_counts(planned: Callable[..., Plan]) -> None:
    made = planned("head: {dropout: {head: linear}}, trials: [{}, {head: {dropout: {head: cosine}}}]")
    (run,) = runs_of(made, 0)
    linear, cosine = trials_of(made)
    assert len({run.code, linear.code, cosine.code}) == 3


def test_uni_modal_runs_and_teachers_are_those_of_the_row_as_it_is(planned: Callable[..., Plan]) -> None:
    row = "balancer: umt, pretrained: true"
    plain, made = planned(row, "acc_audio_alone"), planned(f"{row}, {RATE}", "acc_audio_alone")

    def alone(of: Plan, seed: int) -> set[str]:
        return {run.path for run in runs_of(of, seed) if len(run.settings["encoder"]) == 1}

    assert alone(made, 0) == alone(plain, 0)
    first, second = trials_of(made)
    assert first.inputs == second.inputs
    assert set(first.inputs) == {
        *(f"{role}_{m}" for role in ("data", "pretrained", "teacher") for m in ("audio", "visual")),
    }
    assert {made.artifacts[path].settings["training"]["learning_rate"] for path in alone(made, 100)} == {0.03}
    (run,) = [run for run in runs_of(made, 0) if len(run.settings["encoder"]) == 2]
    assert set(run.inputs) == {*first.inputs, "tuned"}


def test_blend_weights_are_measured_on_the_row_as_it_is(planned: Callable[..., Plan]) -> None:
    row = "loss: unimodal, balancer: g_blend"
    plain, made = planned(row), planned(f"{row}, {RATE}")
    blends = {blend.path for blend in of_kind(plain, "blends")}
    assert len(blends) == 2
    own = {blend.path for blend in of_kind(made, "blends")} - {run.inputs["blend"] for run in trials_of(made)}
    assert own == blends
    assert len({run.inputs["blend"] for run in trials_of(made)}) == 1


def test_where_a_scale_sets_the_options_trials_may_be_the_same(planned: Callable[..., Plan], tmp_path: Path) -> None:
    row = "head: two_layer, trials: [{}, {head: {two_layer: {hidden: 99}}}]"
    planned(row)
    file = tmp_path / "config" / "scales" / "mine.yaml"
    own = "methods: {head: {two_layer: {hidden: 32}}}\n"
    file.write_text(file.read_text(encoding="utf-8") + own, encoding="utf-8")
    first, second = trials_of(plan.make(tmp_path, {"scale": "mine"}))
    assert first is second


def test_a_row_that_is_taken_may_be_tuned_for_its_own_data(planned: Callable[..., Plan], tmp_path: Path) -> None:
    planned(RATE)
    table = "title: Taken\npaper: ours\nrows_of: mine\ndefaults: {training: {learning_rate: 0.5}}\n"
    (tmp_path / "config" / "tables" / "taken.yaml").write_text(table, encoding="utf-8")
    made = plan.make(tmp_path, {"scale": "mine", "tables": "taken"})
    assert [run.settings["training"]["learning_rate"] for run in trials_of(made)] == [0.5, 0.15]
