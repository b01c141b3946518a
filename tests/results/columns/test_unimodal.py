from collections.abc import Callable

import pytest

from avbalance.results.columns.base import RowTraits, find_column, names_of
from avbalance.results.columns.unimodal import StrongestAlone
from avbalance.results.measure import measure
from avbalance.results.runs import Runs

PublishAlone = Callable[..., dict[str, str]]
COLUMNS = ["acc_strongest_alone", "acc_weakest_alone", "acc_weakest_probe"]


@pytest.fixture
def publish_alone(publish_run: Callable[..., str]) -> PublishAlone:
    """Publishes the models alone of a seed: {modality: (accuracy on validation, test clips of eight right)}."""

    def publish(seed: int, **models: tuple[float, int]) -> dict[str, str]:
        return {
            modality: publish_run(f"{modality}-s{seed}", metrics={"val_accuracy": accuracy}, test_logits=right)
            for modality, (accuracy, right) in models.items()
        }

    return publish


def test_validation_says_which_modality_is_the_strongest_seed_by_seed(
    publish_alone: PublishAlone, publish_run: Callable[..., str]
) -> None:
    alone = [
        publish_alone(0, audio=(0.5, 4), flow=(0.6, 3), visual=(0.7, 2)),  # on test audio would be the strongest
        publish_alone(1, audio=(0.8, 5), flow=(0.6, 7), visual=(0.7, 6)),
    ]
    probe = publish_run("probe", step="probe", test_probe_audio=1, test_probe_flow=8, test_probe_visual=7)
    run = publish_run("joint", test_logits=6)
    entries = [{"seed": seed, "run": run, "probe": probe, "alone": each} for seed, each in enumerate(alone)]
    cells = measure({"row": entries}, COLUMNS, Runs())["row"]
    # Strongest visual, then audio; weakest audio, then flow; probes of audio 1, then of flow 8.
    assert [[value.sum() / 100 for value in cell.values.values()] for cell in cells.values()] == [
        [2, 5],
        [4, 7],
        [1, 8],
    ]
    assert {len(value) for cell in cells.values() for value in cell.values.values()} == {8}


def test_of_equal_models_the_first_is_the_strongest_and_the_last_the_weakest(publish_alone: PublishAlone) -> None:
    alone = publish_alone(0, audio=(0.5, 1), visual=(0.5, 2))
    entry = {"seed": 0, "run": alone["audio"], "probe": None, "alone": alone}
    cells = measure({"row": [entry]}, COLUMNS, Runs())["row"]
    assert [cell.means().tolist() for cell in cells.values()] == [[12.5], [25], []]
    assert cells["acc_weakest_probe"].num_seeds == 0  # a dash: there are no probes


def test_a_row_of_one_modality_has_a_dash_and_a_model_that_failed_is_missing(publish_alone: PublishAlone) -> None:
    alone = publish_alone(0, audio=(0.5, 1), visual=(0.6, 2))
    rows = {
        "single": [{"seed": 0, "run": alone["audio"], "probe": None, "alone": {}}],
        "failed": [
            {"seed": 0, "run": alone["audio"], "probe": None, "alone": {**alone, "visual": "results/runs/none"}}
        ],
    }
    cells = measure(rows, COLUMNS, Runs())
    assert [cell.num_seeds for cell in cells["single"].values()] == [0, 0, 0]
    assert [(len(cell.values), cell.num_seeds) for cell in cells["failed"].values()] == [(0, 1), (0, 1), (0, 0)]


def test_an_ensemble_has_the_models_alone_but_no_probe() -> None:
    ensemble = RowTraits("single_label", ("audio", "visual"), False, False, (), has_weights=False)
    assert {"acc_strongest_alone", "acc_weakest_alone", "ece", "macro_f1"} <= set(names_of(ensemble))
    assert "acc_weakest_probe" not in names_of(ensemble)


def test_the_strongest_is_no_name_of_a_modality() -> None:
    assert isinstance(find_column("acc_strongest_alone"), StrongestAlone)
