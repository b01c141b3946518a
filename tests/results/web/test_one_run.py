import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avbalance.errors import UserError
from avbalance.results.web import one_run


def test_a_confusion_counts_each_true_class_by_what_was_said(publish_run: Callable[..., str]) -> None:
    # Classes 0 1 2 0 1 2 0 1, the first five right, the others taken for the next class: 2 for 0, 0 for 1, 1 for 2.
    said = one_run.describe_run(Path(publish_run("run", test_logits=5)))
    assert said["confusion"] == [[2, 1, 0], [0, 2, 1], [1, 0, 1]]


def test_masked_accuracy_is_in_per_cent(publish_run: Callable[..., str]) -> None:
    said = one_run.describe_run(Path(publish_run("run", test_logits=8, test_masked_audio=6, test_masked_visual=1)))
    assert said["masked"] == {"audio": 75.0, "visual": 12.5}


def test_data_of_several_classes_a_clip_have_no_confusion() -> None:
    predictions = {"test_logits": np.zeros((4, 3)), "test_label": np.ones((4, 3), int)}
    assert one_run.confusion_of(predictions) == (None, {})


def test_a_history_has_no_seconds_and_none_for_what_is_no_finite_number(publish_run: Callable[..., str]) -> None:
    history = one_run.describe_run(Path(publish_run("run", test_logits=8)))["history"]
    assert "seconds" not in history
    assert history["epoch"] == [1, 2, 3]
    assert history["ogr_joint"] == [2.0, 1.0, None]
    assert history["val_loss"] == [0.9, 0.5, 0.7]
    assert history["val_accuracy"] == [50, 80, 70]  # per cent


def test_the_page_has_one_unit_for_all_accuracies() -> None:
    shares = ["val_video_top5", "seen_map", "test_mauc", "val_acc_masked_audio", "naive_val_accuracy", "test_eer_clean"]
    others = ["epoch", "train_loss", "val_logit_audio", "weight_joint", "test_min_dcf_clean", "grad_norm_audio"]
    history = one_run.shorten_history({name: np.array([0.25]) for name in [*shares, *others]})
    assert {name: history[name] for name in shares} == {name: [25] for name in shares}
    assert {name: history[name] for name in others} == {name: [0.25] for name in others}


def test_a_run_that_was_not_trained_has_an_empty_history() -> None:
    assert one_run.shorten_history({"epoch": np.array([]), "train_loss": np.array([])}) == {}


def test_norms_of_weights_are_the_mean_over_classes(publish_run: Callable[..., str]) -> None:
    run = Path(publish_run("run", test_logits=8))
    assert one_run.describe_run(run)["norms"] == {}
    np.savez(run / "weight_norms.npz", weight_norm_audio=np.array([[1.0, 3.0], [2.0, 6.0]]))
    assert one_run.describe_run(run)["norms"] == {"audio": [2.0, 4.0]}


@pytest.mark.parametrize(
    ("value", "expected"), [(0.123456, 0.1235), (123456.0, 123500.0), (float("nan"), None), (float("-inf"), None)]
)
def test_numbers_keep_four_digits(value: float, expected: float | None) -> None:
    assert one_run.shorten(value) == expected


def test_a_run_of_unknown_form_is_one_line(publish_run: Callable[..., str]) -> None:
    folder = Path(publish_run("run", test_logits=8))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["recipe"] = {"version": 7}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(UserError, match=r"runs/run: was made by another version \(KeyError"):
        one_run.describe_run(folder)


def test_why_a_run_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("results/runs/one")
    run.parent.mkdir(parents=True)
    assert one_run.why_missing(run) == "is missing: results/runs/one"
    out = {"path": "bundles/one.tar.xz", "meta": {"artifacts": [str(run)]}}
    Path("results/bundles.dvc").write_text(json.dumps({"outs": [out]}), encoding="utf-8")
    assert one_run.why_missing(run) == "is cached but not pulled: dvc pull"
    log = Path("results/logs/runs/one.log")
    log.parent.mkdir(parents=True)
    log.touch()
    assert one_run.why_missing(run) == "failed: see results/logs/runs/one.log"


def test_the_end_of_a_log_is_its_last_lines_as_a_terminal_shows_them(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_text("".join(f"line {number}\n" for number in range(5000)) + "epoch 1\repoch 2\n", encoding="utf-8")
    said = one_run.tail(log)
    assert said == [*(f"line {number}" for number in range(4981, 5000)), "epoch 2"]
    assert one_run.tail(tmp_path / "absent.log") == []


def test_methods_are_those_of_a_run_and_those_among_their_options() -> None:
    settings = {
        "encoder": {"audio": {"conv1net": {"dropout": 0.5}}},
        "fusion": {"concat": {}},
        "head": {"dropout": {"head": {"cosine": {"scale": 10.0}}}},
        "training": {"epochs": 3},
    }
    expected = {("encoder", "conv1net"), ("fusion", "concat"), ("head", "dropout"), ("head", "cosine")}
    assert one_run.methods_of(settings) == expected
