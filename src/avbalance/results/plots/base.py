"""Interface of the kinds of figures."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avbalance.errors import UserError
from avbalance.registry import nearest
from avbalance.results.columns.base import Header
from avbalance.results.runs import Runs


class FigureRow(NamedTuple):
    """A row of a figure.

    Attributes:
        label: Text in the legend.
        entries: Artifacts of each seed, as `measure.measure` takes them.
    """

    label: str
    entries: list[dict[str, Any]]

    @property
    def runs(self) -> dict[int, str]:
        """{seed: folder} of the runs that did not fail."""
        return {entry["seed"]: entry["run"] for entry in self.entries if Path(entry["run"]).exists()}

    @property
    def first(self) -> tuple[int, str]:
        """(seed, folder) of the first run that did not fail."""
        return next(iter(self.runs.items()))


class Numbers(NamedTuple):
    """The numbers of a figure as a table, one line for each thing that is drawn.

    Attributes:
        frame: All of them; becomes the figure's CSV file.
        columns: Those that the page shows, with "label" in the first.
        correlations: {dataset, or "all" for their mean: (correlation, low end, high end) over the lines}.
    """

    frame: pd.DataFrame
    columns: list[Header]
    correlations: Mapping[str, tuple[float, float, float]] = {}


Drawing = tuple[Figure, str] | tuple[Figure, str, Numbers]
"""A figure and its caption, and its numbers where they are worth a table."""


class Plot:
    """A kind of figure. Options are the keyword arguments of its constructor.

    Attributes:
        several_rows: True if the figure shows any number of rows; otherwise it shows exactly one.
        reads_data: True if the figure reads the prepared data of its rows besides their runs.
        reads_history: True if the figure shows epochs of training.
        reads_probes: True if the figure shows the probes of its rows' layers, with options `column` and `branch`.
        has_pictures: True if the figure shows clips, whose colours a dark page must keep.
        over_datasets: True if the figure compares methods on each of several datasets; its options `baseline`,
            `baselines` and `references` then name rows without the prefix of their table or dataset.
        least_datasets: Least number of datasets that its rows must have.
        tasks: Tasks of the datasets that the figure can show.
    """

    several_rows: ClassVar[bool] = False
    reads_data: ClassVar[bool] = False
    reads_history: ClassVar[bool] = False
    reads_probes: ClassVar[bool] = False
    has_pictures: ClassVar[bool] = False
    over_datasets: ClassVar[bool] = False
    least_datasets: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = ("single_label",)

    def draw(self, rows: Mapping[str, FigureRow], runs: Runs) -> Drawing:
        """Return the figure, drawn in matplotlib's current style, its caption and, if it has them, its numbers.

        Args:
            rows: Rows, each with at least one run.
            runs: Opens the folders of runs.
        """
        raise NotImplementedError


def modalities_of(folder: str, runs: Runs) -> list[str]:
    """Modalities of a run."""
    return list(runs[folder].settings["encoder"])


def read_history(
    row: str, folder: str, runs: Runs, columns: Collection[str], needs: str
) -> dict[str, NDArray[np.float64]]:
    """Return a run's history {column: [epochs]} and check that it has some columns.

    Args:
        needs: What a row needs to have these columns, for the error.

    Raises:
        UserError: A column is missing.
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
    """Return the baseline and the rows to compare with it.

    Raises:
        UserError: The baseline has no run, no other row has one, or a row is trained on other data.
    """
    if baseline not in rows:
        raise UserError(f"baseline {baseline!r} is not a row with a run; {nearest(baseline, list(rows))}")
    others = {row: rows[row] for row in rows if row != baseline}
    if not others:
        raise UserError(f"no other row has a run to compare with the baseline {baseline!r}")
    data = _data(rows[baseline], runs)
    for row, other in others.items():
        if _data(other, runs) != data:
            raise UserError(
                f"row {row!r} is trained on other data than the baseline {baseline!r}; give each dataset its own figure"
            )
    return rows[baseline], others


def _data(row: FigureRow, runs: Runs) -> str:
    run = runs[row.first[1]]
    run.check_clips()
    return run.dataset
