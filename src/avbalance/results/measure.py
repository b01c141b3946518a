"""Values of a table's columns, for every seed and test clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avbalance.results import joined_rows
from avbalance.results.columns.base import Column, Entry, find_column
from avbalance.results.runs import Runs


@dataclass
class Measured:
    """Values of one cell.

    Attributes:
        values: {seed: [clips]} or {seed: [videos]} in the column's unit, or {seed: [1]} if a clip has no value.
        num_seeds: Number of seeds that should have a value; 0 if the column does not apply to the row.
        data: The dataset; only values of one dataset are of the same clips.
        exact: True for values without spread: computed from a formula, or a property of the model alone.
        remark: Remark on the values, or the reason why there are none.
    """

    values: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    num_seeds: int = 0
    data: str = ""
    exact: bool = False
    remark: str = ""

    def means(self, seeds: list[int] | None = None) -> NDArray[np.float64]:
        """Mean over clips for each seed, [seeds]."""
        return np.array([self.values[seed].mean() for seed in (self.values if seeds is None else seeds)])

    def means_by_seed(self) -> dict[int, float]:
        """{seed: mean over clips}."""
        return {seed: float(values.mean()) for seed, values in self.values.items()}

    def stacked(self) -> NDArray[np.float64]:
        """[seeds, clips]."""
        return np.array(list(self.values.values()))

    def enter(self, seed: int, value: NDArray[np.float64], data: str) -> None:
        """Take a seed's values, unless one is not a finite number."""
        if np.isfinite(value).all():
            self.values[seed], self.data = value, data
        elif not self.remark:
            self.remark = "no value where a run gives no finite number"


Values = dict[str, dict[str, Measured]]
"""{row: {column: its values}}."""


def subtract(left: Measured, right: Measured) -> Measured:
    """left - right on the seeds that both have; the difference of their means if they are not of the same clips."""
    rest = Measured(data=left.data, exact=left.exact and right.exact)
    for seed in sorted(left.values.keys() & right.values.keys()) if left.data == right.data else ():
        a, b = left.values[seed], right.values[seed]
        rest.values[seed] = a - b if a.shape == b.shape else np.array([a.mean() - b.mean()])
    return rest


def measure(
    rows: Mapping[str, Sequence[Entry]],
    names: Sequence[str],
    runs: Runs,
    joined: Mapping[str, Sequence[str]] | None = None,
) -> Values:
    """Read every row's runs.

    Args:
        rows: {row: its artifacts, one entry a seed}.
        names: Of columns.
        runs: Opens the folders.
        joined: {row: rows}: further rows, right about a clip if all of theirs are.
    """
    columns = [find_column(name) for name in names]
    values = {row: {each.name: measure_cell(each, entries, runs) for each in columns} for row, entries in rows.items()}
    for row, parts in (joined or {}).items():
        folders = [{entry["seed"]: entry["run"] for entry in rows[part]} for part in parts]
        values[row] = {column.name: _measure_joined_cell(row, column, folders, runs) for column in columns}
    return values


def measure_cell(column: Column, entries: Sequence[Entry], runs: Runs) -> Measured:
    """Values of a row's column; a failed run counts as missing, a run without the column does not."""
    cell = Measured(exact=column.exact)
    for entry in entries:
        sources = [runs.find(folder) for folder in column.sources(entry)]
        opened = [run for run in sources if run is not None]
        failed = len(opened) < len(sources)
        for run in opened:
            run.check_clips()
        value = column.value_of_entry(entry, opened) if opened and not failed else None
        cell.num_seeds += value is not None or failed
        if value is not None:
            cell.remark = cell.remark or column.remark(opened[0], value)
            cell.enter(entry["seed"], value, opened[0].dataset)
        elif opened and not failed:
            cell.remark = cell.remark or column.reason(opened[0])
    return _without_meaning(cell)


def _measure_joined_cell(row: str, column: Column, folders: Sequence[Mapping[int, str]], runs: Runs) -> Measured:
    """Values of a row that joins others, from {seed: folder} of each of them."""
    cell = Measured()
    if not column.joins:
        return cell
    for seed in folders[0]:
        parts = [part for each in folders if (part := runs.find(each[seed])) is not None]
        failed = len(parts) < len(folders)
        if not failed:
            joined_rows.check_clips(row, parts)
        value = None if failed else column.joined(parts)
        cell.num_seeds += value is not None or failed
        if value is not None:
            # Comparable with rows that join the same datasets, and with no other row.
            cell.enter(seed, value, " and ".join(sorted(part.dataset for part in parts)))
    return _without_meaning(cell)


def _without_meaning(cell: Measured) -> Measured:
    """Treat a cell without any finite value as not applicable; the remark says why."""
    if not cell.values and cell.remark:
        cell.num_seeds = 0
    return cell
