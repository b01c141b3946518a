"""Best test epoch.

Every row of such a table needs `training: {monitor: true}`.
"""

import numpy as np

from avbalance.results.columns.accuracy import Accuracy, VideoAccuracy
from avbalance.results.columns.base import Column, Values
from avbalance.results.columns.multi_label import Map, Mauc
from avbalance.results.columns.verification import Eer, MinDcf, check_list
from avbalance.results.runs import Run

BEST = (
    "Best test epoch: as papers report, the best of a run's epochs, chosen on the test set itself, hence too good; "
    "only for comparison with the papers' numbers."
)


class _BestTest(Column):
    """The best epoch on test of another column, whose class stands second among the bases."""

    monitored = True
    joins = False

    def __init__(self, name: str, **parts: str) -> None:
        super().__init__(name, **parts)
        self.heading += ", best test epoch"

    def value(self, run: Run) -> Values | None:
        """[1]; NaN if no epoch has a number."""
        plain = self.name.removeprefix("best_")
        if plain not in run.history:
            self.check_history(run)
            return None
        known = run.history[plain][np.isfinite(run.history[plain])]
        if len(known) == 0:
            return np.array([np.nan])
        return np.array([(known.max() if self.better > 0 else known.min()) * (100 if self.unit == "%" else 1)])

    def check_history(self, run: Run) -> None:
        """Raise an error if the history has other columns of this kind."""

    def remark(self, run: Run, value: Values) -> str:
        """None: remarks of the plain column are on other values."""
        return ""


class BestTestAccuracy(_BestTest, Accuracy):
    """Accuracy on test clips in the best epoch."""

    captions = (BEST,)


class BestTestVideoAccuracy(_BestTest, VideoAccuracy):
    """Accuracy on test videos in the best epoch."""

    captions = (*VideoAccuracy.captions, BEST)


class BestTestMap(_BestTest, Map):
    """mAP in the best epoch."""

    captions = (*Map.captions, BEST)


class BestTestMauc(_BestTest, Mauc):
    """mAUC in the best epoch."""

    captions = (*Mauc.captions, BEST)


class _BestOfList(_BestTest):
    """A figure of one list of trials."""

    def check_history(self, run: Run) -> None:
        """Check that the list of trials exists."""
        start = self.name.removeprefix("best_").removesuffix(self.parts["list"])
        check_list(self, [name.removeprefix(start) for name in run.history if name.startswith(start)])


class BestTestEer(_BestOfList, Eer):
    """Equal error rate in the best epoch."""

    captions = (*Eer.captions, BEST)


class BestTestMinDcf(_BestOfList, MinDcf):
    """Least detection cost in the best epoch."""

    captions = (*MinDcf.captions, BEST)
