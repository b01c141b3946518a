"""Step: a figure's runs -> PNG, SVG, and JSON with title and caption."""

import argparse
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.cli import UserError, run
from avbalance.results import files, plots
from avbalance.results.runs import Runs
from avbalance.store import load_recipe, open_artifact

SAMPLE_SEED = 0
"""Of the draw of sample clips: the same clips in every figure of a data set's split."""


def curves(folders: Mapping[int, str], runs: Runs) -> tuple[Figure, str]:
    """Loss and validation accuracy by epoch."""
    trainings = [
        plots.Training(seed, runs.history(folder), runs.metrics(folder)["best_epoch"])
        for seed, folder in folders.items()
    ]
    first, *others = folders
    caption = f"Seed {first} bold, {_seeds(others)} thin." if others else f"Seed {first}."
    return plots.draw_curves(trainings), (
        f"{caption} A dot marks the epoch with the lowest validation loss, whose weights are used. The training "
        "loss is the mean over the epoch's steps, with dropout."
    )


def count(folders: Mapping[int, str], runs: Runs) -> NDArray[np.int64]:
    """Test clips by class, [true, predicted], summed over seeds."""
    counts = np.zeros((), np.int64)
    for folder in folders.values():
        predictions = runs.predictions(folder)
        assert predictions is not None
        logits, labels = predictions["test_logits"], predictions["test_label"]
        size = logits.shape[1]
        counted = np.bincount(labels * size + logits.argmax(axis=1), minlength=size**2).reshape(size, size)
        counts = counts + counted
    return counts


def confusion(folders: Mapping[int, str], runs: Runs) -> tuple[Figure, str]:
    """Counts of true against predicted classes on the test split."""
    counts = count(folders, runs)
    classes = [str(number) for number in range(len(counts))]
    share = 100 * np.trace(counts) / counts.sum()
    return plots.draw_confusion(counts, classes), (
        f"Test clips, summed over {_seeds(list(folders))}; {share:.1f} % lie on the diagonal."
    )


def samples(folders: Mapping[int, str], runs: Runs, data: Path, split: str, num_clips: int) -> tuple[Figure, str]:
    """Clips drawn at random, with the logits of the first seed."""
    seed, folder = next(iter(folders.items()))
    predictions = runs.predictions(folder)
    assert predictions is not None
    open_artifact(data)
    description = json.loads((data / "dataset.json").read_text())
    labels, logits = predictions[f"{split}_label"], predictions[f"{split}_logits"]
    inputs = {
        modality: np.load(data / f"{split}_{modality}.npy", mmap_mode="r")
        for modality in runs.manifests[folder]["recipe"]["settings"]["encoder"]
    }
    drawn = np.sort(np.random.default_rng(SAMPLE_SEED).choice(len(labels), num_clips, replace=False))
    clips = [
        plots.Sample(
            int(index),
            {modality: np.array(array[index]) for modality, array in inputs.items()},
            logits[index],
            int(labels[index]),
        )
        for index in drawn
    ]
    return plots.draw_samples(clips, description["classes"], description.get("sample_rate")), (
        f"{num_clips} clips of the {split} split, drawn at random; logits of seed {seed}. Blue: the true class; "
        "orange: a class said instead of it."
    )


def _seeds(seeds: list[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def report(settings: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, str | bytes]:
    """The three files of a figure, {suffix: content}."""
    spec, runs = settings["spec"], Runs()
    ((row, entries),) = settings["rows"].items()
    folders = {entry["seed"]: entry["run"] for entry in entries if Path(entry["run"]).exists()}
    if not folders:
        raise UserError(f"figure {settings['table']}: every run of row {row!r} failed; see results/logs")
    ((kind, options),) = spec["figure"].items()
    if kind == "curves":
        figure, caption = curves(folders, runs, **options)
    elif kind == "confusion":
        figure, caption = confusion(folders, runs, **options)
    elif kind == "samples":
        figure, caption = samples(folders, runs, Path(inputs["data"]), **options)
    else:
        raise UserError(
            f"figure {settings['table']}: {kind!r} is no kind of figure; allowed: curves, confusion, samples"
        )
    if len(folders) < len(entries):
        caption += f" Runs that failed: {len(entries) - len(folders)} of {len(entries)}."
    about = {
        "table": settings["table"],
        "title": spec["title"],
        "paper": spec["paper"],
        "command": settings["command"],
        "scale": settings["scale"],
        "caption": caption,
        "provenance": runs.provenance(),
    }
    return {
        ".png": _save(figure, "png", dpi=150, metadata={"Software": None}),
        ".svg": _save(figure, "svg", dpi=150, metadata={"Date": None, "Creator": None}),
        ".json": json.dumps(about, indent=1, ensure_ascii=False) + "\n",
    }


def _save(figure: Figure, file_format: str, **options: Any) -> bytes:  # noqa: ANN401
    buffer = io.BytesIO()
    with mpl.rc_context(plots.STYLE):
        figure.savefig(buffer, format=file_format, **options)
    return buffer.getvalue()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, required=True, help="JSON: which runs make the figure")
    parser.add_argument("--out", type=Path, required=True, help="files written: OUT.png .svg .json")
    parser.add_argument("--stamp", type=Path, required=True, help="written last: the recipe, under a name with its key")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe)
    files.write(arguments.out, report(recipe["settings"], recipe["inputs"]), arguments.stamp, recipe)


if __name__ == "__main__":
    run(main)
