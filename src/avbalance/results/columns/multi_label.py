"""Several classes a clip.

Classes without a positive or without a negative test clip are left out; a remark below the table says how many.
"""

from typing import ClassVar

import numpy as np

from avbalance.metrics import by_class, by_video, mean_over_classes
from avbalance.results.columns import unimodal
from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run

MAP = "mAP: mean over classes of the average precision."


class _MeanOverClasses(Column):
    """A figure of ranked videos for each class, averaged over classes."""

    unit, digits, better = "%", 1, 1
    tasks = ("multi_label",)
    logits: ClassVar[str] = "test_logits"
    is_area: ClassVar[bool] = False

    def value(self, run: Run) -> Values | None:
        """[1]; NaN if no class has both positive and negative test clips."""
        said, logits = run.predictions, self.logits.format(**self.parts)
        if said["test_label"].ndim != 2 or logits not in said:
            return None
        precision, area = by_class(*by_video(said[logits], said["test_label"], said.get("test_video")))
        return 100.0 * np.array([mean_over_classes(area if self.is_area else precision)])

    def remark(self, run: Run, value: Values) -> str:
        """Number of classes that are left out."""
        labels = run.predictions["test_label"]
        left_out = int((labels.all(axis=0) | ~labels.any(axis=0)).sum())
        if not left_out:
            return ""
        return f"{left_out} of {labels.shape[1]} classes have no positive or no negative test clip and are left out"


class Map(_MeanOverClasses):
    """Mean average precision of test videos."""

    heading = "Test mAP"
    captions: ClassVar[tuple[str, ...]] = (MAP,)


class Mauc(_MeanOverClasses):
    """Mean area under the ROC curve of test videos."""

    heading = "Test mAUC"
    captions: ClassVar[tuple[str, ...]] = ("mAUC: mean over classes of the area under the ROC curve.",)
    is_area = True


class Alone(_MeanOverClasses, unimodal.OfAlone):
    """mAP of a model trained on that modality only."""

    heading = "{Modality} alone mAP"
    captions = (unimodal.ALONE, MAP)


class Masked(_MeanOverClasses):
    """mAP of the modality's share of the joint model's logits."""

    heading = "{Modality} masked mAP"
    captions = (unimodal.MASKED, MAP)
    logits = "test_masked_{modality}"


class Probe(_MeanOverClasses):
    """mAP of a linear probe on the joint model's frozen encoder."""

    heading = "{Modality} probe mAP"
    captions = (unimodal.PROBE, MAP)
    logits = "test_probe_{modality}"
    reads = ("probe",)
