"""What each column of a table is, and its value for every seed and test clip.

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
from avbalance.metrics import clip_losses, correct
from avbalance.results.runs import Predictions, Runs

HEADINGS = {"f_xent": "f_Xent", "f_log": "f_Log"}
UNIMODAL = re.compile(r"acc_(\w+)_(alone|masked|probe)")


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


def describe(name: str) -> Column:
    """A measured column by name."""
    if name == "accuracy":
        return Column(name, "Test accuracy", "%", 1, 1)
    if name == "loss":
        return Column(name, "Test loss", "nats", 3, -1)
    if name == "probe_gap":
        return Column(name, "Probe gap", "points", 1, -1)
    if match := UNIMODAL.fullmatch(name):
        modality, kind = match.groups()
        return Column(name, f"{modality.capitalize()} {kind}", "%", 1, 1)
    raise UserError(
        f"column {name!r} does not exist; allowed: accuracy, loss, probe_gap, and acc_<modality>_ followed by "
        "alone, masked or probe"
    )


def computed(name: str) -> Column:
    """A column of a computed table."""
    return Column(name, HEADINGS.get(name, name), "", 3, 0)


@dataclass
class Measured:
    """One cell's values.

    Attributes:
        values: {seed: [clips]} in the column's unit, or {seed: [1]} where there is none for single clips.
        num_seeds: How many seeds there should be; 0 where the row has no such column.
        exact: Computed from a formula, so without spread.
    """

    values: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    num_seeds: int = 0
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
                cell.num_seeds += value is not None or predictions is None
    return values


def _source(column: str, entry: dict[str, Any]) -> tuple[str | None, str]:
    """The folder a column is computed from, None where the row has no such column, and its logits' name."""
    if column == "probe_gap":
        return entry["probe"], "test_probe_"
    match = UNIMODAL.fullmatch(column)
    if match is None:
        return entry["run"], "test_logits"
    modality, kind = match.groups()
    if kind == "alone":
        return entry["alone"].get(modality), "test_logits"
    return entry["probe" if kind == "probe" else "run"], f"test_{kind}_{modality}"


def _value(column: str, predictions: Predictions, logits: str) -> NDArray[np.float64] | None:
    """One seed's values, [clips] or [1]; None where the run has no such logits."""
    labels = predictions["test_label"]
    if column == "probe_gap":
        probes = [correct(found, labels).mean() for name, found in predictions.items() if name.startswith(logits)]
        return 100.0 * np.array([max(probes) - min(probes)])
    if logits not in predictions:
        return None
    if column == "loss":
        return clip_losses(predictions[logits], labels)
    return 100.0 * correct(predictions[logits], labels).astype(np.float64)
