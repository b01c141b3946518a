"""What each column of a table is, and its value for every seed and test clip.

Clip and video are different things: `accuracy` is a clip's, `video_accuracy` (V@1) that of the mean softmax of a
video's clips. `map` and `mauc`, where a clip has several classes, are of videos (see `metrics.by_video`). Columns of
verification may end in the name of a list of trials, `eer_<list>`; without one they are of all lists together.

The three uni-modal accuracies have fixed names: `alone`, a model trained on that modality only; `masked`, the
joint model's share of the logits that is this modality's; `probe`, a linear probe on the joint model's frozen
encoder.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from avbalance.cli import UserError
from avbalance.metrics import (
    by_class,
    by_video,
    clip_losses,
    correct,
    equal_error_rate,
    mean_over_classes,
    min_dcf,
    trial_scores,
)
from avbalance.registry import nearest
from avbalance.results.runs import Predictions, Runs

HEADINGS = {"f_xent": "f_Xent", "f_log": "f_Log"}
UNIMODAL = re.compile(r"(acc|map)_(\w+)_(alone|masked|probe)")
VERIFICATION = re.compile(r"(eer|min_dcf|min_dcf05)(?:_(\w+))?")
P_TARGET = {"min_dcf": 0.01, "min_dcf05": 0.05}
"""Both prior probabilities of a target are in use."""


class Column(NamedTuple):
    """How a column is shown.

    Attributes:
        better: +1 where higher is better, -1 where lower is, 0 where neither is.
    """

    name: str
    heading: str
    unit: str
    digits: int
    better: int


PLAIN = {
    column.name: column
    for column in (
        Column("accuracy", "Test accuracy", "%", 1, 1),
        Column("top5", "Test top-5 accuracy", "%", 1, 1),
        Column("video_accuracy", "Video accuracy", "%", 1, 1),
        Column("video_top5", "Video top-5 accuracy", "%", 1, 1),
        Column("map", "Test mAP", "%", 1, 1),
        Column("mauc", "Test mAUC", "%", 1, 1),
        Column("loss", "Test loss", "nats", 3, -1),
        Column("probe_gap", "Probe gap", "points", 1, -1),
    )
}


def describe(name: str) -> Column:
    """A measured column by name."""
    if name in PLAIN:
        return PLAIN[name]
    if match := UNIMODAL.fullmatch(name):
        measure, modality, kind = match.groups()
        return Column(name, f"{modality.capitalize()} {kind}{' mAP' * (measure == 'map')}", "%", 1, 1)
    if match := VERIFICATION.fullmatch(name):
        measure, listed = match.groups()
        of = f"{listed} " if listed else ""
        if measure == "eer":
            return Column(name, f"{of}EER", "%", 2, -1)
        return Column(name, f"{of}minDCF (p = {P_TARGET[measure]})", "", 3, -1)
    raise UserError(
        f"column {name!r} does not exist; allowed: {', '.join(PLAIN)}; acc_<modality>_ or map_<modality>_ followed by "
        f"alone, masked or probe; eer, {' or '.join(P_TARGET)}, also followed by _<list of trials>"
    )


def computed(name: str) -> Column:
    """A column of a computed table."""
    return Column(name, HEADINGS.get(name, name), "", 3, 0)


@dataclass
class Measured:
    """One cell's values.

    Attributes:
        values: {seed: [clips]} or {seed: [videos]} in the column's unit, or {seed: [1]} where there is none for each.
        num_seeds: How many seeds there should be; 0 where the row has no such column.
        data: The prepared data set; only values of one are of the same clips.
        exact: Computed from a formula, so without spread.
    """

    values: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    num_seeds: int = 0
    data: str = ""
    exact: bool = False

    def means(self, seeds: list[int] | None = None) -> NDArray[np.float64]:
        """Mean over clips for each seed, [seeds]."""
        return np.array([self.values[seed].mean() for seed in (self.values if seeds is None else seeds)])


Values = dict[str, dict[str, Measured]]
"""{row: {column: its values}}."""


def measure(rows: Mapping[str, list[dict[str, Any]]], columns: list[str], runs: Runs) -> Values:
    """Read every row's runs.

    Args:
        rows: {row: [{"seed", "run": folder, "probe": folder or None, "alone": {modality: folder}}]}.
        columns: Names.
        runs: Opens the folders.
    """
    values: Values = {row: {column: Measured() for column in columns} for row in rows}
    for row, entries in rows.items():
        for column, cell in values[row].items():
            for entry in entries:
                folder, logits = _source(column, entry)
                if folder is None:
                    continue
                predictions = runs.predictions(folder)
                value = None if predictions is None else _value(column, predictions, logits)
                if value is not None:
                    cell.values[entry["seed"]] = value
                    cell.data = runs.data(folder)
                cell.num_seeds += value is not None or predictions is None
    return values


def _source(column: str, entry: dict[str, Any]) -> tuple[str | None, str]:
    """The folder a column is computed from, None where the row has no such column, and its logits' name."""
    if column == "probe_gap":
        return entry["probe"], "test_probe_"
    match = UNIMODAL.fullmatch(column)
    if match is None:
        return entry["run"], "test_logits"
    _, modality, kind = match.groups()
    if kind == "alone":
        return entry["alone"].get(modality), "test_logits"
    return entry["probe" if kind == "probe" else "run"], f"test_{kind}_{modality}"


def _value(column: str, predictions: Predictions, logits: str) -> NDArray[np.float64] | None:
    """One seed's values, [clips], [videos] or [1]; None where the run or the task of its data has no such column."""
    if match := VERIFICATION.fullmatch(column):
        return _of_trials(column, match[1], match[2], predictions)
    labels, videos = predictions["test_label"], predictions.get("test_video")
    of_classes = column.startswith(("map", "mauc"))
    if column != "loss" and of_classes != (labels.ndim == 2):
        return None
    if column == "probe_gap":
        probes = [correct(found, labels).mean() for name, found in predictions.items() if name.startswith(logits)]
        return 100.0 * np.array([max(probes) - min(probes)])
    if logits not in predictions:
        return None
    said = predictions[logits]
    if column == "loss":
        return clip_losses(said, labels)
    if of_classes:
        precision, area = by_class(*by_video(said, labels, videos))
        mean = mean_over_classes(area if column == "mauc" else precision)
        return None if np.isnan(mean) else 100.0 * np.array([mean])
    if column.startswith("video_"):
        if videos is None:
            return None
        said, labels = by_video(said, labels, videos)
    return 100.0 * correct(said, labels, k=5 if column.endswith("top5") else 1).astype(np.float64)


def _of_trials(column: str, measure: str, listed: str | None, predictions: Predictions) -> NDArray[np.float64] | None:
    """One seed's figure of a list of trials, or of all, [1]; None where there are no trials."""
    lists = {name.removeprefix("trials_"): trials for name, trials in predictions.items() if name.startswith("trials_")}
    if not lists:
        return None
    if listed is not None and listed not in lists:
        raise UserError(f"column {column!r}: {listed!r} is not a list of trials; {nearest(listed, list(lists))}")
    trials = np.concatenate(list(lists.values())) if listed is None else lists[listed]
    scores = trial_scores(predictions["test_embedding"], trials)
    if measure == "eer":
        return 100.0 * np.array([equal_error_rate(scores, trials[:, 2])])
    return np.array([min_dcf(scores, trials[:, 2], P_TARGET[measure])])
