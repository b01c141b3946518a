"""Probes on layers.

Of rows with `probe`: linear probes on the features of a layer.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from avbalance.metrics import correct
from avbalance.probing.names import entry_of, select
from avbalance.results.columns.base import Column, Entry, RowTraits, Values
from avbalance.results.columns.unimodal import PROBE
from avbalance.results.runs import Run, Runs

TRAINED = "trained"
"""Moment of the weights that a run ends with."""
LayerMetrics = dict[str, dict[str, dict[str, list[float]]]]
"""{layer: {snapshot: {metric: [seeds]}}}."""


class OfLayer(Column):
    """A metric of the probe on the first layer that the row names."""

    unit, digits, better = "%", 2, -1
    captions = (PROBE,)
    reads = ("layers",)

    @classmethod
    def applies(cls, traits: RowTraits) -> bool:
        """Return True if the row probes layers."""
        return traits.has_probe

    def sources(self, entry: Entry) -> list[str]:
        """The artifact of the row's probes."""
        return [entry["layers"]["probe"]] if "layers" in entry else []

    def value_of_entry(self, entry: Entry, runs: Sequence[Run]) -> Values | None:
        """[clips] of test, else [1]."""
        asked = entry["layers"]
        return self.value_of_layer(runs[0], asked["layers"][0], asked["snapshot"])

    def value_of_layer(self, probe: Run, layer: str, snapshot: int | None) -> Values | None:
        """Values of the probe on a layer at a snapshot: optimiser steps, or None for the run's weights."""
        values = probe.metrics[layer][TRAINED if snapshot is None else str(snapshot)]
        return np.array([values[self.metric] * (100 if self.unit == "%" else 1)])

    @property
    def metric(self) -> str:
        """Name of the metric in the probe's metrics.json."""
        name = self.name.removeprefix("probe_")
        return name if name.startswith(("train_", "val_")) else f"test_{name}"


class ProbeError(OfLayer):
    """Share of the test clips that the probe classifies wrongly."""

    heading = "Probe error"
    k: ClassVar[int] = 1

    def value_of_layer(self, probe: Run, layer: str, snapshot: int | None) -> Values | None:
        """[clips]."""
        ranks = probe.predictions[f"test_probe_{entry_of(layer, snapshot)}"]
        return 100.0 * (~correct(ranks, probe.predictions["test_label"], self.k)).astype(np.float64)


class ProbeTop5Error(ProbeError):
    """Share of the test clips whose class is not among the probe's five most probable ones."""

    heading = "Probe top-5 error"
    k = 5


class ProbeLoss(OfLayer):
    """Cross-entropy of the probe on test clips."""

    heading = "Probe loss"
    unit, digits = "nats", 3

    def value_of_layer(self, probe: Run, layer: str, snapshot: int | None) -> Values | None:
        """[clips]; None for an older probe."""
        losses = probe.predictions.get(f"test_loss_{entry_of(layer, snapshot)}")
        return None if losses is None else losses.astype(np.float64)

    def reason(self, run: Run) -> str:
        """Reason of an older probe."""
        return "older probes do not say what the loss of each clip is; make them anew"


class ProbeValError(OfLayer):
    """Share of the validation clips that the probe classifies wrongly."""

    heading = "Probe error, validation"


class ProbeValLoss(OfLayer):
    """Cross-entropy of the probe on validation clips."""

    heading = "Probe loss, validation"
    unit, digits = "nats", 3


class ProbeTrainError(OfLayer):
    """Share of the training clips that the probe classifies wrongly."""

    heading = "Probe error, training"


class ProbeTrainLoss(ProbeValLoss):
    """Cross-entropy of the probe on training clips."""

    heading = "Probe loss, training"


def read_probes(entries: Sequence[Mapping[str, Any]], runs: Runs) -> LayerMetrics:
    """Metrics of a row's probes, a value for every seed.

    Args:
        entries: The row's, one a seed; seeds whose probe failed are left out.
        runs: Opens the probes' folders.

    Returns:
        Layers in network order; snapshots are "trained" or optimiser steps, rising; metrics are those of the probe's
        metrics.json, errors in [0, 1] and losses in nats. Empty if no probe exists.
    """
    metrics: LayerMetrics = {}
    for entry in entries:
        asked = entry["layers"]
        probe = runs.find(asked["probe"])
        if probe is None:
            continue
        probe.check_clips()
        snapshot = TRAINED if asked["snapshot"] is None else str(asked["snapshot"])
        for layer in select(asked["layers"], list(probe.metrics)):
            for name, value in probe.metrics[layer][snapshot].items():
                metrics.setdefault(layer, {}).setdefault(snapshot, {}).setdefault(name, []).append(value)
    return metrics
