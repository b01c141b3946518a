"""The probes of a row's layers: columns of tables, and what figures draw.

A table's cell or a plot's row holds, for each seed, under `layers`: {"probe": folder, "layers": [names or patterns],
"snapshot": optimiser steps or None}.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avbalance.metrics import correct
from avbalance.probing.names import entry_of, select
from avbalance.results.runs import Predictions, Runs

COLUMNS = {
    "probe_error": ("Probe error", "%", 2, -1),
    "probe_top5_error": ("Probe top-5 error", "%", 2, -1),
    "probe_loss": ("Probe loss", "nats", 3, -1),
    "probe_val_error": ("Probe error, validation", "%", 2, -1),
    "probe_val_loss": ("Probe loss, validation", "nats", 3, -1),
    "probe_train_error": ("Probe error, training", "%", 2, -1),
    "probe_train_loss": ("Probe loss, training", "nats", 3, -1),
}
"""{column: (heading, unit, digits, better)} as of `columns.Column`."""
TRAINED = "trained"
"""The moment of the weights that a run ends with."""

Figures = dict[str, dict[str, dict[str, list[float]]]]


def read(entries: Sequence[Mapping[str, Any]], runs: Runs) -> Figures:
    """What the probes of a row found, by layer in network order, by moment, by figure: a value for every seed.

    Args:
        entries: A row's, one a seed; seeds whose probe failed are left out.
        runs: Opens the probes' folders.

    Returns:
        {layer: {moment: {figure: [seeds]}}}; moments are "trained" or optimiser steps, rising; figures are those of
        the probe's metrics.json, errors in [0, 1] and losses in nats. Empty where no probe is there.
    """
    found: Figures = {}
    for entry in entries:
        asked = entry["layers"]
        if runs.predictions(asked["probe"]) is None:
            continue
        figures = runs.metrics(asked["probe"])
        moment = TRAINED if asked["snapshot"] is None else str(asked["snapshot"])
        for layer in select(asked["layers"], list(figures)):
            for name, value in figures[layer][moment].items():
                found.setdefault(layer, {}).setdefault(moment, {}).setdefault(name, []).append(value)
    return found


def sources(entry: Mapping[str, Any]) -> tuple[list[str], str]:
    """The probe that a cell's columns are computed from, none where its row has none, and its entry there."""
    if "layers" not in entry:
        return [], ""
    asked = entry["layers"]
    return [asked["probe"]], entry_of(asked["layers"][0], asked["snapshot"])


def value(column: str, predictions: Predictions, entry: str, figures: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """One seed's values: [clips] on test, else [1]; figures are the probe's metrics.json. None where it has none."""
    if column == "probe_loss":
        losses = predictions.get(f"test_loss_{entry}")
        return None if losses is None else losses.astype(np.float64)
    if column in ("probe_error", "probe_top5_error"):
        ranks, labels = predictions[f"test_probe_{entry}"], predictions["test_label"]
        return 100.0 * (~correct(ranks, labels, k=1 if column == "probe_error" else 5)).astype(np.float64)
    layer, _, moment = entry.partition("@")
    name = column.removeprefix("probe_")
    return np.array([figures[layer][moment or TRAINED][name] * (100 if name.endswith("error") else 1)])
