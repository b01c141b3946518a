"""Cost."""

from typing import ClassVar

import numpy as np

from avbalance.provenance import peak_memory_mib
from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run


class _OfTheModel(Column):
    """A number of the model, which training does not change."""

    digits = 2
    exact = True
    metric: ClassVar[str]
    divisor: ClassVar[float]

    def value(self, run: Run) -> Values | None:
        """[1], divided by `divisor`."""
        return np.array([run.metrics[self.metric] / self.divisor]) if self.metric in run.metrics else None


class Gflops(_OfTheModel):
    """Multiply-adds of one clip's forward pass."""

    heading = "GFLOPs (multiply-adds)"
    captions = (
        "GFLOPs: billions of multiply-adds of one clip's forward pass, the papers' count; no seed changes them.",
    )
    metric, divisor = "multiply_adds_per_clip", 1e9


class Parameters(_OfTheModel):
    """Number of the model's parameters."""

    heading = "Parameters"
    unit = "millions"
    captions = ("Parameters: of the whole model; no seed changes their number.",)
    metric, divisor = "num_parameters", 1e6


class TrainSeconds(Column):
    """Duration of training."""

    heading = "Training, one run"
    unit, digits = "s", 0
    captions = (
        "Training: wall-clock seconds of a run alone, without those whose weights or blend it starts from; of an "
        "ensemble, the sum over its members, as of GFLOPs and parameters.",
    )

    def value(self, run: Run) -> Values | None:
        """[1]."""
        return np.array([run.metrics["train_seconds"]])


class Passes(Column):
    """Passes over the training clips that training took."""

    heading = "Passes"
    digits = 1
    captions = (
        "Passes: how often an encoder was trained on each training clip, mean over the encoders: one an epoch of joint "
        "training. Runs whose weights, teachers or blend it starts from are not counted; members of an ensemble are.",
    )

    def value(self, run: Run) -> Values | None:
        """[1]; None of a run whose history has no passes."""
        if "passes" in run.metrics:  # of an ensemble
            return np.array([run.metrics["passes"]])
        return np.array([run.history["passes"].sum()]) if "passes" in run.history else None


class PeakMemory(Column):
    """Largest memory in use during training."""

    heading = "Peak memory"
    unit, digits = "MiB", 0
    captions = ("Peak memory: the most that was in use during training.",)

    def value(self, run: Run) -> Values | None:
        """[1]; None for an ensemble, which trains nothing."""
        if run.manifest["recipe"]["step"] != "train":
            return None
        return np.array([peak_memory_mib(run.manifest["provenance"])])
