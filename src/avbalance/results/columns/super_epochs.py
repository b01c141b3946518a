"""Super-epochs.

Online G-Blend against naive training (G-Blend, Wang et al., CVPR 2020, Figure 5).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run

NAIVE = "naive_val_accuracy"
LEAST = (
    "Least gain of a super-epoch: validation accuracies at the end of the super-epoch in which the balancer gains "
    "least over naive training from the same start."
)


class Blended(Column):
    """Validation accuracy of the balancer in the super-epoch in which the balancer gains least."""

    heading = "Least gain of a super-epoch: accuracy"
    unit, digits = "%", 1
    tasks = ("single_label",)
    captions = (LEAST,)
    curve: ClassVar[str] = "val_accuracy"

    def value(self, run: Run) -> Values | None:
        """[1]; NaN if no super-epoch is complete."""
        history = run.history
        if NAIVE not in history:
            return None
        ends = super_epochs(run.settings["balancer"], len(history["epoch"]))
        if not len(ends):
            return np.array([np.nan])
        ours, naive = (100 * history[name][ends - 1] for name in ("val_accuracy", NAIVE))
        worst = (ours - naive).argmin()
        return 100 * history[self.curve][ends - 1][worst : worst + 1]


class Naive(Blended):
    """Validation accuracy of naive training in that super-epoch."""

    heading = "Least gain of a super-epoch: naive accuracy"
    curve = NAIVE


def super_epochs(balancer: Mapping[str, Mapping[str, Any]], num_epochs: int) -> NDArray[np.int64]:
    """Last epochs, from 1, of the complete super-epochs: `first` epochs, then `then` each; none of other balancers."""
    (options,) = balancer.values()
    if not {"first", "then"} <= options.keys():
        return np.empty(0, np.int64)
    return np.arange(options["first"], num_epochs + 1, options["then"])
