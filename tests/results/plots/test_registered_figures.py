import inspect
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from avbalance import store
from avbalance.errors import UserError
from avbalance.registry import load, locate
from avbalance.results import figures
from avbalance.results.plots import REGISTRY
from avbalance.results.plots.base import FigureRow, Plot
from avbalance.results.plots.style import PALETTE, colours_of

OPTIONS: dict[str, dict[str, Any]] = {
    "balance_accuracy": {"baseline": "a", "columns": ["loss", "accuracy"]},
    "classes": {"baseline": "a"},
    "gains": {"baseline": "a", "columns": ["accuracy"]},
    "leaderboard": {"baselines": ["a"]},
    "samples": {"split": "test", "num_clips": 2},
    "sensitivity": {"baseline": "a"},
}
"""Of the kinds that need some."""
PROBE = {"test_error": 0.5, "gradient_norm": 1e-8}


@pytest.fixture
def rows(publish_row: Callable[..., FigureRow]) -> dict[str, FigureRow]:
    """Two rows with all that a figure may need."""
    history: dict[str, list[float]] = {"epoch": [1, 2, 3]}
    history |= {name: [0.9, 0.6, 0.5] for name in ("train_loss", "val_loss")}
    accuracies = (
        "val_accuracy",
        "seen_accuracy",
        "naive_val_accuracy",
        "val_acc_masked_audio",
        "val_acc_masked_visual",
    )
    history |= {name: [0.4, 0.6, 0.7] for name in accuracies}
    history["fallback"] = [0, 1, 0]
    history |= {f"val_logit_{m}": [1, 2, 3] for m in ("audio", "visual")}
    history |= {f"weight_{head}": [0.25, 0.5, 0.25] for head in ("joint", "audio", "visual")}
    run: dict[str, Any] = {
        "test_clip": [0, 1, 2, 3],
        "test_label": [0, 1, 2, 0],
        "test_angle_audio": [60.0, 70, 75, 80],
    }
    norms = {f"weight_norm_{m}": np.ones((3, 3), np.float32) for m in ("audio", "visual")}
    common = {"history": history, "norms": norms, "balancer": {"g_blend_online": {"first": 1, "then": 1}}}
    with store.publish(Path("results/prep/demo"), {"step": "pack"}) as out:
        described = {"classes": ["zero", "one", "two"], "modalities": {"audio": {}, "visual": {}}}
        (out / "dataset.json").write_text(json.dumps(described), encoding="utf-8")
        np.save(out / "test_clip.npy", np.arange(4))
        for modality in ("audio", "visual"):
            np.save(out / f"test_{modality}.npy", np.random.default_rng(0).random((4, 3, 8, 8)).astype(np.float16))
    with store.publish(
        Path("results/probes/demo"), {"step": "probe", "settings": {"dataset": "demo"}, "inputs": {}}
    ) as out:
        np.savez(out / "predictions.npz", test_clip=run["test_clip"], test_label=run["test_label"])
        (out / "metrics.json").write_text(
            json.dumps({name: {"trained": PROBE} for name in ("one", "two")}), encoding="utf-8"
        )
    made = {
        "a": publish_row("Row a", *[run | {"test_logits": [0, 1, 1, 1]}] * 2, head={"linear": {}}, **common),
        "b": publish_row(
            "Row b", *[run | {"test_logits": [0, 2, 2, 0]}] * 2, head={"cosine": {"scale": 5.0}}, **common
        ),
    }
    for row in made.values():
        for entry in row.entries:
            entry["layers"] = {"probe": "results/probes/demo", "layers": ["one", "two"], "snapshot": None}
    return made


@pytest.mark.parametrize("name", REGISTRY)
def test_a_kind_of_figure_is_made_from_its_options(name: str) -> None:
    plot = load("figure", {name: OPTIONS.get(name, {})})
    assert isinstance(plot, Plot)
    assert type(plot).draw is not Plot.draw


@pytest.mark.parametrize("name", REGISTRY)
def test_a_kind_that_compares_with_a_baseline_shows_several_rows(name: str) -> None:
    plot = load("figure", {name: OPTIONS.get(name, {})})
    has_baseline = "baseline" in inspect.signature(type(plot)).parameters
    assert plot.several_rows >= has_baseline


@pytest.mark.parametrize("name", REGISTRY)
def test_every_kind_is_rendered_on_white(name: str, rows: dict[str, FigureRow]) -> None:
    several = load("figure", {name: OPTIONS.get(name, {})}).several_rows
    shown = rows if several else {"b": rows["b"]}
    if name == "ranks":
        shown = {
            f"{data}_{m}": FigureRow(f"{data}: {m}", rows[m[0]].entries)
            for data in "uvwxyz"
            for m in ("a", "b", "again")
        }
    settings = {
        "table": "demo",
        "scale": "laptop",
        "generated": [],
        "command": "snakemake --cores",
        "spec": {
            "title": "A title",
            "paper": "Demo",
            "figure": {name: OPTIONS.get(name, {})},
            "rows": {key: {"label": row.label} for key, row in shown.items()},
        },
        "rows": {key: row.entries for key, row in shown.items()},
    }
    made = figures.report(settings)
    content = made[".png"]
    assert isinstance(content, bytes)
    image = imread(io.BytesIO(content), format="png")[..., :3]
    assert image.shape[1] >= 400
    assert (image[0] == 1).all()
    assert 0.001 < (image < 0.9).any(axis=2).mean() < 0.6
    assert json.loads(made[".json"])["caption"].endswith(".")


def test_one_kind_is_one_module() -> None:
    assert [locate("figure", name)[0].rsplit(".", 1)[1] for name in REGISTRY] == list(REGISTRY)


def test_more_things_than_colours_are_an_error() -> None:
    assert list(colours_of("abcdefg")) == list("abcdefg")
    assert len(set(PALETTE)) == 7
    with pytest.raises(UserError, match="7 colours, not 8"):
        colours_of("abcdefgh")
