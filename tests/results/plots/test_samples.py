import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from avbalance import store
from avbalance.results.plots.base import FigureRow
from avbalance.results.plots.samples import Sample, Samples, draw_samples
from avbalance.results.runs import Runs


@pytest.fixture
def row(runs: Callable[..., str]) -> FigureRow:
    """A row whose prepared data has an image, a waveform and a spectrogram a clip."""
    shapes = {"image": (1, 6, 6), "wave": (50,), "spectrogram": (8, 9)}
    with store.publish(Path("results/prep/demo"), {"step": "pack"}) as out:
        (out / "dataset.json").write_text(
            json.dumps({"classes": ["zero", "one", "two"], "sample_rate": 25, "modalities": dict.fromkeys(shapes)}),
            encoding="utf-8",
        )
        for split in ("train", "test"):
            np.save(out / f"{split}_clip.npy", np.arange(8))
            for modality, shape in shapes.items():
                values = np.random.default_rng(0).random((8, *shape)).astype(np.float16)
                np.save(out / f"{split}_{modality}.npy", values)
    run = runs("row-s0", encoder=tuple(shapes), test_logits=4, seen_logits=4)
    return FigureRow("Row", [{"seed": 0, "run": run}])


@pytest.mark.parametrize("split", ["train", "test"])
def test_samples_show_every_modality_and_the_logits(split: Literal["train", "test"], row: FigureRow) -> None:
    figure, caption = Samples(split, 8).draw({"row": row}, Runs())
    assert f"8 clips of the {split} split" in caption
    assert "logits of seed 0" in caption
    panels = np.array(figure.axes).reshape(4, 8)  # three modalities and the logits of eight clips
    assert [len(axes.images) for axes in panels[:, 0]] == [1, 0, 1, 0]
    assert len(panels[1, 0].lines[0].get_ydata()) == 50
    # The first four of the labels 0 1 2 0 1 2 0 1 are right, then the next class is said.
    said = [np.argmax([bar.get_height() for bar in axes.patches]) for axes in panels[3]]
    assert said == [0, 1, 2, 0, 2, 0, 1, 2]


def test_a_sample_is_titled_by_its_class_and_what_was_said() -> None:
    samples = [
        Sample(3, {"wave": np.zeros(10)}, np.array([0.0, 2.0]), 1),
        Sample(5, {"wave": np.zeros(10)}, np.array([0.0, 2.0]), 0),
    ]
    drawn = draw_samples(samples, ["zero", "one"], None)
    titles = [axes.get_title("left") for axes in drawn.axes[:2]]
    assert titles == ["clip 3: one\n✓ predicted one", "clip 5: zero\n✗ predicted one"]
