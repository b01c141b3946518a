"""Differences between the rows or columns of a table, each with its interval and p."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from avbalance.results.measure import Measured, subtract
from avbalance.results.statistics import ALPHA, Contrast, Difference, Sample, contrast, difference, plain_tests, sample


class Comparison(NamedTuple):
    """left - right of two rows, or of two columns of a row; None if no seed has both."""

    left: str
    right: str
    difference: Difference | None

    @property
    def p(self) -> float | None:
        """p of no difference; None if there is nothing to test."""
        return self.difference.p if self.difference else None

    @property
    def sign(self) -> int:
        """Sign of the difference; 0 without one."""
        return int(np.sign(self.difference.difference)) if self.difference else 0

    @property
    def is_exact(self) -> bool:
        """True for a difference without spread."""
        return self.difference is not None and self.difference.low == self.difference.high

    def by(self, test: str) -> "Comparison":
        """The comparison with the p of a field of `Difference`, another test's."""
        if self.difference is None:
            return self
        return self._replace(difference=self.difference._replace(p=getattr(self.difference, test)))

    def as_dict(self) -> dict[str, Any]:
        """{"left", "right", "difference", "low", "high", "p", "welch_p", "paired_p"}; numbers are None if unknown."""
        numbers = self.difference or (None,) * len(Difference._fields)
        return {"left": self.left, "right": self.right, **dict(zip(Difference._fields, numbers, strict=True))}


class BesideBest(NamedTuple):
    """A cell beside the best one of its column on the same data.

    Attributes:
        mark: best, tied or empty.
        best: The best row; empty for itself and where nothing is compared.
        best_difference, best_low, best_high: The best row's value less this one's, with the ends of its 95 % interval.
        p, welch_p, paired_p: Of no difference, by the test of all tables and by two plain ones, corrected.
    """

    mark: str = ""
    best: str = ""
    best_difference: float = np.nan
    best_low: float = np.nan
    best_high: float = np.nan
    p: float = np.nan
    welch_p: float = np.nan
    paired_p: float = np.nan


def compare_with_best(cells: Mapping[str, Measured], better: int) -> dict[str, BesideBest]:
    """Compare the rows of a column with the best one on each dataset.

    The best row is chosen by the same runs, as if every two rows had been compared. So p is multiplied by the number of
    pairs (Bonferroni); a row whose p is then 0.05 or more ties with the best.

    Args:
        cells: {row: its values}.
        better: 1 if higher is better, -1 if lower is; 0 compares nothing.
    """
    means = {row: better * float(cell.means().mean()) for row, cell in cells.items() if cell.values}
    compared: dict[str, BesideBest] = {}
    for data in {cells[row].data for row in means}:
        rows = [row for row in means if cells[row].data == data]
        best = max(rows, key=lambda row: means[row])
        num_pairs = len(rows) * (len(rows) - 1) / 2
        if len({means[row] for row in rows}) < 2:
            continue
        for row in rows:
            found = compare(cells, best, row)
            if found is None or means[row] == means[best]:
                compared[row] = BesideBest("best")
                continue
            # A difference without p is exact, or of one seed, whose interval is the whole line.
            p = float(found.low < 0 < found.high) if found.p is None else found.p
            p, *others = (np.nan if q is None else min(1.0, num_pairs * q) for q in (p, found.welch_p, found.paired_p))
            mark = "tied" if p >= ALPHA else ""
            compared[row] = BesideBest(mark, best, found.difference, found.low, found.high, p, *others)
    return compared


def compare(cells: Mapping[str, Measured], left: str, right: str, less: float = 0.0) -> Difference | None:
    """left - right - less of two rows of a column; None if one has no values, or values on other data.

    The other rows of the column on these data show how much seeds usually matter.

    Args:
        cells: {row: its values}.
    """
    a, b = cells[left], cells[right]
    if not a.values or not b.values or a.data != b.data:
        return None
    if a.exact and b.exact:
        return exact_difference(float(a.means()[0] - b.means()[0]) - less)
    samples = _samples(cells, a.data)
    shifted = samples[left]._replace(values=samples[left].values - less)
    return _with_plain_tests(difference(shifted, samples[right]), a, b.means_by_seed(), less)


def contrast_rows(cells: Mapping[str, Measured], pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Contrast]:
    """{(left, right): left - right with the parts of its variance} of pairs of rows on the same data.

    Args:
        cells: {row: its values}, of one column on one dataset.
    """
    (data,) = {cell.data for cell in cells.values() if cell.values}
    samples = _samples(cells, data)
    return {(left, right): contrast(samples[left], samples[right]) for left, right in pairs}


def compare_columns(
    row: str, left: Mapping[str, Measured], right: Mapping[str, Measured], less: float = 0.0
) -> Difference | None:
    """left - right - less of two columns of a row, seed by seed; None if no seed has both, or if their data differ.

    Values that are not of the same clips one by one are compared by their means.
    """
    return _difference_from_zero(row, {each: subtract(left[each], right[each]) for each in left}, less)


def compare_falls(cells: Mapping[str, Measured], first: tuple[str, str], other: tuple[str, str]) -> Difference | None:
    """(a - b) - (c - d) of two pairs of rows (a, b) and (c, d), seed by seed: how much deeper the first falls."""
    one, two = (subtract(cells[before], cells[after]) for before, after in (first, other))
    return _difference_from_zero("", {"": subtract(one, two)})


def divide(left: Measured, right: Measured) -> Difference | None:
    """Ratio of two exact numbers."""
    if not left.values or not right.values:
        return None
    return exact_difference(float(left.means()[0] / right.means()[0]))


def exact_difference(number: float) -> Difference:
    """A difference without spread."""
    return Difference(number, number, number)


def _difference_from_zero(row: str, cells: Mapping[str, Measured], less: float = 0.0) -> Difference | None:
    """Mean of a row's values, less a number."""
    if not cells[row].values:
        return None
    if cells[row].exact:
        return exact_difference(float(cells[row].means()[0]) - less)
    own = _samples(cells, cells[row].data)[row]
    found = difference(own._replace(values=own.values - less))
    return _with_plain_tests(found, cells[row], dict.fromkeys(cells[row].values, 0.0), less)


def _with_plain_tests(found: Difference, left: Measured, right: Mapping[int, float], less: float) -> Difference:
    welch_p, paired_p = plain_tests({seed: mean - less for seed, mean in left.means_by_seed().items()}, right)
    return found._replace(welch_p=welch_p, paired_p=paired_p)


def _samples(cells: Mapping[str, Measured], data: str) -> dict[str, Sample]:
    return sample({row: cell.stacked() for row, cell in cells.items() if cell.values and cell.data == data})
