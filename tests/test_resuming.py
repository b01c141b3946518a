"""A run that is killed within an epoch gives the bits of an undisturbed one, whatever the method."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from affine import AT_WORK
from avbalance.balancers.base import Balancer
from avbalance.configuration.signature import describe
from avbalance.data.packed import MappedArray
from avbalance.data.prepared import read_description
from avbalance.encoders.base import Encoder
from avbalance.train import TrainedRun, build_balancer, train_recipe
from avbalance.training import epoch
from avbalance.training.checkpoint import FILES, load_checkpoint
from avbalance.training.snapshots import Snapshots
from avbalance.training.state import State
from folders import both
from registered import names
from test_train import completed

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")
OPTIONS: dict[str, dict[str, Any]] = {
    **AT_WORK,
    "arl": {"asymmetric": True, "start": 1},
    "fine_tuning": {"frozen_epochs": 2},
    "g_blend_online": {"first": 2, "then": 1},
    "jacobian_descent": {"aggregator": "nash_mtl"},
    "lfm": {"schedule": "learned"},
    "opm": {"p_exe": 1.0, "warmup": 1},
    "reconboost": {"first": 1, "second": 1, "rests": True},
    "relearning": {"every": 1},
    "valuation": {"warmup": 1},
}
"""Options with which a method decides most within four epochs."""

pytestmark = pytest.mark.filterwarnings("ignore:g_blend_online")


class Layers(Encoder):
    """One linear layer with batch norm and dropout, which is also an auxiliary branch and a stage."""

    has_maps = True
    branch_layer = "layers"

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.feature_dim = self.branch_dim = 6
        self.stage_dims = (6,)
        linear = nn.Linear(int(np.prod(shape)), 6)
        self.layers = nn.Sequential(nn.Flatten(), linear, nn.BatchNorm1d(6), nn.Dropout(0.2))

    def forward(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.layers(inputs)
        return features

    def stages(self, inputs: Tensor) -> Generator[Tensor, Tensor, None]:
        maps = yield self.layers(inputs)[:, :, None]
        yield maps.squeeze(2)


class KilledError(Exception):
    pass


def recipe_of(balancer: str, recipe: Make, folder: Path, **training: Any) -> dict[str, Any]:  # noqa: ANN401
    """A run of four epochs of four steps, more if the method repeats clips."""
    training = {"epochs": 4, "patience": 4, "optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01, **training}
    encoder = dict.fromkeys(("audio", "visual"), "test_resuming:Layers")
    wanted = completed(recipe(balancer=balancer, encoder=encoder, training=training), folder / "inputs")
    settings = wanted["settings"]
    settings["fusion"] = (*describe("balancer", balancer).attributes["requires_fusion"], "concat")[0]
    settings["balancer"] = {balancer: OPTIONS.get(balancer, {})}
    return wanted


def train_in_tries(wanted: dict[str, Any], folder: Path, seconds: float = 0) -> tuple[TrainedRun, int]:
    """Begin the run again after each kill; also returns the number of tries."""
    for num_tries in range(1, 20):
        try:
            return train_recipe(wanted, CPU, folder, seconds), num_tries
        except KilledError:
            continue
    raise AssertionError("the run does not end")


def assert_same(whole: TrainedRun, resumed: TrainedRun) -> None:
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name
    for record, again in zip(whole.history, resumed.history, strict=True):
        assert {**record, "seconds": 0} == {**again, "seconds": 0}
    for arrays, others in ((whole.predictions, resumed.predictions), (whole.weight_norms, resumed.weight_norms)):
        assert arrays.keys() == others.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, others[name], err_msg=name)


@pytest.mark.parametrize("balancer", names("balancer"))
def test_kills_within_epochs_change_no_bit_and_cost_one_step_each(
    balancer: str, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe_of(balancer, recipe, tmp_path)
    whole = train_recipe(wanted, CPU, tmp_path / "whole", 1e9)
    kills, steps = [2, 4, 7, 9, 10, 15, 16], []
    plain = Snapshots.advance

    def advance(self: Snapshots) -> None:  # after a step and before its checkpoint
        plain(self)
        steps.append(self.num_steps)
        if self.num_steps in kills:
            kills.remove(self.num_steps)
            raise KilledError

    monkeypatch.setattr(Snapshots, "advance", advance)
    resumed, num_tries = train_in_tries(wanted, tmp_path / "tries")
    assert num_tries == 8
    assert len(steps) == len(set(steps)) + 7
    assert_same(whole, resumed)


@pytest.mark.parametrize("balancer", ["joint", "g_blend_online"])
def test_a_kill_between_the_last_step_of_an_epoch_and_its_end_changes_no_bit(
    balancer: str, recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe_of(balancer, recipe, tmp_path)
    whole = train_recipe(wanted, CPU, tmp_path / "whole", 1e9)
    kills, plain = [1, 2, 4], State.advance

    def advance(self: State, record: dict[str, float]) -> None:
        if record["epoch"] in kills:
            kills.remove(int(record["epoch"]))
            raise KilledError
        plain(self, record)

    monkeypatch.setattr(State, "advance", advance)
    resumed, num_tries = train_in_tries(wanted, tmp_path / "tries")
    assert num_tries == 4
    assert_same(whole, resumed)


def test_trials_of_a_method_go_on_where_they_were_killed(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe_of("g_blend_online", recipe, tmp_path, optimizer="adam")
    calls, plain = [0], Balancer.step

    def step(self: Balancer, *arguments: Any) -> dict[str, Tensor]:  # noqa: ANN401
        terms = plain(self, *arguments)
        calls[0] += 1
        if calls[0] in kills:
            raise KilledError
        return terms

    monkeypatch.setattr(Balancer, "step", step)
    kills: tuple[int, ...] = ()
    whole = train_recipe(wanted, CPU, tmp_path / "whole", 1e9)
    # Three heads x two passes x four steps, the epoch and the next one, then in either of two more 3 x 4 and 4 steps.
    assert calls == [24 + 8 + 16 + 16]
    kills, calls = (1, 4, 6, 9, 17, 24, 27, 44), [0]
    resumed, num_tries = train_in_tries(wanted, tmp_path / "tries")
    assert (num_tries, calls) == (9, [64 + 8])
    assert_same(whole, resumed)


def test_a_long_epoch_goes_on_after_a_look_at_its_losses(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epoch, "CHECK_EVERY_STEPS", 7)
    wanted = recipe_of("ogm_ge", recipe, tmp_path, batch_size=4, epochs=2, snapshots=[3, 20])
    whole = train_recipe(wanted, CPU, tmp_path / "whole", 1e9)
    plain, kills = Snapshots.advance, [3, 6, 7, 8, 14, 15, 21]

    def advance(self: Snapshots) -> None:
        plain(self)
        if self.num_steps in kills:
            kills.remove(self.num_steps)
            raise KilledError

    monkeypatch.setattr(Snapshots, "advance", advance)
    resumed, num_tries = train_in_tries(wanted, tmp_path / "tries")
    assert num_tries == 8
    assert_same(whole, resumed)
    for step in (3, 20):
        name = f"snapshot_{step}.safetensors"
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "tries" / name).read_bytes()


def test_clips_that_were_trained_on_are_passed_over_unread(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = recipe_of("joint", recipe, tmp_path, epochs=1)
    read: list[int] = []
    plain_rows, plain_save = MappedArray.rows, State.save

    def rows(self: MappedArray, index: np.ndarray) -> np.ndarray:
        read.append(len(index))
        return plain_rows(self, index)

    def save(self: State, *arguments: Any) -> None:  # noqa: ANN401
        plain_save(self, *arguments)
        if self.snapshots.num_steps == 3:
            raise KilledError

    monkeypatch.setattr(State, "save", save)
    with pytest.raises(KilledError):
        train_recipe(wanted, CPU, tmp_path / "run", 0)
    monkeypatch.setattr(State, "save", plain_save)
    monkeypatch.setattr(MappedArray, "rows", rows)
    train_recipe(wanted, CPU, tmp_path / "run", 1e9)
    assert read[:2] == [15, 15]  # the fourth batch, of both modalities
    assert sum(read) == 2 * (15 + 21 + 60 + 21 + 30) + 2  # validation, all splits for their metrics, one clip's FLOPs


def test_a_checkpoint_waits_until_those_before_have_taken_a_hundredth_of_the_time(
    recipe: Make, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("avbalance.training.state.time.monotonic", lambda: now[0])

    def write(folder: Path, saved: dict[str, Any]) -> None:
        now[0] += 1.5

    monkeypatch.setattr("avbalance.training.state.save_checkpoint", write)
    settings = recipe()["settings"]
    balancer = build_balancer(settings, read_description(both(prepared)), CPU)
    state = State(balancer, settings["training"], tmp_path, 4, 20)
    due = []
    for now[0] in (19.0, 20.0):
        due.append(state.is_due)
    state.save()  # ends at 21.5
    for now[0] in (41.5, 171.0, 171.5):
        due.append(state.is_due)
    assert due == [False, True, False, False, True]


def test_numbers_of_the_processor_stay_there_when_a_checkpoint_is_loaded(recipe: Make, tmp_path: Path) -> None:
    wanted = recipe_of("valuation", recipe, tmp_path, epochs=2)
    train_recipe(wanted, CPU, tmp_path / "run", 0)
    assert list((tmp_path / "run").glob(FILES))
    saved = load_checkpoint(tmp_path / "run", torch.device("meta"))  # stands for a GPU: nothing was saved from one
    assert saved is not None
    assert {value.device for value in saved["balancer"].values()} == {CPU}
