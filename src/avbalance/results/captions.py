"""What the numbers of a table mean, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from avbalance.results.columns import Column
from avbalance.results.measure import Values
from avbalance.results.statistics import ALPHA, TEST

KINDS = {
    "alone": "Alone: a model trained on that modality only.",
    "masked": "Masked: the joint model's share of the logits that is this modality's.",
    "probe": (
        "Probe: a linear probe on an encoder's frozen features, those of its output or of the layer that a row names."
    ),
    "shapley": (
        "Contributes: the modality's Shapley value, its gain in test accuracy over the modalities shown before it, "
        "mean over all orders; the others are masked, and without any the most frequent class is guessed."
    ),
    "video": "Video accuracy: class probabilities averaged over a video's clips.",
    "map": "mAP: mean over classes of the average precision.",
    "mauc": "mAUC: mean over classes of the area under the ROC curve.",
    "eer": "EER: the error rate at which as many targets are missed as others are let in.",
    "dcf": "minDCF: least cost of detection, normalised, both errors costing 1.",
    "best": (
        "Best test epoch: as papers report, the best of a run's epochs, chosen on the test set itself, hence too good; "
        "only for comparison with the papers' numbers."
    ),
    "weight": "Weight: of a head's loss in the objective, in the last epoch.",
    "fallback": (
        "Fallback: share of the estimates of blend weights, one each super-epoch (offline: one in all), after which no "
        "head generalised, so that weights were equal."
    ),
    "ogr": (
        "OGR: a head's overfitting-to-generalisation ratio, offline from epoch 0 to the last, online over the last "
        "super-epoch."
    ),
    "train_accuracy": "Training accuracy: of the kept model on all training clips, in evaluation mode.",
    "train_loss": "Training loss: of the kept model on all training clips, in evaluation mode.",
    "fluctuation": "Fluctuation: median over epochs e of |L(e − 1) − 2 L(e) + L(e + 1)|, L(e) the mean training loss.",
    "super": (
        "Least gain of a super-epoch: validation accuracies at the end of the super-epoch in which the balancer gains "
        "least over naive training from the same start."
    ),
    "growth": "Growth: of the length of a class's weight from the first epoch to the last, mean over classes.",
    "angle": "Angle: between a test clip's features and the weight of its class; mean and deviation over clips.",
    "gflops": "GFLOPs: billions of multiply-adds of one clip's forward pass, the papers' count; no seed changes them.",
    "seconds": "Training: wall-clock seconds of a run alone, without those whose weights or blend it starts from.",
    "peak": "Peak memory: the most that was in use during training.",
    "parameters": "Parameters: of the whole model; no seed changes their number.",
}
GENERATED = "Generated data ({}): these numbers show that everything runs, and nothing else."


def duration(seconds: float) -> str:
    """Seconds in the largest sensible unit."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def warn(generated: Sequence[str]) -> str:
    """A sentence and a blank if data sets of these titles were generated; empty if none was."""
    return GENERATED.format(", ".join(generated)) + " " if generated else ""


def summarise(settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """One line: scale, seeds, clips, runs, time, device."""
    seeds = sorted({entry["seed"] for entries in settings["rows"].values() for entry in entries})
    clips = "no" if provenance["num_clips"] is None else f"{provenance['num_clips']:,}"
    gradient = provenance["probe_gradient"]
    solved = "" if gradient is None else f" Probes are solved until no entry of the gradient exceeds {gradient:.0e}."
    of_runs = f"{provenance['num_runs']} runs, {duration(provenance['seconds'])} of training"
    trained = of_runs if provenance["num_runs"] else "only probes are read, made"
    warning = warn(settings["generated"])
    return (
        f"{warning}Scale {settings['scale']}; seeds {', '.join(map(str, seeds))}; {clips} test clips; "
        f"{trained} on {' and '.join(provenance['devices']) or 'no device'}.{solved}"
    )


def of_table(
    frame: pd.DataFrame, columns: Sequence[Column], values: Values, combined: Mapping[str, Sequence[str]]
) -> str:
    """What numbers, marks and dashes mean."""
    num_seeds = int(frame["num_seeds"].max())
    meaning = (
        f"Mean over n = {num_seeds} seeds ± half width of the 95 % t-interval of that mean; where n differs, "
        "the cell says so, and a run that failed is counted as missing."
        if num_seeds > 1
        else "One seed (n=1), so no interval; claims and marks rest on the spread of the clips alone."
    )
    if frame["expected"].notna().any():
        meaning += " Δ: obtained minus paper."
    meaning += "".join(
        f" {text}" for kind, text in KINDS.items() if any(_speaks_of(column, kind) for column in columns)
    )
    if any(column.name.endswith("_gap") for column in columns):
        meaning += " Gap: the best modality's accuracy minus the worst one's."
    labels = dict(zip(frame["row"], frame["label"], strict=True))
    for row, parts in combined.items():
        of = ", ".join(labels[part] for part in parts)
        meaning += f" {labels[row]}: right where all of {of} are; the five best by the product of their probabilities."
    if (frame["mark"] != "").any():
        meaning += (
            " Bold: best of its column on its data; underlined: not distinguishable from the best (p is "
            f"{ALPHA} or more after Holm's correction over the column's rows). {TEST}"
        )
    return meaning + _remarks(columns, values, labels)


def _remarks(columns: Sequence[Column], values: Values, labels: Mapping[str, str]) -> str:
    """Why a cell has no value, or not the one that its column promises."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in columns:
        by_remark: dict[str, list[str]] = {}
        for row, cells in values.items():
            by_remark.setdefault(cells[column.name].remark, []).append(row)
        by_remark.pop("", None)
        for remark, rows in by_remark.items():
            found.setdefault((remark, tuple(rows)), []).append(column.heading)
    return "".join(
        f" {', '.join(headings)}"
        + (f" of {', '.join(labels[row] for row in rows)}" if len(rows) < len(values) else "")
        + f": {remark}."
        for (remark, rows), headings in found.items()
    )


def _speaks_of(column: Column, kind: str) -> bool:
    return column.name == kind or any(word.startswith(kind) for word in column.name.split("_"))
