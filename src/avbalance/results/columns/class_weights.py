"""Class weights.

Of heads with a weight for each class; MMCosine (Xu et al., ICASSP 2023), Figs. 3 and 4.
"""

import numpy as np

from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run

ANGLE = "Angle: between a test clip's features and the weight of its class; mean and deviation over clips."


class NormGrowth(Column):
    """Growth of a class weight's length during training."""

    heading = "Growth of {modality} weight norm"
    signed = True
    tasks = ("single_label",)
    captions = ("Growth: of the length of a class's weight from the first epoch to the last, mean over classes.",)

    def value(self, run: Run) -> Values | None:
        """[1]."""
        norms = run.weight_norms.get(self.parts["modality"])
        if norms is None:
            return None
        first, last = norms[[0, -1]].astype(np.float64)
        return np.array([(last - first).mean()])


class AngleMean(Column):
    """Mean angle between features and class weight."""

    heading = "{Modality} angle, mean"
    unit, digits = "degrees", 1
    tasks = ("single_label",)
    captions = (ANGLE,)

    def value(self, run: Run) -> Values | None:
        """[clips]."""
        angles = run.predictions.get(f"test_angle_{self.parts['modality']}")
        return None if angles is None else angles.astype(np.float64)


class AngleDeviation(AngleMean):
    """Standard deviation of the angle over clips."""

    heading = "{Modality} angle, deviation"

    def value(self, run: Run) -> Values | None:
        """[1]."""
        degrees = super().value(run)
        return None if degrees is None else np.array([degrees.std()])
