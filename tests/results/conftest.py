import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vl_convert
from numpy.typing import NDArray

from avbalance import stamps, store
from avbalance.results import figures, tables

TABLE, FIGURE = Path("results/tables/laptop/demo_table1"), Path("results/figures/laptop/demo_fig1")
PATHS = [f"{TABLE}.0123456789ab", f"{FIGURE}.0123456789ab"]
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1])
PublishRun = Callable[..., str]


def logits_of(num_right: int, num_classes: int = 3) -> NDArray[np.float16]:
    """Logits of the eight clips of which the first `num_right` are classified correctly."""
    said = np.where(np.arange(len(LABELS)) < num_right, LABELS, (LABELS + 1) % num_classes)
    return (2.0 * np.eye(num_classes)[said]).astype(np.float16)


@pytest.fixture(scope="session", autouse=True)
def _bundle() -> Iterator[None]:
    """The scripts of a page, two seconds of work that no content changes, are bundled once."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vl_convert, "javascript_bundle", cache(vl_convert.javascript_bundle))
        yield


@pytest.fixture
def publish_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishRun:
    """Publishes a run or probe as training would; the current folder is a fresh one."""
    monkeypatch.chdir(tmp_path)

    def publish(
        name: str,
        step: str = "train",
        encoder: tuple[str, ...] = ("audio",),
        data: str = "demo",
        metrics: Mapping[str, float] | None = None,
        **right: int,
    ) -> str:
        """`right`: {name of logits: how many of the eight clips are right}."""
        folder = Path("results") / ("probes" if step == "probe" else "runs") / name
        recipe: dict[str, Any] = {"step": step, "name": name, "settings": {"encoder": {key: {} for key in encoder}}}
        recipe["settings"]["dataset"] = data
        recipe["inputs"] = {f"data_{modality}": f"results/prep/{data}" for modality in encoder}
        predictions: dict[str, NDArray[Any]] = {f"{split}_label": LABELS for split in ("train", "seen", "test")}
        predictions |= {f"{split}_clip": np.arange(len(LABELS)) for split in ("train", "seen", "test")}
        predictions |= {logits: logits_of(number) for logits, number in right.items()}
        with store.publish(folder, recipe) as out:
            np.savez_compressed(out / "predictions.npz", **predictions)  # type: ignore[arg-type]
            (out / "history.csv").write_text(
                "epoch,train_loss,val_loss,val_accuracy,seconds,test_accuracy,ogr_joint\n"
                "1,1.0,0.9,0.5,2,0.25,2\n2,0.6,0.5,0.8,2,0.5,1\n3,0.4,0.7,0.7,2,0.75,inf\n",
                encoding="utf-8",
            )
            figures = {"best_epoch": 2, "multiply_adds_per_clip": 1_500_000_000, "num_parameters": 1_250_000}
            figures |= {"train_seconds": 6}
            (out / "metrics.json").write_text(json.dumps({**figures, **(metrics or {})}), encoding="utf-8")
        return str(folder)

    return publish


@pytest.fixture
def settings() -> dict[str, Any]:
    """The settings of a table of two rows and two seeds, whose runs are not there yet."""
    return {
        "table": "demo_table1",
        "scale": "laptop",
        "generated": [],
        "command": "snakemake --cores all --config scale=laptop tables=[demo_table1]",
        "spec": {
            "title": "A demonstration of 100 % & more",
            "paper": "Demo (Doe, 2020): Table 1",
            "columns": ["loss", "accuracy"],
            "expected": {"better": {"accuracy": 90.0}},
            "claims": {
                "better_beats_worse": {
                    "text": "The better row is better.",
                    "metric": "accuracy",
                    "left": "better",
                    "relation": ">",
                    "right": "worse",
                }
            },
            "rows": {"better": {"label": "Better_row"}, "worse": {"label": "Worse row"}},
        },
        "rows": {
            row: [{"seed": seed, "run": f"results/runs/{row}-s{seed}", "probe": None, "alone": {}} for seed in (0, 1)]
            for row in ("better", "worse")
        },
    }


@pytest.fixture
def runs(publish_run: PublishRun) -> PublishRun:
    """All four runs of `settings`: 8 and 7 clips right, and 2 and 1."""
    for name, right in (("better-s0", 8), ("better-s1", 7), ("worse-s0", 2), ("worse-s1", 1)):
        publish_run(name, test_logits=right)
    return publish_run


@pytest.fixture
def made(runs: PublishRun, settings: dict[str, Any]) -> list[str]:
    """Paths of a table and a figure that were made, with their stamps."""
    settings["spec"]["title"] = "Better <b>and</b> worse"
    stamps.write(TABLE, tables.report(settings), Path(f"{PATHS[0]}.key"), {"settings": settings})
    spec = settings["spec"] | {"figure": {"curves": {}}, "paper": "Demo (Doe, 2020): Figure 1"}
    figure = settings | {"table": "demo_fig1", "spec": spec, "rows": {"better": settings["rows"]["better"]}}
    stamps.write(FIGURE, figures.report(figure), Path(f"{PATHS[1]}.key"), {"settings": figure})
    return PATHS
