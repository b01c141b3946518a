"""Differences between the rows or columns of a table, each with its interval and p."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from avbalance.results.measure import Measured, subtract
from avbalance.results.statistics import Contrast, Difference, Sample, contrast, difference, sample


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

    def as_dict(self) -> dict[str, Any]:
        """{"left", "right", "difference", "low", "high", "p"}; numbers are None if unknown."""
        numbers = self.difference or (None,) * len(Difference._fields)
        return {"left": self.left, "right": self.right, **dict(zip(Difference._fields, numbers, strict=True))}


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
    return difference(shifted, samples[right])


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
    return difference(own._replace(values=own.values - less))


def _samples(cells: Mapping[str, Measured], data: str) -> dict[str, Sample]:
    return sample({row: cell.stacked() for row, cell in cells.items() if cell.values and cell.data == data})
