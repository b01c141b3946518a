"""A run's state between two epochs: it chooses the epoch, ends training, and saves and loads itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avbalance.data.prepared import read_description
from avbalance.train import build_balancer
from avbalance.training.state import State
from folders import both

Make = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")


@pytest.fixture
def new_state(recipe: Make, prepared: Path, tmp_path: Path) -> Callable[..., State]:
    """Make the state of one run; each call stands for another try of it."""

    def make(seed: int = 0, checkpoint_seconds: float = 0, **training: Any) -> State:  # noqa: ANN401
        settings = recipe(seed=seed, training=training)["settings"]
        balancer = build_balancer(settings, read_description(both(prepared)), CPU)
        return State(balancer, settings["training"], tmp_path / "run", 4, checkpoint_seconds)

    return make


def finish_epochs(state: State, losses: list[float]) -> None:
    """Give the weights of each epoch the value of its loss."""
    for loss in losses:
        with torch.no_grad():
            for parameter in state.balancer.parameters():
                parameter.fill_(loss)
        state.snapshots.advance()
        state.advance({"epoch": state.epoch + 1, "val_loss": loss})


def values_of(weights: dict[str, torch.Tensor]) -> set[float]:
    return {value.item() for name, weight in weights.items() if name.endswith("weight") for value in weight.flatten()}


def test_the_first_of_the_lowest_losses_is_chosen_and_its_weights_are_kept(new_state: Callable[..., State]) -> None:
    state = new_state()
    assert (state.epoch, state.chosen_epoch) == (0, -1)
    finish_epochs(state, [3, 1, 2, 1])
    assert state.chosen_epoch == 1
    assert values_of(state.best) == {1}


def test_the_last_epoch_is_chosen_if_the_settings_say_so(new_state: Callable[..., State]) -> None:
    state = new_state(select="last", patience=1)
    finish_epochs(state, [1, 2, 3])
    assert (state.chosen_epoch, values_of(state.best), state.is_finished) == (2, {3}, False)


@pytest.mark.parametrize(
    ("losses", "is_finished"),
    [([], False), ([3, 2, 1], False), ([1, 2], False), ([1, 2, 3], True), ([4, 3, 2, 1], True)],
)
def test_training_ends_after_all_epochs_or_when_patience_is_spent(
    losses: list[float], is_finished: bool, new_state: Callable[..., State]
) -> None:
    state = new_state(epochs=4, patience=2)
    finish_epochs(state, losses)
    assert state.is_finished == is_finished


def test_another_try_continues_from_what_was_saved(new_state: Callable[..., State]) -> None:
    state = new_state()
    finish_epochs(state, [2, 1, 3])
    again = new_state(seed=1)  # its fresh weights differ
    assert again.history == state.history
    assert again.snapshots.num_steps == 3
    assert values_of(again.best) == {1}
    assert values_of(again.balancer.state_dict()) == {3}
    for stream, norms in state.weight_norms().items():
        assert norms.shape == (3, 3)  # epochs, classes
        assert torch.equal(norms, again.weight_norms()[stream])


def test_nothing_is_saved_before_its_time(new_state: Callable[..., State], tmp_path: Path) -> None:
    finish_epochs(new_state(checkpoint_seconds=1e9), [1])
    assert not (tmp_path / "run").exists()
    assert new_state().epoch == 0


def test_patience_counts_from_the_epoch_at_which_a_method_with_stages_may_stop(
    new_state: Callable[..., State],
) -> None:
    state = new_state(patience=2, epochs=9)
    state.balancer.earliest_stop = 4
    finish_epochs(state, [1, 2, 3, 4, 5])
    assert not state.is_finished
    finish_epochs(state, [6])
    assert (state.is_finished, state.chosen_epoch) == (True, 0)
