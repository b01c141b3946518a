"""Blends.

Weights of the heads' losses, and how they were estimated.
"""

import numpy as np

from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run


class Weight(Column):
    """Weight of a head's loss in the objective, in the last epoch."""

    heading = "{Head} weight"
    signed = True
    captions = ("Weight: of a head's loss in the objective, in the last epoch.",)

    def value(self, run: Run) -> Values | None:
        """[1]; NaN if the weights are equal because no head generalised."""
        history = run.history
        if self.name not in history:
            return None
        if "fallback" in history and history["fallback"][-1]:
            return np.array([np.nan])
        return history[self.name][-1:]

    def remark(self, run: Run, value: Values) -> str:
        """Reason for a missing weight."""
        if not np.isnan(value).all():
            return ""
        return "runs that ended with equal weights, for no head generalised, are left out"


class Ogr(Column):
    """Overfitting-to-generalisation ratio of a head, in the last epoch."""

    heading = "{Head} OGR"
    signed = True
    captions = (
        "OGR: a head's overfitting-to-generalisation ratio, offline from epoch 0 to the last, online over the last "
        "super-epoch.",
    )

    def value(self, run: Run) -> Values | None:
        """[1]."""
        return run.history[self.name][-1:] if self.name in run.history else None


class Fallback(Column):
    """Share of the estimates of blend weights after which weights were equal, because no head generalised."""

    heading = "Fallback to equal weights"
    unit, digits = "%", 0
    captions = (
        "Fallback: share of the estimates of blend weights, one each super-epoch (offline: one in all), after which no "
        "head generalised, so that weights were equal.",
    )

    def value(self, run: Run) -> Values | None:
        """[1]."""
        if "fallback" not in run.history:
            return None
        fallback = run.history["fallback"]
        first = np.unique(run.history.get("super_epoch", np.ones_like(fallback)), return_index=True)[1]
        return np.array([100.0 * fallback[first].mean()])
