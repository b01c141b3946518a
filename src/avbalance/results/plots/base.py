"""What every kind of figure promises."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.registry import nearest
from avbalance.results.runs import Runs


class FigureRow(NamedTuple):
    """A row of which a figure is drawn.

    Attributes:
        label: As shown.
        entries: One a seed, as `measure.measure` takes them.
    """

    label: str
    entries: list[dict[str, Any]]

    @property
    def runs(self) -> dict[int, str]:
        """{seed: folder} of the runs that did not fail."""
        return {entry["seed"]: entry["run"] for entry in self.entries if Path(entry["run"]).exists()}

    @property
    def first(self) -> tuple[int, str]:
        """(seed, folder) of the first of them."""
        return next(iter(self.runs.items()))


class Plot:
    """A kind of figure. Options are the keyword arguments of its constructor.

    Attributes:
        several_rows: Whether it shows any number of rows; else exactly one.
        reads_data: Whether it reads the prepared data of its rows besides their runs.
        reads_probes: Whether it shows the probes of its rows' layers, by an option `column` and `branch`.
        tasks: Of data that it can show.
    """

    several_rows: ClassVar[bool] = False
    reads_data: ClassVar[bool] = False
    reads_probes: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("single_label",)

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> tuple[Figure, str]:
        """The figure, in the style that is set, and its caption.

        Args:
            rows: Of which each has a run.
            runs: Opens their folders.
        """
        raise NotImplementedError


def modalities_of(folder: str, runs: Runs) -> list[str]:
    """The modalities of a run that was read."""
    return list(runs[folder].settings["encoder"])


def read_history(
    row: str, folder: str, runs: Runs, columns: Collection[str], needs: str
) -> dict[str, NDArray[np.float64]]:
    """A run's history {column: [epochs]} with the given columns, which only a row with what it `needs` has.

    Raises:
        UserError: It lacks one.
    """
    history = runs[folder].history
    for column in columns:
        if column not in history:
            raise UserError(
                f"row {row!r} was trained without {column}, which needs {needs}; if it has that, train it anew: "
                f"remove {folder} and run 'snakemake --cores'"
            )
    return history


def seeds_text(seeds: Collection[int]) -> str:
    """`seed 0` or `seeds 0, 1`."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def split_baseline(rows: Mapping[str, FigureRow], baseline: str, runs: Runs) -> tuple[FigureRow, dict[str, FigureRow]]:
    """The baseline, and the rows that are compared with it.

    Raises:
        UserError: The baseline has no run, there is nothing to compare, or a row is of other data.
    """
    if baseline not in rows:
        raise UserError(f"baseline {baseline!r} is not a row with a run; {nearest(baseline, list(rows))}")
    others = {row: rows[row] for row in rows if row != baseline}
    if not others:
        raise UserError(f"no row has a run that could be compared with the baseline {baseline!r}")
    data = _data(rows[baseline], runs)
    for row, other in others.items():
        if _data(other, runs) != data:
            raise UserError(f"row {row!r} is of other data than the baseline {baseline!r}; give each data set a figure")
    return rows[baseline], others


def _data(row: FigureRow, runs: Runs) -> str:
    run = runs[row.first[1]]
    run.check_clips()
    return run.data
