import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avbalance import store
from avbalance.cli import UserError
from avbalance.results import figures, plots
from avbalance.results.runs import Runs


@pytest.fixture
def figure(runs: Callable[..., str], settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a figure of the better row."""
    spec = settings["spec"]
    return settings | {
        "table": "demo_fig1",
        "spec": {"title": spec["title"], "paper": "Demo (Doe, 2020): Figure 1", "rows": {"better": {}}},
        "rows": {"better": settings["rows"]["better"]},
    }


def draw(figure: dict[str, Any], kind: dict[str, Any], inputs: dict[str, str] | None = None) -> dict[str, Any]:
    figure["spec"]["figure"] = kind
    return figures.report(figure, inputs or {})


@pytest.fixture
def data() -> str:
    """A prepared data set with an image, a waveform and a spectrogram a clip; needs the folder of `runs`."""
    path = Path("results/prep/demo")
    shapes = {"image": (1, 6, 6), "wave": (50,), "spectrogram": (8, 9)}
    with store.publish(path, {"step": "prepare.pack"}) as out:
        (out / "dataset.json").write_text(json.dumps({"classes": ["zero", "one", "two"], "sample_rate": 25}))
        for modality, shape in shapes.items():
            np.save(out / f"test_{modality}.npy", np.random.default_rng(0).random((8, *shape)).astype(np.float16))
    return str(path)


@pytest.mark.parametrize("kind", [{"curves": {}}, {"confusion": {}}])
def test_a_figure_comes_as_png_svg_and_json(figure: dict[str, Any], kind: dict[str, Any]) -> None:
    made = draw(figure, kind)
    assert made[".png"].startswith(b"\x89PNG")
    assert b"<svg" in made[".svg"]
    about = json.loads(made[".json"])
    assert about["title"] == "A demonstration of 100 % & more"
    assert about["provenance"]["num_runs"] == 2


@pytest.mark.parametrize("kind", [{"curves": {}}, {"confusion": {}}])
def test_the_same_runs_give_the_same_bytes(figure: dict[str, Any], kind: dict[str, Any]) -> None:
    assert draw(figure, kind) == draw(figure, kind)


def test_curves_show_every_seed_and_mark_the_chosen_epoch() -> None:
    history = {"epoch": np.array([1.0, 2, 3]), "train_loss": np.array([3.0, 2, 1])}
    history |= {"val_loss": np.array([3.0, 1, 2]), "val_accuracy": np.array([0.1, 0.9, 0.8])}
    drawn = plots.draw_curves([plots.Training(seed, history, 2) for seed in (0, 1)])
    losses, accuracy = drawn.axes
    dots = [line.get_xydata().tolist() for line in losses.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert dots == [[[2.0, 1.0]], [[2.0, 1.0]]]
    assert sum(len(line.get_xdata()) == 3 for line in losses.lines) == 4
    assert [line.get_ydata().tolist() for line in accuracy.lines if len(line.get_xdata()) == 3] == [[10, 90, 80]] * 2


def test_confusion_counts_are_summed_over_seeds(figure: dict[str, Any]) -> None:
    folders = {entry["seed"]: entry["run"] for entry in figure["rows"]["better"]}
    # Labels 0 1 2 0 1 2 0 1 twice; the second seed says 2 for the last clip, whose label is 1.
    assert figures.count(folders, Runs()).tolist() == [[6, 0, 0], [0, 5, 1], [0, 0, 4]]
    caption = json.loads(draw(figure, {"confusion": {}})[".json"])["caption"]
    assert caption == "Test clips, summed over seeds 0, 1; 93.8 % lie on the diagonal."


def test_samples_show_every_modality_and_the_logits(
    figure: dict[str, Any], runs: Callable[..., str], data: str
) -> None:
    runs("better-s0", encoder=("image", "wave", "spectrogram"), test_logits=4)
    made = draw(figure, {"samples": {"split": "test", "num_clips": 8}}, {"data": data})
    assert made[".png"].startswith(b"\x89PNG")
    assert "logits of seed 0" in json.loads(made[".json"])["caption"]
    assert draw(figure, {"samples": {"split": "test", "num_clips": 8}}, {"data": data}) == made


def test_a_sample_is_titled_by_its_class_and_what_was_said() -> None:
    samples = [
        plots.Sample(3, {"wave": np.zeros(10)}, np.array([0.0, 2.0]), 1),
        plots.Sample(5, {"wave": np.zeros(10)}, np.array([0.0, 2.0]), 0),
    ]
    drawn = plots.draw_samples(samples, ["zero", "one"], None)
    titles = [axes.get_title("left") for axes in drawn.axes[:2]]
    assert titles == ["clip 3: one\n✓ said one", "clip 5: zero\n✗ said one"]


def test_a_failed_run_is_said(figure: dict[str, Any]) -> None:
    shutil.rmtree("results/runs/better-s0")
    caption = json.loads(draw(figure, {"curves": {}})[".json"])["caption"]
    assert caption.startswith("Seed 1.")
    assert caption.endswith("Runs that failed: 1 of 2.")


def test_a_figure_without_runs_is_an_error(figure: dict[str, Any]) -> None:
    for seed in (0, 1):
        shutil.rmtree(f"results/runs/better-s{seed}")
    with pytest.raises(UserError, match="every run of row 'better' failed"):
        draw(figure, {"curves": {}})


def test_an_unknown_kind_of_figure_is_named(figure: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="'curve' is no kind of figure; allowed: curves, confusion, samples"):
        draw(figure, {"curve": {}})
