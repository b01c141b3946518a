"""Methods on several datasets: rows of several tables, or of one table with `each`, are one method by their names.

A row's name consists of a prefix, which names its table or dataset and which all rows on that dataset share, and of
the method's name.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from avbalance.errors import UserError
from avbalance.registry import nearest
from avbalance.results.measure import Measured, Values


class OnDataset(NamedTuple):
    """The methods on one dataset.

    Attributes:
        labels: {method: its label without the dataset's title}.
        values: {method: {column: its values}}.
    """

    title: str
    labels: dict[str, str]
    values: Values

    def cells(self, column: str) -> dict[str, Measured]:
        """{method: its values} of a column, where it has any."""
        return {method: cells[column] for method, cells in self.values.items() if cells[column].values}


def prefix_of(names: Collection[str], method: str) -> str | None:
    """Prefix that the rows of a dataset share, by the row of a method that all datasets have; None without that row."""
    starts = [name.removesuffix(method) for name in names if name == method or name.endswith(f"_{method}")]
    return next((start for start in starts if all(name.startswith(start) for name in names)), None)


def check_methods(asked: Sequence[str], datasets: Mapping[str, Collection[str]]) -> None:
    """Check that each method has a row on some dataset.

    Args:
        asked: Methods; the first is the one that all datasets have.
        datasets: {dataset: names of its rows}.

    Raises:
        UserError: One has none; gives the nearest name.
    """
    prefixes = {dataset: prefix_of(names, asked[0]) for dataset, names in datasets.items()}
    known = {
        name.removeprefix(prefix)
        for dataset, prefix in prefixes.items()
        if prefix is not None
        for name in datasets[dataset]
    }
    for method in asked:
        if method not in known:
            parts = [name.split("_") for names in datasets.values() for name in names]
            ends = {"_".join(each[place:]) for each in parts for place in range(len(each))}
            raise UserError(f"no row is named {method!r}; {nearest(method, sorted(known or ends))}")


def split_datasets(
    labels: Mapping[str, str], data: Mapping[str, str], values: Values, baseline: str
) -> list[OnDataset]:
    """Split rows by their dataset; a dataset on which the baseline has no row is left out.

    Args:
        labels: {row: label}; of several datasets a label is `<title of the dataset>: <method>`.
        data: {row: its prepared dataset}.
        values: {row: {column: its values}}.
        baseline: Method with which the others are compared.

    Raises:
        UserError: No dataset has the baseline.
    """
    datasets: dict[str, list[str]] = {}
    for row in labels:
        datasets.setdefault(data[row], []).append(row)
    split = []
    for names in datasets.values():
        prefix = prefix_of(names, baseline)
        if prefix is None:
            continue
        title, colon, _ = labels[names[0]].partition(": ")
        has_title = len(datasets) > 1 and all(labels[name].startswith(f"{title}{colon}") for name in names)
        split.append(
            OnDataset(
                title if has_title else "",
                {name.removeprefix(prefix): labels[name].removeprefix(f"{title}: " * has_title) for name in names},
                {name.removeprefix(prefix): values[name] for name in names},
            )
        )
    if not split:
        raise UserError(f"no dataset has a run of {baseline!r}, with which the other rows are compared")
    return split
