from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance.cli import UserError
from avbalance.results.columns import Measured, describe, measure
from avbalance.results.runs import Runs


def entry(run: str, **others: str | dict[str, str]) -> dict[str, Any]:
    return {"seed": 0, "run": run, "probe": None, "alone": {}} | others


def means(cell: Measured) -> list[float]:
    return [round(float(mean), 6) for mean in cell.means()]


def test_every_accuracy_is_read_from_the_logits_it_is_named_after(publish_run: Callable[..., str]) -> None:
    run = publish_run("joint", test_logits=6, test_masked_audio=4, test_masked_visual=5)
    probe = publish_run("probe", step="probe", test_probe_audio=1, test_probe_visual=7)
    alone = {"audio": publish_run("audio", test_logits=2), "visual": publish_run("visual", test_logits=3)}
    columns = ["accuracy"] + [f"acc_{m}_{kind}" for kind in ("alone", "masked", "probe") for m in ("audio", "visual")]
    values = measure({"row": [entry(run, probe=probe, alone=alone)]}, [*columns, "probe_gap"], Runs())["row"]
    # Shares of eight clips: 6, then alone 2 and 3, masked 4 and 5, probe 1 and 7; their gap 75 points.
    assert [means(values[column]) for column in columns] == [[75], [25], [37.5], [50], [62.5], [12.5], [87.5]]
    assert means(values["probe_gap"]) == [75]
    assert values["accuracy"].values[0].shape == (8,)
    assert values["probe_gap"].values[0].shape == (1,)


def test_loss_is_the_cross_entropy_of_each_clip(publish_run: Callable[..., str]) -> None:
    values = measure({"row": [entry(publish_run("run", test_logits=7))]}, ["loss"], Runs())["row"]["loss"].values[0]
    # Logits 2 for the class said and 0 for the other two: log(e^2 + 2) - 2 if right, log(e^2 + 2) if wrong.
    right = np.log(np.exp(2) + 2) - 2
    assert values == pytest.approx([right] * 7 + [right + 2])


def test_a_failed_run_is_missing_but_counted(publish_run: Callable[..., str]) -> None:
    run = publish_run("run-s0", test_logits=4)
    entries = [entry(run), entry("results/runs/run-s1") | {"seed": 1}]
    cell = measure({"row": entries}, ["accuracy"], Runs())["row"]["accuracy"]
    assert (list(cell.values), cell.num_seeds) == ([0], 2)


def test_a_column_that_a_row_does_not_have_is_not_counted_as_missing(publish_run: Callable[..., str]) -> None:
    run = publish_run("alone", test_logits=4)
    columns = ["acc_audio_alone", "acc_audio_masked", "acc_audio_probe", "probe_gap"]
    values = measure({"row": [entry(run)]}, columns, Runs())["row"]
    assert [(values[column].values, values[column].num_seeds) for column in columns] == [({}, 0)] * 4


def test_runs_tested_on_other_clips_are_refused(
    publish_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish_run("first", test_logits=4)
    monkeypatch.setitem(publish_run.__globals__, "LABELS", np.array([1, 0, 2, 0, 1, 2, 0, 1]))
    other = publish_run("other", test_logits=4)
    with pytest.raises(UserError, match="its test clips are not those of"):
        measure({"a": [entry(first)], "b": [entry(other)]}, ["accuracy"], Runs())


def test_a_damaged_run_is_refused(publish_run: Callable[..., str]) -> None:
    run = publish_run("run", test_logits=4)
    (Path(run) / "predictions.npz").write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        measure({"row": [entry(run)]}, ["accuracy"], Runs())


def test_an_unknown_column_is_named_with_what_is_allowed() -> None:
    with pytest.raises(UserError, match="'acc_audio_allone' does not exist; allowed: accuracy, loss"):
        describe("acc_audio_allone")
