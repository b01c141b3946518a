"""Single modalities.

Three accuracies of a modality have fixed names: alone, masked, probe.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from avbalance.metrics import correct
from avbalance.results.columns.accuracy import right_of_clips
from avbalance.results.columns.base import Column, Entry, Role, Values
from avbalance.results.runs import Run

ALONE = "Alone: a model trained on that modality only."
MASKED = "Masked: the joint model's share of the logits that is this modality's."
PROBE = "Probe: a linear probe on an encoder's frozen features, those of its output or of the layer that a row names."
STRENGTH = "Strongest, weakest: the modality whose model alone is most, least accurate on validation, seed by seed."
GAP = "Gap: the best modality's accuracy minus the worst one's."


class OfAlone(Column):
    """Mixin: the value is of the uni-modal run."""

    reads = ("alone",)

    def sources(self, entry: Entry) -> list[str]:
        """The modality's own run."""
        folder = entry["alone"].get(self.parts["modality"])
        return [] if folder is None else [folder]


class _OfModality(Column):
    """Accuracy on the test clips by the logits of one modality."""

    unit, digits, better = "%", 1, 1
    tasks = ("single_label",)
    logits: ClassVar[str] = "test_logits"

    def value(self, run: Run) -> Values | None:
        """[clips]."""
        return right_of_clips(run, self.logits.format(**self.parts))


class Alone(_OfModality, OfAlone):
    """Accuracy of a model trained on that modality only."""

    heading = "{Modality} alone"
    captions = (ALONE,)


class Masked(_OfModality):
    """Accuracy of the modality's share of the joint model's logits."""

    heading = "{Modality} masked"
    captions = (MASKED,)
    logits = "test_masked_{modality}"


class Probe(_OfModality):
    """Accuracy of a linear probe on the joint model's frozen encoder."""

    heading = "{Modality} probe"
    captions = (PROBE,)
    logits = "test_probe_{modality}"
    reads = ("probe",)


class _OfStrength(_OfModality):
    """Accuracy of the modality at a place in the order of the models alone by their accuracy on validation."""

    reads: ClassVar[tuple[Role, ...]] = ("alone",)
    captions: ClassVar[tuple[str, ...]] = (ALONE, STRENGTH)
    place: ClassVar[int]

    def sources(self, entry: Entry) -> list[str]:
        """Every modality's own run."""
        return list(entry["alone"].values())

    def value_of_entry(self, entry: Entry, runs: Sequence[Run]) -> Values | None:
        """[clips]; None if clips have several classes."""
        return right_of_clips(runs[list(entry["alone"]).index(self.modality_of(entry, runs))], "test_logits")

    def modality_of(self, entry: Entry, runs: Sequence[Run]) -> str:
        """The modality that stands at the place; equal accuracies are ordered as the row orders its modalities.

        Args:
            runs: The models alone, in the order of `sources`.
        """
        modalities: list[str] = list(entry["alone"])
        accuracies = {modality: run.metrics["val_accuracy"] for modality, run in zip(modalities, runs, strict=True)}
        return sorted(modalities, key=lambda modality: -accuracies[modality])[self.place]


class StrongestAlone(_OfStrength):
    """Accuracy of the best model trained on one modality only, best on validation."""

    heading = "Strongest alone"
    place = 0


class WeakestAlone(_OfStrength):
    """Accuracy of the worst model trained on one modality only, worst on validation."""

    heading = "Weakest alone"
    place = -1


class WeakestProbe(_OfStrength):
    """Accuracy of a linear probe on the joint model's encoder of the weakest modality."""

    heading = "Weakest probe"
    captions = (ALONE, PROBE, STRENGTH)
    reads = ("probe", "alone")
    place = -1

    def sources(self, entry: Entry) -> list[str]:
        """The probes, and every modality's own run; none without probes."""
        return [entry["probe"], *super().sources(entry)] if entry["probe"] is not None and entry["alone"] else []

    def value_of_entry(self, entry: Entry, runs: Sequence[Run]) -> Values | None:
        """[clips]; None if clips have several classes."""
        probe, *alone = runs
        return right_of_clips(probe, f"test_probe_{self.modality_of(entry, alone)}")


class _Gap(Column):
    """The best modality's accuracy minus the worst one's."""

    unit, digits, better = "points", 1, -1
    tasks = ("single_label",)
    logits: ClassVar[str]

    def value_of_entry(self, entry: Entry, runs: Sequence[Run]) -> Values | None:
        """[1]; None with one modality, or with several classes a clip. Logits of several modalities have a plus."""
        accuracies = [
            100.0 * correct(run.predictions[name], run.predictions["test_label"]).mean()
            for run in runs
            for name in run.predictions
            if name.startswith(self.logits) and "+" not in name and run.predictions["test_label"].ndim == 1
        ]
        return np.array([max(accuracies) - min(accuracies)]) if len(accuracies) > 1 else None


class AloneGap(_Gap):
    """Gap between the models trained on one modality each."""

    heading = "Alone gap"
    better = 0
    captions = (ALONE, GAP)
    logits = "test_logits"
    reads = ("alone",)

    def sources(self, entry: Entry) -> list[str]:
        """Every modality's own run."""
        return list(entry["alone"].values())


class MaskedGap(_Gap):
    """Gap between the modalities' shares of the joint model's logits."""

    heading = "Masked gap"
    captions = (MASKED, GAP)
    logits = "test_masked_"


class ProbeGap(_Gap):
    """Gap between the probes on the joint model's encoders."""

    heading = "Probe gap"
    captions = (PROBE, GAP)
    logits = "test_probe_"
    reads = ("probe",)
