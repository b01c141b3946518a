"""Verification.

A column that ends in the name of a list of trials is of that list; without one it is of all lists together.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.metrics import equal_error_rate, min_dcf, trial_scores
from avbalance.registry import nearest
from avbalance.results.columns.base import Column, Values
from avbalance.results.runs import Run

EER = "EER: the error rate at which as many targets are missed as others are let in."
DCF = "minDCF: least cost of detection, normalised, both errors costing 1."
START = "trials_"


class _OfTrials(Column):
    """A figure of the scores of trials."""

    tasks = ("verification",)
    better = -1

    def __init__(self, name: str, **parts: str) -> None:
        super().__init__(name, **{"list": "", **parts})
        self.parts = parts
        self.heading = self.heading.strip()

    def value(self, run: Run) -> Values | None:
        """[1]; None if the run has no trials."""
        trials = self.trials(run)
        if trials is None:
            return None
        scores = trial_scores(run.predictions["test_embedding"], trials)
        return np.array([self.figure(scores, trials[:, 2])])

    def figure(self, scores: NDArray[np.floating], is_target: NDArray[np.integer]) -> float:
        """The figure of scores [trials] and truths [trials]."""
        raise NotImplementedError

    def trials(self, run: Run) -> NDArray[np.int64] | None:
        """Trials of the list, or of all lists, [trials, 3]."""
        lists = {name.removeprefix(START): run.predictions[name] for name in run.predictions if name.startswith(START)}
        if "list" in self.parts:
            check_list(self, list(lists))
            return lists.get(self.parts["list"])
        return np.concatenate(list(lists.values())) if lists else None

    def remark(self, run: Run, value: Values) -> str:
        """Reason for a value that is not a number."""
        trials = self.trials(run)
        if trials is not None and len(np.unique(trials[:, 2])) == 1:
            return "no value, for either every trial shows one person or none does"
        return ""


def check_list(column: Column, lists: list[str]) -> None:
    """Check that the list of trials in a column's name exists.

    Raises:
        UserError: The runs have other lists; gives the nearest.
    """
    name = column.parts["list"]
    if lists and name not in lists:
        raise UserError(f"column {column.name!r}: {name!r} is not a list of trials; {nearest(name, lists)}")


class Eer(_OfTrials):
    """Equal error rate."""

    heading = "{list} EER"
    unit, digits = "%", 2
    captions: ClassVar[tuple[str, ...]] = (EER,)

    def figure(self, scores: NDArray[np.floating], is_target: NDArray[np.integer]) -> float:
        """In per cent."""
        return 100.0 * equal_error_rate(scores, is_target)


class MinDcf(_OfTrials):
    """Least detection cost at a prior probability of a target of 0.01."""

    heading = "{list} minDCF (p = 0.01)"
    captions: ClassVar[tuple[str, ...]] = (DCF,)
    p_target: ClassVar[float] = 0.01

    def figure(self, scores: NDArray[np.floating], is_target: NDArray[np.integer]) -> float:
        """Normalised, from 0 to 1."""
        return min_dcf(scores, is_target, self.p_target)


class MinDcf05(MinDcf):
    """Least detection cost at a prior probability of a target of 0.05."""

    heading = "{list} minDCF (p = 0.05)"
    p_target = 0.05
