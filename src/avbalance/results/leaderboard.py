"""Methods over datasets: gain over joint training of equal budget, average rank, and cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from avbalance.errors import UserError
from avbalance.results.columns.base import Header
from avbalance.results.columns.cost import Passes, TrainSeconds
from avbalance.results.comparisons import contrast_rows, exact_difference
from avbalance.results.over_datasets import OnDataset
from avbalance.results.over_methods import ranks
from avbalance.results.statistics import Contrast, Difference, mean_difference

Role = Literal["method", "reference", "baseline"]
COSTS = {"passes": Passes, "train_seconds": TrainSeconds}
"""Columns that the leaderboard reads beside its own."""
SLACK = 0.05
"""Share of a method's passes that its baseline may lack."""


@dataclass
class Standing:
    """One line of the leaderboard.

    Attributes:
        contrasts: On each dataset, method less the baseline of equal budget; a positive mean is a gain.
        budgets: Labels of these baselines.
        ranks: On each dataset, among all rows.
        passes, seconds: On each dataset, in those of the first baseline; NaN where one is unknown.
        gain: Mean of the contrasts, with an interval that holds for all methods at once; of a baseline 0.
    """

    method: str
    label: str
    role: Role
    contrasts: list[Contrast] = field(default_factory=list)
    budgets: list[str] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    gain: Difference = field(default_factory=lambda: exact_difference(0.0))


def rank_methods(
    datasets: Sequence[OnDataset], column: Header, baselines: Sequence[str], references: Sequence[str]
) -> list[Standing]:
    """Return the standings, the largest gain first.

    Args:
        column: Compared column, in which higher or lower is better.
        baselines: Joint training with growing budgets; the first is the usual one.
        references: Methods to be marked as references.

    Raises:
        UserError: No dataset has a value of the column for the first baseline.
    """
    standings: dict[str, Standing] = {}
    known = [dataset for dataset in datasets if baselines[0] in dataset.cells(column.name)]
    if not known:
        raise UserError(f"{baselines[0]!r} has no value of {column.name!r} on any dataset; choose another column")
    for dataset in known:
        for method in dataset.cells(column.name):
            role: Role = "baseline" if method in baselines else "reference" if method in references else "method"
            standings.setdefault(method, Standing(method, dataset.labels[method], role))
        _enter(standings, dataset, column, baselines)
    compared = [each for each in standings.values() if each.role != "baseline"]
    for standing in compared:
        standing.gain = mean_difference(standing.contrasts, len(compared))
    return sorted(standings.values(), key=lambda standing: -standing.gain.difference)


def _enter(standings: Mapping[str, Standing], dataset: OnDataset, column: Header, baselines: Sequence[str]) -> None:
    """Add what one dataset says about each method."""
    cells = dataset.cells(column.name)
    means = {method: column.better * float(cell.means().mean()) for method, cell in cells.items()}
    ranking = dict(zip(means, ranks(np.array([list(means.values())]))[0], strict=True))
    cost = {name: {method: _mean(dataset, method, name) for method in cells} for name in COSTS}
    chosen = {
        method: equal_budget(cost["passes"], [each for each in baselines if each in cells], method)
        for method in cells
        if standings[method].role != "baseline"
    }
    pairs = {method: (method, other) if column.better > 0 else (other, method) for method, other in chosen.items()}
    contrasts = contrast_rows(cells, list(pairs.values()))
    for method in cells:
        standing = standings[method]
        standing.ranks.append(float(ranking[method]))
        standing.passes.append(cost["passes"][method] / cost["passes"][baselines[0]])
        standing.seconds.append(cost["train_seconds"][method] / cost["train_seconds"][baselines[0]])
        if method in pairs:
            standing.contrasts.append(contrasts[pairs[method]])
            standing.budgets.append(dataset.labels[chosen[method]])


def _mean(dataset: OnDataset, method: str, column: str) -> float:
    """Mean over seeds; NaN without a value."""
    cell = dataset.values[method][column]
    return float(cell.means().mean()) if cell.values else float("nan")


def equal_budget(passes: Mapping[str, float], baselines: Sequence[str], method: str) -> str:
    """The baseline with the fewest passes among those that have those of the method, else the one with the most.

    Unknown passes of a method are taken for more than any baseline has; a baseline whose passes are unknown counts for
    none, if there is another.
    """
    known = [each for each in baselines if np.isfinite(passes[each])] or list(baselines)
    enough = [each for each in known if (1 + SLACK) * passes[each] >= passes[method]]
    return min(enough, key=lambda each: passes[each]) if enough else max(known, key=lambda each: passes[each])


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of those that are known; NaN without any."""
    known = np.array([value for value in values if np.isfinite(value) and value > 0])
    return float(np.exp(np.log(known).mean())) if len(known) else float("nan")


def frame_of(standings: Sequence[Standing]) -> pd.DataFrame:
    """The leaderboard as a table, one line a method; numbers that do not exist are NaN."""
    return pd.DataFrame.from_records(
        [
            {
                "method": each.method,
                "label": each.label,
                "role": each.role,
                "gain": each.gain.difference,
                "low": each.gain.low if np.isfinite(each.gain.low) else np.nan,
                "high": each.gain.high if np.isfinite(each.gain.high) else np.nan,
                "adjusted_p": np.nan if each.gain.p is None else each.gain.p,
                "compared_with": "; ".join(dict.fromkeys(each.budgets)),
                "rank": float(np.mean(each.ranks)),
                "passes": geometric_mean(each.passes),
                "seconds": geometric_mean(each.seconds),
                "datasets": len(each.ranks),
            }
            for each in standings
        ]
    )
